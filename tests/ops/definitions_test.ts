// The kernels of losses and divergences against their definitions in rl/: every kind and option, on random numbers and at the edges.
import { assert, assertEquals } from "@std/assert";
import { type Divergence, divergenceClamp, type DivergenceKind } from "../../rl/divergences/divergence.ts";
import { plainDivergence, plainFullKl } from "../../rl/divergences/plain_divergence.ts";
import { type LossInput, plainPolicyLoss } from "../../rl/losses/plain_loss.ts";
import { lossBounds, type PolicyLoss } from "../../rl/losses/policy_loss.ts";
import { type OpRun, opTest } from "./harness.ts";
import { matrix } from "./matrix.ts";
import { DIVERGENCE_KINDS, POLICY_KINDS } from "./policy_reference.ts";

const F32 = { dtypes: ["f32"] as const };

/** Fails unless a float32 is the float64 rounded, give or take its last bit: exp may differ in the last bit of a double. NaN is NaN. */
function rounded(got: number, wanted: number, what: string): void {
  const fits = Number.isNaN(wanted) ? Number.isNaN(got) : Math.abs(got - wanted) <= 2 ** -23 * Math.abs(wanted) + 1e-38;
  assert(fits, `${what}: ${got}, the definition gives ${wanted}`);
}

const clips = [{}, { clipRatioLow: 0.1, clipRatioHigh: 0.5 }, { clipRatioLow: 1, clipRatioHigh: 0 }, { clipRatioDual: null }, {
  clipRatioDual: 1.5,
}];
const LOSSES: readonly PolicyLoss[] = [
  ...(["ppo", "gspo", "gspo_token"] as const).flatMap((kind) => clips.map((clip) => ({ kind, ...clip }))),
  ...[{}, { clipRatioLow: 0.5, clipRatioHigh: 2 }, { clipRatioCap: 5 }].map((clip) => ({ kind: "cispo", ...clip } as PolicyLoss)),
  { kind: "sapo" },
  { kind: "sapo", tauPositive: 0.3, tauNegative: 2.5 },
  { kind: "reinforce" },
];

/** Responses of random lengths, some with tokens at an edge. */
function responses(run: OpRun): LossInput[] {
  const { random } = run, lengths = [1, 0, 5, ...Array.from({ length: run.small ? 3 : 20 }, () => random.integer(1, 40))];
  const edges = [0, 20.5, -20.5, Math.log(1.3), Math.log(0.8), Math.log(3)]; // no change, past the clamp, at the bounds of the clips
  return lengths.map((n) => {
    const f32 = (values: ArrayLike<number>) => Float32Array.from(values), scale = [0.01, 0.3, 2][random.integer(0, 3)]!;
    const old = f32(Array.from(random.normal(n), (x) => x - 2)), drift = random.normal(n, scale);
    const logprobs = old.map((x, t) => x + (random.next() < 0.2 ? edges[random.integer(0, edges.length)]! : drift[t]!));
    const advantages = f32(Array.from(random.normal(n), (x) => random.next() < 0.1 ? 0 : x));
    const mask = Uint8Array.from({ length: n }, () => Number(random.next() < 0.8));
    const weights = Float64Array.from(mask, (counts) => counts * Math.fround(random.next() / n) * Math.fround(random.integer(0, 3)));
    for (let t = 0; t < n; t++) if (!mask[t]) logprobs[t] = old[t] = advantages[t] = NaN;
    return { logprobs, old, advantages, mask, weights };
  });
}

/** The kernel's loss and gradient of each response alone. */
function kernelLoss(run: OpRun, { logprobs, old, advantages, mask, weights }: LossInput, options: PolicyLoss) {
  const n = logprobs.length, up = (values: ArrayLike<number>) => run.input(values, { dtype: "f32" }).address;
  const [loss, gradient] = [run.output(1), run.output(n)], { low, high, dual, tauPositive, tauNegative, logRatioMax } = lossBounds(options);
  // The weight says which tokens count; the correction may make a counted token's factor 0.
  run.device.ops.policyLoss(
    ...[
      loss,
      gradient,
      0,
      0,
      up(logprobs),
      up(old),
      up(advantages),
      up(mask),
      up(weights),
      0,
      run.integers(Int32Array.of(0, n)),
      n,
    ] as const,
    ...[1, POLICY_KINDS.indexOf(options.kind), low, high, dual, tauPositive, tauNegative, logRatioMax, 0] as const,
  );
  return { loss: run.read(loss, 1)[0]!, gradient: run.read(gradient, n) };
}

opTest("policyLoss is its definition for every kind and option, to the rounding of float32", (run) => {
  for (const options of LOSSES) {
    for (const [i, response] of responses(run).entries()) {
      const weights = Float64Array.from(response.weights, Math.fround), own = { ...response, weights };
      const got = kernelLoss(run, own, options), wanted = plainPolicyLoss(own, options), what = `${JSON.stringify(options)}, response ${i}`;
      rounded(got.loss, wanted.loss, `loss, ${what}`);
      for (const [t, slope] of wanted.gradient.entries()) rounded(got.gradient[t]!, slope, `gradient of token ${t}, ${what}`);
    }
  }
}, F32);

opTest("policyLoss and its definition hide no number that is not finite, and read none of a masked token", (run) => {
  const base = { old: [-1, -2, -1], advantages: [1, -1, 2], mask: [1, 1, 1], weights: [0.5, 0.25, 0.25] };
  for (const loss of POLICY_KINDS.map((kind) => ({ kind } as PolicyLoss))) {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const response = { ...base, logprobs: [-1, bad, -1] };
      assertEquals([kernelLoss(run, response, loss).loss, plainPolicyLoss(response, loss).loss], [NaN, NaN], loss.kind);
      const masked = { ...response, mask: [1, 0, 1], weights: [0.5, 0, 0.25] };
      rounded(kernelLoss(run, masked, loss).loss, plainPolicyLoss(masked, loss).loss, loss.kind);
    }
  }
}, F32);

const DIVERGENCES: readonly Divergence[] = (DIVERGENCE_KINDS as readonly DivergenceKind[]).flatMap((kind) =>
  (kind === "alpha" ? [-1, 0, 0.3, 0.5, 1, 2] : [0.5]).flatMap((alpha) =>
    [undefined, null, 0.5].flatMap((clamp) =>
      [false, true].map((importance) => ({ kind, alpha, importance, ...(clamp !== undefined && { clamp }) }))
    )
  )
);

opTest("divergence is its definition for every kind and option, to the rounding of float32", (run) => {
  const edges = [0, 1e-6, -1e-6, 0.5, -0.5, 3, -3, 20.5, -20.5, NaN, Infinity, -Infinity];
  const n = run.small ? 40 : 200, x = [...edges, ...run.random.normal(n - edges.length, 1)], old = run.random.normal(n, 1);
  const logprob = Float32Array.from(x, (_, i) => -1 - (i % 7) / 4), reference = Float32Array.from(x, (d, i) => logprob[i]! + d);
  const before = Float32Array.from(old, (d, i) => i === 0 ? logprob[i]! + 25 : logprob[i]! - d);
  const up = (values: ArrayLike<number>) => run.input(values, { dtype: "f32" }).address;
  const [p, q, o, one] = [up(logprob), up(reference), up(before), up(new Float32Array(n).fill(1))];
  for (const options of DIVERGENCES) {
    const [slope, value] = [run.output(n), run.output(n)];
    run.device.ops.divergence(
      ...[0, slope, value, 0, p, q, options.importance ? o : 0, one, n] as const,
      ...[DIVERGENCE_KINDS.indexOf(options.kind), options.alpha!, 20, divergenceClamp(options) ?? 0] as const,
    );
    const got = { value: run.read(value, n), slope: run.read(slope, n) };
    for (let i = 0; i < n; i++) {
      const wanted = plainDivergence(reference[i]! - logprob[i]!, options, logprob[i]! - before[i]!);
      const what = `${JSON.stringify(options)} at ${reference[i]! - logprob[i]!}`;
      rounded(got.value[i]!, wanted.value, `value, ${what}`);
      rounded(got.slope[i]!, wanted.slope, `slope, ${what}`);
    }
  }
}, F32);

opTest("KL over the vocabulary is its definition, value and gradient", (run) => {
  const n = 3, vocab = 37, x = run.random.normal(n * vocab, 2), step = run.random.normal(n * vocab, 0.5);
  const logits = matrix(run, { rows: n, width: vocab, values: x }),
    ref = matrix(run, { rows: n, width: vocab, values: x.map((v, i) => v + step[i]!) });
  const [kl, lse, shift, one] = [run.output(n), run.output(n), run.output(n), run.input([1, 1, 1]).address];
  const gradient = matrix(run, { rows: n, width: vocab }), both = [logits.address, logits.stride, ref.address, ref.stride] as const;
  run.device.ops.klFwd(run.dtypeCode, kl, lse, shift, ...both, 0, 0, n, vocab, 1);
  run.device.ops.klBwd(run.dtypeCode, gradient.address, gradient.stride, ...both, lse, shift, one, 0, 0, n, vocab, 1);
  const row = (values: Float64Array, i: number) => values.subarray(i * vocab, (i + 1) * vocab);
  const wanted = Array.from({ length: n }, (_, i) => plainFullKl(row(logits.values, i), row(ref.values, i)));
  run.close(run.read(kl, n), wanted.map(({ value }) => value), { what: "value", scale: 1 });
  run.close(gradient.read(), wanted.flatMap((own) => [...own.gradient]), { what: "gradient", scale: 1 });
}, F32);
