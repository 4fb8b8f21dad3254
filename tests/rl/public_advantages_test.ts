/** Advantages and returns against tables in other trainers' public tests (Apache-2.0; the numbers alone are theirs), named at each test. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { RewardBatch } from "../../rl/advantages/batch.ts";
import { returns } from "../../rl/advantages/by_token.ts";
import { estimateAdvantages, type Estimator } from "../../rl/advantages/estimator.ts";
import { combineRewards } from "../../rl/advantages/reward_parts.ts";
import { overlongReward } from "../../rl/shaping.ts";

function close(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-12): void {
  assertEquals(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    assert(
      Math.abs(actual[i]! - expected[i]!) <= tolerance * (1 + Math.abs(expected[i]!)),
      `[${i}]: ${actual[i]}, expected ${expected[i]}`,
    );
  }
}

const single = (rewards: readonly number[], more: Partial<RewardBatch> = {}): RewardBatch => ({
  rewards,
  lengths: rewards.map(() => 1),
  groups: rewards.map(() => 0),
  ...more,
});

// verl, tests/trainer/ppo/test_reinforce_pp_multiturn_on_cpu.py. Its gamma of .5 is in advantage_test.ts.
const TURNS = [
  { name: "four tokens", rewards: [1], masks: [[1, 1, 1, 1]], expected: [1, 1, 1, 1] },
  { name: "the same around an observation of two", rewards: [1], masks: [[1, 1, 0, 0, 1, 1]], expected: [1, 1, 0, 0, 1, 1] },
  { name: "padding behind the end", rewards: [1], masks: [[1, 1, 1, 0, 0]], expected: [1, 1, 1, 0, 0] },
  {
    name: "a gap in one of two, padding in the other",
    rewards: [1, 1],
    masks: [[1, 0, 1, 1], [1, 1, 1, 0]],
    expected: [1, 0, 1, 1, 1, 1, 1, 0],
  },
  { name: "no observation", rewards: [3], masks: [[1, 1, 1, 1, 1]], expected: [3, 3, 3, 3, 3] },
] as const;
for (const { name, rewards, masks, expected } of TURNS) {
  Deno.test(`verl's returns over several turns: ${name}`, () => {
    assertEquals([...returns({ rewards, lengths: masks.map((row) => row.length), mask: masks.flat() })], [...expected]);
  });
}

// slime, tests/test_discounted_returns.py: KL coefficient .1, gamma .99, the reward on the last token that counts. slime carries the discounted sum on to
// a masked token before the first one that counts; in Kedge a masked token has 0.
Deno.test("slime's discounted returns of two responses with masked ends", () => {
  const kl = [0.2, 0.1, 0.3, 0.4, 0.5, 0.4, 0.2, 0.1], mask = [0, 1, 1, 1, 0, 1, 1, 1];
  const batch = { rewards: [2, -1], lengths: [5, 3], mask, tokenRewards: kl.map((x) => -0.1 * x) };
  close(returns(batch, { gamma: 0.99 }), [0, 1.881296, 1.9104, 1.96, 0, -1.049701, -1.0199, -1.01]);
});

// slime, the same file: gammas, and lengths around its chunks of 128.
Deno.test("slime's lengths and gammas: returns are the sums that define them", () => {
  for (const gamma of [0, 0.5, 0.99, 1]) {
    for (const length of [1, 3, 127, 128, 129, 511, 1000]) {
      const tokenRewards = Array.from({ length }, (_, i) => Math.sin(i * i));
      const got = returns({ rewards: [0], lengths: [length], tokenRewards }, { gamma });
      for (const t of [0, length >> 1, length - 1]) {
        let sum = 0;
        for (let k = t; k < length; k++) sum += gamma ** (k - t) * tokenRewards[k]!;
        close([got[t]!], [sum], 1e-10);
      }
    }
  }
});

// verl, tests/utils/test_groupwise.py.
Deno.test('verl\'s mixed labels make five groups: "0042" is not 42', () => {
  const groups = ["a", "b", "a", "c", "0042", 42];
  assertEquals([...estimateAdvantages({ kind: "dr_grpo" }, single([1, 5, 3, 5, 5, 7], { groups }))], [-1, 0, 1, 0, 0, 0]);
  const sparse = single([1, 1, 5, 7, 5, 4], { groups: [2, 2, 5, 7, 5, 2] });
  assertEquals([...estimateAdvantages({ kind: "dr_grpo" }, sparse)], [-1, -1, 0, 0, 0, 2]);
});

// verl keeps a group of one, with its whole reward as the advantage; in Kedge a group of one has advantage 0.
Deno.test("verl's groups without variance teach nothing: 1 1 | 1 0 | 5", () => {
  const batch = { rewards: [1, 1, 1, 0, 5], lengths: [2, 2, 2, 2, 2], groups: ["ones", "ones", "mixed", "mixed", "single"] };
  assertEquals([...estimateAdvantages({ kind: "dr_grpo" }, batch)], [0, 0, 0, 0, 0.5, 0.5, -0.5, -0.5, 0, 0]);
  assertEquals([...estimateAdvantages({ kind: "grpo", epsilon: 0 }, batch)].map(Math.sign), [0, 0, 0, 0, 1, 1, -1, -1, 0, 0]);
  assertEquals([...estimateAdvantages({ kind: "grpo" }, { rewards: [], lengths: [], groups: [] })], []);
});

// verl, tests/trainer/ppo/test_gpg_advantage_on_cpu.py. Its group of one has its reward as the advantage; in Kedge 0.
Deno.test("verl's gpg: 4 and 0 give 4 and -4, since one of two earned something; a lone 3 gives 0", () => {
  assertEquals([...estimateAdvantages({ kind: "gpg" }, single([4, 0]))], [4, -4]);
  assertEquals([...estimateAdvantages({ kind: "gpg" }, { rewards: [3], lengths: [3], groups: [0] })], [0, 0, 0]);
});

// verl, tests/trainer/ppo/test_gdpo_on_cpu.py.
Deno.test("verl's gdpo: parts that contradict each other cancel, those that agree add up, the mean is 0", () => {
  const parts = { accuracy: [1, 0, 0, 1], format: [0, 1, 0, 1] }, rewards = [1, 1, 0, 2], groups = ["a", "a", "b", "b"];
  const got = estimateAdvantages({ kind: "gdpo" }, { rewards, parts, groups, lengths: [2, 2, 2, 2] });
  // Centred sums 0, 0, -s, s at two tokens each, whitened: variance 4 s^2 / 7.
  close(got, [0, 0, 0, 0, -1, -1, 1, 1].map((x) => x * Math.sqrt(7 / 4)), 1e-6);
});

// verl, tests/trainer/ppo/test_core_algos_on_cpu.py.
Deno.test("verl's weights of gdpo's parts are applied", () => {
  const parts = { format: [1, 0, 1, 0], accuracy: [0, 1, 1, 0] }, batch = single([1, 1, 2, 0], { parts, groups: [0, 0, 1, 1] });
  const at = (accuracy: number) => [...estimateAdvantages({ kind: "gdpo", weights: { format: 1, accuracy } }, batch)];
  close(at(1), [0, 0, 1, -1].map((x) => x * Math.sqrt(3 / 2)), 1e-6);
  // Sums -4, 4, 6, -6 of standardised parts: variance 104 / 3.
  close(at(5), [-4, 4, 6, -6].map((x) => x * Math.sqrt(3 / 104)), 1e-6);
});

// verl, tests/workers/reward_manager/test_dapo_on_cpu.py.
Deno.test("verl's overlong response: a score of .5 at the limit of 4, with a buffer of 2, is left with -.5", () => {
  const parts = { score: [0.5, 0.5], overlong: [4, 4].map((n) => overlongReward(n, { maxLength: 4, buffer: 2 })) };
  assertEquals([...combineRewards(parts)], [-0.5, -0.5]);
  assertThrows(() => overlongReward(1, { maxLength: 64, buffer: 128 }), RangeError, "a buffer of 128 in 64");
});

// verl, tests/trainer/ppo/test_advantage_estimator_gradient_on_cpu.py: responses of three tokens of 0 or 1, each drawn by a logit of its own, with reward
// 2 a + b - c. The mean of an estimator's policy gradient over all groups that can be drawn is a finite sum.
const LOGITS = [0.4, -0.3, 0.2], PICKED = LOGITS.map((x) => 1 / (1 + Math.exp(-x)));
const RESPONSES = Array.from({ length: 8 }, (_, code) => {
  const tokens = [code >> 2 & 1, code >> 1 & 1, code & 1] as const;
  return {
    probability: tokens.reduce<number>((p, a, t) => p * (a ? PICKED[t]! : 1 - PICKED[t]!), 1),
    score: tokens.map((a, t) => a - PICKED[t]!),
    reward: 2 * tokens[0] + tokens[1] - tokens[2],
  };
});
const TRUE_GRADIENT = LOGITS.map((_, t) => RESPONSES.reduce((sum, r) => sum + r.probability * r.score[t]! * r.reward, 0));

/** Every multiset of `size` responses, rising. */
function* groupsOf(size: number, from = 0): Generator<number[]> {
  if (size === 0) return yield [];
  for (let first = from; first < RESPONSES.length; first++) for (const rest of groupsOf(size - 1, first)) yield [first, ...rest];
}

const factorial = (n: number): number => n < 2 ? 1 : n * factorial(n - 1);

/** The mean gradient by logit. */
function meanGradient(estimator: Estimator, size: number): number[] {
  const total = [0, 0, 0];
  for (const group of groupsOf(size)) {
    const times = RESPONSES.map((_, r) => group.filter((g) => g === r).length);
    const orders = factorial(size) / times.reduce((product, n) => product * factorial(n), 1);
    const probability = group.reduce((p, g) => p * RESPONSES[g]!.probability, orders);
    const rewards = group.map((g) => RESPONSES[g]!.reward);
    const advantages = estimateAdvantages(estimator, {
      rewards,
      lengths: group.map(() => 3),
      groups: group.map(() => 0),
      baselines: group.map(() => 0),
    });
    for (const [i, g] of group.entries()) {
      for (let t = 0; t < 3; t++) total[t]! += probability * advantages[3 * i + t]! * RESPONSES[g]!.score[t]! / size;
    }
  }
  return total;
}

Deno.test("verl's enumerated policy: the exact gradient is that of the mean reward", () => {
  // The mean reward is 2 p0 + p1 - p2.
  close(TRUE_GRADIENT, [2, 1, -1].map((x, t) => x * PICKED[t]! * (1 - PICKED[t]!)));
});

Deno.test("verl's enumerated policy: rloo, and remax with a baseline of 0, are unbiased", () => {
  for (const kind of ["rloo", "remax"] as const) close(meanGradient({ kind }, 4), TRUE_GRADIENT);
});

Deno.test("verl's enumerated policy: dr_grpo and opo have (G - 1) / G of the gradient, for groups of 2 to 6", () => {
  for (const size of [2, 3, 4, 5, 6]) {
    for (const kind of ["dr_grpo", "opo"] as const) close(meanGradient({ kind }, size), TRUE_GRADIENT.map((g) => (size - 1) / size * g));
  }
});

Deno.test("verl's enumerated policy: the division by the standard deviation turns the gradient", () => {
  const spread = (kind: "grpo" | "dr_grpo") => {
    const ratios = meanGradient({ kind }, 4).map((g, t) => g / TRUE_GRADIENT[t]!);
    return Math.max(...ratios) - Math.min(...ratios);
  };
  assert(spread("dr_grpo") <= 1e-9);
  assert(spread("grpo") > 1e-3);
});
