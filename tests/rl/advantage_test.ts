import { assert, assertEquals, assertThrows } from "@std/assert";
import { estimateAdvantages, type Estimator } from "../../rl/advantages/estimator.ts";
import { moments, type RewardBatch } from "../../rl/advantages/batch.ts";
import { returns } from "../../rl/advantages/by_token.ts";
import { combineRewards } from "../../rl/advantages/reward_parts.ts";
import { divergenceRewards, needsReference } from "../../rl/divergences/term.ts";
import { Random } from "../../tensor/random.ts";
import { facts, lengths, packed, whole } from "./golden.ts";

const GROUP_RELATIVE: readonly Estimator[] = [
  { kind: "grpo" },
  { kind: "dr_grpo" },
  { kind: "rloo" },
  { kind: "grpo_passk" },
  { kind: "opo" },
  { kind: "gpg" },
  { kind: "reinforce_plus_plus_baseline" },
];
const EVERY: readonly Estimator[] = [...GROUP_RELATIVE, { kind: "reinforce_plus_plus" }, { kind: "remax" }, { kind: "gdpo" }];

function close(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-12): void {
  assertEquals(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    assert(
      Math.abs(actual[i]! - expected[i]!) <= tolerance * (1 + Math.abs(expected[i]!)),
      `[${i}]: ${actual[i]}, expected ${expected[i]}`,
    );
  }
}

/** One token a response, so that advantages are by response. */
const single = (rewards: number[], more: Partial<RewardBatch> = {}): RewardBatch => ({
  rewards,
  lengths: rewards.map(() => 1),
  groups: rewards.map(() => 0),
  ...more,
});

for (const kind of ["grpo", "rloo", "grpo_passk", "reinforce_plus_plus"] as const) {
  Deno.test(`golden advantage/${kind}`, () => {
    const got = estimateAdvantages({ kind }, { rewards: whole("reward") as Float32Array, groups: facts.index, lengths });
    const golden = packed(`advantage/${kind}`), largest = golden.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
    assert(largest > 0);
    assertEquals(got.length, golden.length);
    for (let i = 0; i < golden.length; i++) {
      assert(Math.abs(got[i]! - golden[i]!) <= 1e-6 * largest + 1e-7, `[${i}]: ${got[i]}, golden ${golden[i]}`);
    }
  });
}

Deno.test("a group of equal rewards has advantages of exactly 0, whatever the number", () => {
  for (const estimator of [...GROUP_RELATIVE, { kind: "gdpo" } as const]) {
    for (const reward of [0.9, 0.1, 1 / 3, -7]) {
      const rewards = [...new Array<number>(8).fill(reward), 1, 0, 0], groups = rewards.map((_, i) => i < 8 ? "same" : "other");
      const got = estimateAdvantages(estimator, single(rewards, { groups, parts: { all: rewards } }));
      const equal = [...got.subarray(0, 8)];
      // These estimators subtract the batch's mean, so the result is 0 up to rounding.
      if (estimator.kind === "reinforce_plus_plus_baseline" || estimator.kind === "gdpo") close(equal, equal.map(() => 0), 1e-15);
      else assertEquals(equal, equal.map(() => 0), estimator.kind);
      assert(got[8]! > 0.1, estimator.kind);
    }
  }
});

Deno.test("a group of one has advantage 0", () => {
  for (const estimator of GROUP_RELATIVE) {
    assertEquals([...estimateAdvantages(estimator, single([5], { groups: [1] }))], [0], estimator.kind);
  }
});

Deno.test("a NaN reward is in no statistic and has advantage 0", () => {
  const groups = [0, 0, 0, 1, 1, 1], rewards = [1, NaN, 0, 3, 1, NaN], baselines = [0, 0, 0, 1, 1, 1];
  const kept = [0, 2, 3, 4], of = <T>(x: T[]) => kept.map((i) => x[i]!);
  for (const estimator of EVERY) {
    const got = estimateAdvantages(estimator, single(rewards, { groups, baselines, parts: { a: rewards } }));
    const without = estimateAdvantages(
      estimator,
      single(of(rewards), { groups: of(groups), baselines: of(baselines), parts: { a: of(rewards) } }),
    );
    assertEquals([got[1], got[5]], [0, 0], estimator.kind);
    assertEquals(of([...got]), [...without], estimator.kind);
  }
});

Deno.test("masked tokens have advantage 0 and are in no statistic", () => {
  const batch = { rewards: [1, 0], lengths: [3, 2], groups: [0, 0], baselines: [0.5, 0.5], parts: { a: [1, 0] } };
  const masked = { ...batch, lengths: [4, 3], mask: [1, 1, 0, 1, 1, 1, 0] };
  for (const estimator of EVERY) {
    const plain = estimateAdvantages(estimator, batch), got = estimateAdvantages(estimator, masked);
    // opo weighs by length.
    if (estimator.kind !== "opo") close(got, [plain[0]!, plain[1]!, 0, plain[2]!, plain[3]!, plain[4]!, 0]);
    assertEquals([got[2], got[6]], [0, 0]);
  }
});

Deno.test("the estimators' formulas, on numbers worked out by hand", () => {
  const at = (estimator: Estimator, more: Partial<RewardBatch> = {}) => estimateAdvantages(estimator, single([4, 1, 1, 2], more));
  const std = Math.sqrt(2); // of 4 1 1 2 about 2, with n - 1
  close(at({ kind: "grpo", epsilon: 0 }), [2, -1, -1, 0].map((x) => x / std));
  close(at({ kind: "grpo" }), [2, -1, -1, 0].map((x) => x / (std + 1e-6)));
  close(at({ kind: "dr_grpo" }), [2, -1, -1, 0]);
  close(at({ kind: "rloo" }), [4 - 4 / 3, 1 - 7 / 3, 1 - 7 / 3, 0]);
  close(at({ kind: "grpo_passk" }), [2 / (std + 1e-6), 0, 0, 0]);
  close(at({ kind: "gpg" }), [2, -1, -1, 0]);
  close(at({ kind: "remax" }, { baselines: [1, 1, 2, 2] }), [3, 0, -1, 0]);
  close(at({ kind: "reinforce_plus_plus" }), [2, -1, -1, 0].map((x) => x / Math.sqrt(2 + 1e-8)));
  close(estimateAdvantages({ kind: "opo" }, { rewards: [1, 0], lengths: [3, 1], groups: [0, 0] }), [0.25, 0.25, 0.25, -0.75]);
  // Group a 1 0, group b 1 1, group c 0 0: four of six responses earned something; two are in a group that differs.
  const three = single([1, 0, 1, 1, 0, 0], { groups: ["a", "a", "b", "b", "c", "c"] });
  close(estimateAdvantages({ kind: "gpg" }, three), [1, -1, 0, 0, 0, 0]);
  close(estimateAdvantages({ kind: "gpg", count: "valid" }, three), [1.5, -1.5, 0, 0, 0, 0]);
  // Centred to +-0.5 and 0, then whitened over tokens: variance 0.5 / 5.
  const tokens = estimateAdvantages({ kind: "reinforce_plus_plus_baseline" }, three);
  close(tokens, [0.5, -0.5, 0, 0, 0, 0].map((x) => x / Math.sqrt(0.1 + 1e-8)));
});

Deno.test("verl's table of groups: x = [1, 2, 3], g = [0, 1, 0] has mean 2, std sqrt 2", () => {
  assertEquals(moments([1, 3]), { mean: 2, std: Math.SQRT2 });
  close(estimateAdvantages({ kind: "grpo", epsilon: 0 }, single([1, 2, 3], { groups: [0, 1, 0] })), [-Math.SQRT1_2, 0, Math.SQRT1_2]);
});

Deno.test("groups that differ by 1e-5 keep their digits: [1, 1.00001 | 2, 2.00001]", () => {
  const half = 0.00001 / 2, expected = half / (Math.SQRT2 * half + 1e-6);
  const got = estimateAdvantages({ kind: "grpo" }, single([1, 1.00001, 2, 2.00001], { groups: [0, 0, 1, 1] }));
  close(got, [-expected, expected, -expected, expected], 1e-9);
});

Deno.test("KL in the reward: every token's share is subtracted from the response's reward, or from the returns up to that token", () => {
  const tokenRewards = divergenceRewards([1, 2, 3, 4], 0.1), batch = { rewards: [1, 1], lengths: [2, 2], groups: [0, 0], tokenRewards };
  close(estimateAdvantages({ kind: "dr_grpo" }, batch), [0.2, 0.2, -0.2, -0.2]);
  close(returns(batch), [0.7, 0.8, 0.3, 0.6]);
  assertEquals(
    [undefined, 0, 0.1].map((c) => {
      return needsReference(c === undefined ? c : { kind: "full", where: "reward", coefficient: { kind: "fixed", coefficient: c } });
    }),
    [false, false, true],
  );
});

Deno.test("verl's table of returns over a gap: gamma 0.5 gives 0.5, 1, 0, 0, 2", () => {
  assertEquals([...returns({ rewards: [2], lengths: [5], mask: [1, 1, 0, 0, 1] }, { gamma: 0.5 })], [0.5, 1, 0, 0, 2]);
});

Deno.test("the reward is added at the last token that counts, to its own reward; an empty response gets none", () => {
  const batch = {
    rewards: [1, 7, 2],
    groups: [0, 0, 0],
    lengths: [3, 0, 2],
    mask: [1, 1, 0, 1, 1],
    tokenRewards: [0.1, 0.2, NaN, 0.4, 0.5],
  };
  close(returns(batch), [1.3, 1.2, 0, 2.9, 2.5]);
  const total = estimateAdvantages({ kind: "dr_grpo" }, { ...batch, rewards: [1, NaN, 2] });
  close(total, [-0.8, -0.8, 0, 0.8, 0.8]);
});

Deno.test("gdpo: a large part does not drown a small one", () => {
  const big = [100, 0, 100, 0], small = [0.01, 0.01, 0, 0];
  const got = estimateAdvantages({ kind: "gdpo", epsilon: 0 }, single(big.map((b, i) => b + small[i]!), { parts: { big, small } }));
  close(got, [1, 0, 0, -1].map((x) => x / Math.sqrt(2 / 3)), 1e-6);
  const weighted = estimateAdvantages({ kind: "gdpo", weights: { small: 0 } }, single(big, { parts: { big, small } }));
  assertEquals(weighted[0], weighted[2]);
});

Deno.test("responses in another order have the same advantages", () => {
  const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed);
  const n = 24, rewards = Array.from(random.normal(n)), groups = rewards.map(() => random.integer(0, 5));
  const order = rewards.map((_, i) => i).sort((i, j) => rewards[i]! - rewards[j]!);
  const batch = single(rewards, { groups, baselines: groups, parts: { a: rewards } });
  const moved = single(order.map((i) => rewards[i]!), {
    groups: order.map((i) => groups[i]!),
    baselines: order.map((i) => groups[i]!),
    parts: { a: order.map((i) => rewards[i]!) },
  });
  for (const estimator of EVERY) {
    const a = estimateAdvantages(estimator, batch), b = estimateAdvantages(estimator, moved);
    close(b, order.map((i) => a[i]!), 1e-9);
  }
});

Deno.test("whitening without spread gives 0", () => {
  const same = { rewards: [1, 1], lengths: [2, 2], groups: [0, 0] };
  assertEquals([...estimateAdvantages({ kind: "reinforce_plus_plus" }, same)], [0, 0, 0, 0]);
  assertEquals([...estimateAdvantages({ kind: "reinforce_plus_plus" }, { rewards: [3], lengths: [1] })], [0]);
  assertEquals([...estimateAdvantages({ kind: "grpo" }, { rewards: [], lengths: [] })], []);
});

Deno.test("what does not fit is refused by name", () => {
  const refused = (estimator: Estimator, batch: RewardBatch, words: string) =>
    assertThrows(() => estimateAdvantages(estimator, batch), RangeError, words);
  refused({ kind: "grpo" }, { rewards: [1], lengths: [1, 2] }, "lengths holds 2");
  refused({ kind: "grpo" }, { rewards: [1, 1], lengths: [1, 2], groups: [0] }, "groups holds 1");
  refused({ kind: "grpo" }, { rewards: [1], lengths: [2], mask: [1] }, "mask holds 1 numbers, not 2");
  refused({ kind: "grpo" }, { rewards: [Infinity], lengths: [1] }, "response 0 is Infinity");
  refused({ kind: "grpo" }, { rewards: [1], lengths: [1.5] }, "response 0 has 1.5");
  refused({ kind: "remax" }, { rewards: [1], lengths: [1] }, "baselines");
  refused({ kind: "gdpo" }, { rewards: [1], lengths: [1], groups: [0] }, "parts");
});

Deno.test("an input that an estimator needs is not made up where it is missing", () => {
  const kinds = ["grpo", "dr_grpo", "rloo", "grpo_passk", "opo", "gpg", "gdpo", "reinforce_plus_plus_baseline"] as const;
  for (const kind of kinds) {
    assertThrows(
      () => estimateAdvantages({ kind }, { rewards: [1, 0], lengths: [1, 1] }),
      RangeError,
      `Cannot take ${kind} advantages: groups`,
    );
  }
  assertEquals(estimateAdvantages({ kind: "reinforce_plus_plus" }, { rewards: [1, 0], lengths: [1, 1] }).length, 2);
  const weighted = { kind: "gdpo", weights: { acuracy: 2 } } as const;
  assertThrows(() => estimateAdvantages(weighted, single([1, 0], { parts: { accuracy: [1, 0] } })), RangeError, 'no part "acuracy"');
});

Deno.test("combineRewards: weights, parts that do not apply, and names that do not exist", () => {
  assertEquals([...combineRewards({ a: [1, 2], b: [10, NaN] }, { b: 0.5 })], [6, 2]);
  assertEquals([...combineRewards({ a: [1, 2], b: [NaN, 3] }, { a: 0 })], [NaN, 3]);
  assertEquals([...combineRewards({})], []);
  assertThrows(() => combineRewards({ a: [1] }, { b: 1 }), RangeError, 'the reward "b": the parts are "a"');
  assertThrows(() => combineRewards({ a: [1], b: [1, 2] }), RangeError, '"b" has 2 values, "a" 1');
  assertThrows(() => combineRewards({ a: [1] }, { a: NaN }), RangeError, "by NaN");
});
