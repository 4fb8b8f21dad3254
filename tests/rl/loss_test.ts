import { assert, assertEquals, assertThrows } from "@std/assert";
import { aggregationWeights, batchSize, maskTruncated } from "../../rl/losses/aggregation.ts";
import { PolicyMetrics } from "../../rl/losses/metrics.ts";
import { type PolicyLoss, policyLoss } from "../../rl/losses/policy_loss.ts";
import { add, scale } from "../../tensor/ops/mod.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { policyGradient, policyReference } from "../ops/policy_reference.ts";
import { assertClose, deviceTest } from "../tensor/device_test_case.ts";
import { facts, lengths, packed } from "./golden.ts";
import { type Numbers, offsetsOf, runLoss } from "./policy_case.ts";

const KINDS = { default: "ppo", gspo: "gspo", gspo_token: "gspo_token", cispo: "cispo", sapo: "sapo" } as const;

for (const [name, golden] of Object.entries(facts.cases)) {
  const [, kind, aggregation] = name.split("/") as [string, keyof typeof KINDS, "token" | "seq"];
  deviceTest(`golden ${name}: loss, gradient and metrics`, (device) => {
    const clip = { clipRatioLow: golden.clip_ratio_low!, clipRatioHigh: golden.clip_ratio_high! };
    const loss = (kind === "sapo"
      ? { kind: "sapo", tauPositive: golden.tau_positive!, tauNegative: golden.tau_negative! }
      : kind === "cispo"
      ? { kind, ...clip }
      : { kind: KINDS[kind], ...clip, clipRatioDual: golden.clip_ratio_dual! }) as PolicyLoss;
    const weights = aggregationWeights({ kind: aggregation }, { lengths });
    const [logprobs, old, advantages] = ["logprobs", "old_logprobs", "policy_advantages"].map(packed) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    using metrics = new PolicyMetrics(device);
    const got = runLoss(device, { lengths, logprobs, old, advantages, weights }, { loss, metrics });
    const reference = policyReference(logprobs, {
      ...{ kind: KINDS[kind], offsets: [...offsetsOf(lengths)], old, advantage: advantages, weight: weights },
      ...{ low: 1 - clip.clipRatioLow, high: 1 + clip.clipRatioHigh, tauPositive: golden.tau_positive!, tauNegative: golden.tau_negative! },
    });
    const mean = reference.tokens.reduce((sum, l, i) =>
      sum + weights[i]! * Math.abs(l), 0);
    assert(Math.abs(got.loss - golden.loss!) <= 1e-6 * mean, `loss ${got.loss}, golden ${golden.loss}, mean token ${mean}`);
    const gradient = packed(`policy_grad/${kind}/${aggregation}`), largest = gradient.reduce((a, g) => Math.max(a, Math.abs(g)), 0);
    assert(largest > 0);
    for (let i = 0; i < gradient.length; i++) {
      assert(Math.abs(got.gradient[i]! - gradient[i]!) <= 1e-5 * largest, `gradient[${i}] ${got.gradient[i]}, golden ${gradient[i]}`);
    }
    const report = metrics.read()!;
    const close = (a: number, b: number) => assert(Math.abs(a - b) <= 1e-6 * (Math.abs(b) + 0.1), `${a}, golden ${b}`);
    close(report["actor/ppo_kl"], golden.ppo_kl!);
    close(report["actor/entropy_loss"], golden.entropy_loss!);
    if (golden.pg_clipfrac_higher !== undefined) {
      close(report["actor/pg_clipfrac_higher"], golden.pg_clipfrac_higher);
      close(report["actor/pg_clipfrac_lower"], golden.pg_clipfrac_lower!);
    }
    assertEquals(report["actor/entropy"], undefined);
    assert(Math.abs(report["actor/pg_loss"] - got.loss) <= 1e-6 * mean);
  });
}

/** A batch of one-token sequences with the ratios r, and its token losses. */
function tokenLosses(device: Parameters<typeof runLoss>[0], ratios: number[], advantages: number[], loss: PolicyLoss, logprobs?: number[]) {
  logprobs ??= ratios.map(() => -1);
  const old = ratios.map((r, i) => logprobs[i]! - Math.log(r));
  return ratios.map((_, i) => {
    const weights = ratios.map((_, j) => Number(i === j));
    return runLoss(device, { lengths: ratios.map(() => 1), logprobs, old, advantages, weights }, { loss });
  }).map(({ loss, gradient }, i) => ({ loss, slope: gradient[i]! }));
}

deviceTest("dual clip: the table of slime's test_policy_loss", (device) => {
  const loss = { kind: "ppo", clipRatioLow: 0.2, clipRatioHigh: 0.2, clipRatioDual: 1.5 } as const;
  const got = tokenLosses(device, [2, 2, 0.5], [2, -2, 2], loss);
  assertClose(got.map((t) => t.loss), [-2.4, 3, -1], { what: "losses", tolerance: 1e-6 });
  // The clips stop the gradient of the first two.
  assertClose(got.map((t) => t.slope), [0, 0, -1], { what: "slopes", tolerance: 1e-6 });
});

deviceTest("cispo: the tables of slime's test_cispo_loss", (device) => {
  const advantages = [1, -0.5, 2, -1], logprobs = [-0.7, -1.2, -0.4, -2.1];
  const tables = [
    { ratios: [1, 1.14, 1.56, 0.4], loss: { kind: "cispo", clipRatioLow: 0.2, clipRatioHigh: 0.28 }, weights: [1, 1.14, 1.28, 0.8] },
    { ratios: [1, 3, 9, 0.4], loss: { kind: "cispo", clipRatioLow: 1, clipRatioHigh: 4 }, weights: [1, 3, 5, 0.4] },
    { ratios: [1, 3, 9, 0.4], loss: { kind: "cispo", clipRatioCap: 5 }, weights: [1, 3, 5, 0.4] },
  ] as const;
  for (const { ratios, loss, weights } of tables) {
    const got = tokenLosses(device, [...ratios], advantages, loss, logprobs);
    assertClose(got.map((t) => t.loss), weights.map((w, i) => -w * advantages[i]! * logprobs[i]!), { what: "losses", tolerance: 1e-6 });
    assertClose(got.map((t) => t.slope), weights.map((w, i) => -w * advantages[i]!), { what: "gradients", tolerance: 1e-6 });
  }
});

/** Random packed numbers. */
function numbers(random: { normal(n: number, scale?: number): ArrayLike<number>; integer(a: number, b: number): number; next(): number }) {
  const lengths = Array.from({ length: 11 }, () => random.integer(0, 9)), n = lengths.reduce((a, b) => a + b, 0);
  const old = Array.from(random.normal(n), (x) => x - 2), drift = random.normal(n, 0.4);
  const mask = Array.from({ length: n }, () => Number(random.next() < 0.8));
  const logprobs = old.map((x, i) => x + drift[i]!);
  return { lengths, old, logprobs, mask, advantages: Array.from(random.normal(n)), entropy: Array.from(random.normal(n), Math.abs) };
}

deviceTest("every aggregation gives the same loss and gradient however the batch is cut, and its definition", (device, random) => {
  for (const aggregation of [{ kind: "token" }, { kind: "seq" }, { kind: "seq_sum_norm", length: 37 }] as const) {
    for (const kind of ["ppo", "gspo", "cispo", "sapo", "reinforce"] as const) {
      const b = numbers(random), size = batchSize(b), offsets = offsetsOf(b.lengths), n = b.mask.length;
      const part = (from: number, to: number): Numbers => {
        const cut = <T>(x: T[]) => x.slice(offsets[from], offsets[to]), lengths = b.lengths.slice(from, to);
        const weights = aggregationWeights(aggregation, { lengths, mask: cut(b.mask) }, size);
        const rest = { logprobs: cut(b.logprobs), old: cut(b.old), advantages: cut(b.advantages), entropy: cut(b.entropy) };
        return { lengths, weights, ...rest, entropyCoefficient: 0.1 };
      };
      const clip = { clipRatioLow: 0.2, clipRatioHigh: 0.28 },
        loss = (kind === "sapo" || kind === "reinforce" ? { kind } : { kind, ...clip }) as PolicyLoss;
      const whole = runLoss(device, part(0, b.lengths.length), { loss });
      for (const cuts of [[0, 1, 11], [0, 5, 6, 11], Array.from({ length: 12 }, (_, i) => i), [0, random.integer(0, 11), 11]]) {
        const parts = cuts.slice(1).map((to, i) => runLoss(device, part(cuts[i]!, to), { loss }));
        const sum = parts.reduce((s, p) => s + p.loss, 0);
        assert(Math.abs(sum - whole.loss) <= 1e-5, `${aggregation.kind} ${kind} cut at ${cuts}: ${sum}, whole ${whole.loss}`);
        assertClose(parts.flatMap((p) => [...p.gradient]), whole.gradient, { what: "gradient", tolerance: 1e-6 });
        assertClose(parts.flatMap((p) => [...p.entropyGradient!]), whole.entropyGradient!, { what: "entropy", tolerance: 1e-6 });
      }
      // The definition, from the token losses.
      const weight = new Float64Array(n);
      let at = 0;
      const sequences = b.lengths.map((length) => Array.from({ length }, () => at++).filter((i) => b.mask[i]));
      const filled = sequences.filter((s) => s.length > 0), tokens = filled.flat().length;
      for (const s of filled) {
        for (const i of s) {
          if (aggregation.kind === "token") weight[i] = 1 / tokens;
          else weight[i] = 1 / filled.length / (aggregation.kind === "seq" ? s.length : 37);
        }
      }
      const c = { kind, offsets: [...offsets], old: b.old, advantage: b.advantages, weight, entropy: b.entropy, entropyCoefficient: 0.1 };
      const logprob = Float64Array.from(b.logprobs), { loss: expected, ratios } = policyReference(logprob, c);
      assert(Math.abs(whole.loss - expected) <= 1e-5, `${aggregation.kind} ${kind}: ${whole.loss}, ${expected}`);
      // At the bounds of the clip there is no derivative.
      const smooth = [...logprob.keys()].filter((i) => [0.8, 1.28, 3].every((bound) => Math.abs(ratios[i]! - bound) > 1e-5));
      const gradient = policyGradient(logprob, c), what = `${aggregation.kind} ${kind} gradient`;
      assertClose(smooth.map((i) => whole.gradient[i]!), smooth.map((i) => gradient[i]!), { what, tolerance: 1e-4 });
      assertClose(whole.entropyGradient!, weight.map((w) => -0.1 * w), { what: "entropy gradient", tolerance: 1e-6 });
    }
  }
});

deviceTest("seq differs from token where lengths differ, and truncated sequences leave both", (device) => {
  const b = { lengths: [3, 1], logprobs: [-1, -1, -1, -1], old: [-1, -1, -1, -1], advantages: [1, 1, 1, -1] };
  const at = (kind: "token" | "seq", truncated = [false, false]) => {
    const layout = maskTruncated(b, truncated), weights = aggregationWeights({ kind }, layout);
    return runLoss(device, { ...b, weights }, { loss: { kind: "ppo" } });
  };
  const close = (a: number, b: number) => assert(Math.abs(a - b) <= 1e-7, `${a}, ${b}`);
  close(at("token").loss, -0.5);
  close(at("seq").loss, 0);
  assertEquals([at("token", [true, false]).loss, at("seq", [true, false]).loss], [1, 1]);
  assertEquals([...at("seq", [true, false]).gradient].map((x) => x + 0), [0, 0, 0, 1]);
});

deviceTest("a correction scales policy loss and gradient of its token, and no entropy", (device, random) => {
  const b = numbers(random), weights = aggregationWeights({ kind: "token" }, b);
  const correction = b.old.map(() => 2 * random.next());
  const got = runLoss(device, { ...b, weights, correction, entropyCoefficient: 0.3 }, { loss: { kind: "ppo" } });
  const plain = runLoss(device, { ...b, weights, entropyCoefficient: 0.3 }, { loss: { kind: "ppo" } });
  assertClose(got.gradient, plain.gradient.map((g, i) => g * correction[i]!), { what: "gradient", tolerance: 1e-5 });
  assertEquals(got.entropyGradient, plain.entropyGradient);
});

deviceTest("the loss is differentiable as part of a larger one", (device) => {
  using logprobs = Tensor.from(device, [-1, -2]);
  using advantages = Tensor.from(device, [1, -1]);
  using weights = Tensor.from(device, [0.5, 0.5]);
  using offsets = Tensor.from(device, Int32Array.of(0, 2));
  using tape = new Tape(device);
  const x = tape.input(logprobs), batch = { old: logprobs, advantages, weights, offsets };
  const [one, two] = [policyLoss(x, batch, { loss: { kind: "ppo" } }), policyLoss(x, batch, { loss: { kind: "reinforce" } })];
  tape.backward(add(scale(one, 3), two));
  assertEquals([...x.gradient!.toFloats()], [-2, 2]);
});

deviceTest("metrics: true entropy, means over micro-batches and over optimizer steps", (device) => {
  using metrics = new PolicyMetrics(device);
  const b = { lengths: [2], logprobs: [-1, -2], old: [-1.5, -2], advantages: [1, 1], weights: [0.25, 0.25], entropy: [2, 4] };
  runLoss(device, b, { loss: { kind: "reinforce" }, metrics });
  runLoss(device, { ...b, entropy: [0, 6] }, { loss: { kind: "reinforce" }, metrics });
  const report = metrics.read()!;
  assertEquals(report["actor/entropy"], 3);
  assertEquals([report["actor/pg_loss"], report["actor/entropy_loss"], report["actor/ppo_kl"]], [1.5, 1.5, -0.25]);
  assert(Math.abs(report["actor/ratio_max"] - Math.exp(0.5)) < 1e-6);
  assertEquals(metrics.read(), undefined);
  for (let i = 0; i < 2; i++) runLoss(device, { ...b, weights: [0.5, 0.5] }, { loss: { kind: "reinforce" }, metrics });
  assertEquals(metrics.read(2)!["actor/pg_loss"], 1.5);
});

deviceTest("policyLoss refuses what makes no sense, by name", (device) => {
  const b = { lengths: [1], logprobs: [-1], old: [-1], advantages: [1], weights: [1] };
  const refused = (loss: unknown, words: string) => assertThrows(() => runLoss(device, b, { loss: loss as PolicyLoss }), RangeError, words);
  refused({ kind: "ppo", clipRatioLow: 1.2 }, "1 - 1.2");
  refused({ kind: "ppo", clipRatioHigh: NaN }, "NaN");
  refused({ kind: "ppo", clipRatioDual: 1 }, "clipRatioDual 1");
  refused({ kind: "sapo", tauNegative: 0 }, "above 0");
  refused({ kind: "cispo", clipRatioCap: 5, clipRatioLow: 0.2 }, "replaces both");
  refused({ kind: "cispo", clipRatioCap: 0 }, "Cannot cap");
  assertThrows(() => runLoss(device, { ...b, old: [-1, -1] }, { loss: { kind: "ppo" } }), RangeError, "as old");
  assertThrows(
    () => runLoss(device, { ...b, entropyCoefficient: 0.1, entropy: [1, 2] }, { loss: { kind: "ppo" } }),
    RangeError,
    "as entropy",
  );
  assertEquals(runLoss(device, b, { loss: { kind: "ppo", clipRatioLow: undefined!, clipRatioDual: null } }).loss, -1);
});
