import type { Address } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Random } from "../../tensor/random.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest, round } from "./harness.ts";
import { checksArrays, joinBytes } from "./matrix.ts";
import { POLICY_KINDS, type PolicyCase, policyGradient, policyReference } from "./policy_reference.ts";

/** Arrays of one call, rounded to f32. Masked tokens hold NaN. */
interface Batch extends PolicyCase {
  logprob: Float64Array;
  old: Float64Array;
  advantage: Float64Array;
  weight: Float64Array;
  correction: Float64Array;
  entropy: Float64Array;
}

const f32 = (values: ArrayLike<number>) => Float64Array.from(values, (x) => round(x, "f32"));

/** @param scale The scale of the log-ratios. */
function batch(random: Random, { lengths, kind, scale = 0.3 }: { lengths: number[]; kind: PolicyCase["kind"]; scale?: number }): Batch {
  const offsets = [0];
  for (const length of lengths) offsets.push(offsets.at(-1)! + length);
  const n = offsets.at(-1)!;
  const old = f32(Array.from(random.normal(n), (x) => -1.5 + x)), drift = random.normal(n, scale);
  const logprob = f32(old.map((x, i) => x + drift[i]!)), advantage = f32(random.normal(n));
  const weight = f32(Array.from({ length: n }, () => random.next() < 0.2 ? 0 : random.next() / n));
  const correction = f32(Array.from({ length: n }, () => 2 * random.next())), entropy = f32(Array.from({ length: n }, () => random.next()));
  for (let i = 0; i < n; i++) {
    if (weight[i] !== 0) continue;
    for (const array of [old, logprob, advantage, correction, entropy]) array[i] = NaN;
  }
  return { kind, offsets, old, logprob, advantage, weight, correction, entropy, entropyCoefficient: 0.01 };
}

function call(run: OpRun, b: Batch, { plain = false, stats = 0 }: { plain?: boolean; stats?: Address } = {}) {
  const n = b.logprob.length, up = (values: ArrayLike<number>) => run.input(values, { dtype: "f32" }).address;
  const [loss, dlogprob, tokens] = [run.output(1), run.output(n), run.output(n)];
  run.device.ops.policyLoss(
    ...[loss, dlogprob, tokens, stats, up(b.logprob), up(b.old), up(b.advantage), up(b.weight)] as const,
    ...[plain ? 0 : up(b.correction), plain ? 0 : up(b.entropy), run.integers(Int32Array.from(b.offsets)), n] as const,
    ...[b.offsets.length - 1, POLICY_KINDS.indexOf(b.kind), b.low ?? 0.8, b.high ?? 1.28, b.dual ?? 3, b.tauPositive ?? 1] as const,
    ...[b.tauNegative ?? 1.05, b.logRatioMax ?? 20, b.entropyCoefficient ?? 0] as const,
  );
  return { loss: run.read(loss, 1)[0]!, dlogprob: run.read(dlogprob, n), tokens: run.read(tokens, n), addresses: [loss, dlogprob, tokens] };
}

const only32 = { dtypes: ["f32"] as const };

for (const kind of POLICY_KINDS) {
  opTest(`policyLoss ${kind}: loss, token losses and gradient match the float64 reference`, (run) => {
    for (const lengths of [[1], [3, 0, 5], [1, 7, 13], run.small ? [40, 300] : [1000, 3, 517]]) {
      for (const scale of [0.02, 0.5, 2]) {
        const b = batch(run.random, { lengths, kind, scale });
        const got = call(run, b), expected = policyReference(b.logprob, b);
        const what = `${lengths} at ${scale}`;
        run.close(got.tokens, expected.tokens, { what: `token losses ${what}`, scale: 1e-3 });
        const size = Math.abs(expected.loss) + expected.tokens.reduce((sum, l, i) => sum + Math.abs(l * b.weight[i]!), 0);
        assert(Math.abs(got.loss - expected.loss) <= 3e-7 * size, `loss ${what}: ${got.loss}, expected ${expected.loss}`);
        if (lengths.length === 2) continue; // differences take n^2
        if (expected.tokens.length > 100) continue;
        // Differences of the loss are as exact as the loss.
        const gradient = policyGradient(b.logprob, b), largest = Math.max(...gradient.map(Math.abs));
        for (let i = 0; i < gradient.length; i++) {
          // A token within the step of a kink has no derivative there.
          const kinks = [Math.log(0.8), Math.log(1.28), Math.log(3)];
          if (kinks.some((k) => Math.abs(Math.log(expected.ratios[i]!) - k) < 1e-5)) continue;
          assert(
            Math.abs(got.dlogprob[i]! - gradient[i]!) <= 1e-5 * largest + 1e-9 * size,
            `${what}: d[${i}] ${got.dlogprob[i]}, ${gradient[i]}`,
          );
        }
      }
    }
  }, only32);
}

opTest("policyLoss adds its statistics up", (run) => {
  const b = batch(run.random, { lengths: [5, 9, 1], kind: "ppo", scale: 0.6 });
  const stats = run.input(new Float64Array(10), { dtype: "f64" }).address;
  call(run, b, { stats });
  call(run, b, { stats });
  const { tokens, ratios } = policyReference(b.logprob, b);
  const active = [...b.weight.keys()].filter((i) => b.weight[i] !== 0);
  const sum = (f: (i: number) => number) => 2 * active.reduce((total, i) => total + f(i), 0);
  const clipped = (r: number) => Math.min(Math.max(r, 0.8), 1.28);
  const expected = [
    sum((i) => b.weight[i]! * b.correction[i]! * tokens[i]!),
    sum(() => 1),
    sum((i) => Number(-b.advantage[i]! * ratios[i]! < -b.advantage[i]! * clipped(ratios[i]!))),
    sum((i) => Number(b.advantage[i]! < 0 && ratios[i]! > 3)),
    sum((i) => b.old[i]! - b.logprob[i]!),
    sum((i) => -b.weight[i]! * b.logprob[i]!),
    sum((i) => b.entropy[i]!),
    sum((i) => b.weight[i]! * b.entropy[i]!),
    sum((i) => ratios[i]!),
    Math.max(0, ...active.map((i) => ratios[i]!)),
  ];
  run.close(run.read(stats, 10, "f64"), expected, { what: "stats", factor: 1e-6, scale: 1 });
}, only32);

opTest("policyLoss: log-ratios past the bound stop there and pass no gradient", (run) => {
  const b: Batch = {
    ...batch(run.random, { lengths: [4], kind: "ppo" }),
    ...{ logprob: f32([-1, -30, -1, -30]), old: f32([-30, -1, -30, -1]), advantage: f32([-1, -1, 1, 1]), weight: f32([1, 1, 1, 1]) },
    ...{ entropy: f32([0, 0, 0, 0]), dual: 0 },
  };
  const { tokens, dlogprob } = call(run, b, { plain: true });
  run.close(tokens, [Math.exp(20), 0.8, -1.28, -Math.exp(-20)], { what: "token losses", scale: 0 });
  assertEquals([...dlogprob].map(Math.abs), [0, 0, 0, 0]);
}, only32);

opTest("policyLoss: a NaN or an infinity of a token that counts makes the loss NaN, of a masked one nothing", (run) => {
  for (const kind of POLICY_KINDS) {
    const b = batch(run.random, { lengths: [3, 4], kind });
    b.weight.fill(0.1);
    for (const array of [b.logprob, b.old, b.advantage, b.correction, b.entropy]) array.fill(-0.5);
    assert(Number.isFinite(call(run, b).loss));
    for (const bad of [NaN, Infinity, -Infinity]) {
      const logprob = b.logprob.with(4, bad);
      const { loss, dlogprob } = call(run, { ...b, logprob });
      assert(Number.isNaN(loss), `${kind} with ${bad}: ${loss}`);
      assert(dlogprob.subarray(0, 3).every(Number.isFinite));
      assert(Number.isFinite(call(run, { ...b, logprob, weight: f32(b.weight).with(4, 0) }).loss));
    }
  }
}, only32);

opTest("policyLoss gives equal bits for any number of threads", (run) => {
  const lengths = run.small ? [100, 3, 300] : Array.from({ length: 120 }, () => run.random.integer(0, 700));
  for (const kind of ["ppo", "gspo"] as const) {
    const b = batch(run.random, { lengths, kind });
    assertDeterministic(run, () => {
      const stats = run.input(new Float64Array(10), { dtype: "f64" }).address;
      const [loss, dlogprob, tokens] = call(run, b, { stats }).addresses as [Address, Address, Address];
      const bytes = 4 * b.logprob.length;
      return joinBytes(run.bytes(loss, 4), run.bytes(dlogprob, bytes), run.bytes(tokens, bytes), run.bytes(stats, 80));
    });
  }
}, only32);

opTest("policyLoss refuses bad arguments; no tokens give a loss of 0", (run) => {
  const b = batch(run.random, { lengths: [2, 2], kind: "ppo" });
  const call9 = (kind: number, low: number, high: number, tau: number, most: number) => () => {
    const x = run.input([0, 0, 0, 0]).address, offsets = run.integers(Int32Array.of(0, 4));
    run.device.ops.policyLoss(run.output(1), run.output(4), 0, 0, x, x, x, x, 0, 0, offsets, 4, 1, kind, low, high, 3, tau, 1, most, 0);
  };
  call9(0, 0.8, 1.2, 1, 20)();
  assertThrows(call9(6, 0.8, 1.2, 1, 20), RangeError, "kind");
  assertThrows(call9(-1, 0.8, 1.2, 1, 20), RangeError, "kind");
  assertThrows(call9(0, 1.3, 1.2, 1, 20), RangeError, "ratio_low");
  assertThrows(call9(0, NaN, 1.2, 1, 20), RangeError, "ratio_low");
  assertThrows(call9(4, 0.8, 1.2, 0, 20), RangeError, "tau_positive");
  assertThrows(call9(0, 0.8, 1.2, 1, NaN), RangeError, "log_ratio_max");
  for (const offsets of [[1, 4], [0, 3], [0, 3, 2, 4], [0, 5], [0, -1, 4]]) {
    if (checksArrays(run)) assertThrows(() => call(run, { ...b, offsets }), RangeError, "offsets[");
    else assert(Number.isNaN(call(run, { ...b, offsets }).loss));
  }
  const empty = new Float64Array(0);
  const none = { ...b, logprob: empty, old: empty, advantage: empty, weight: empty, correction: empty, entropy: empty };
  assertEquals(call(run, { ...none, offsets: [0] }).loss, 0);
  assertEquals(call(run, { ...none, offsets: [0, 0, 0] }).loss, 0);
}, only32);

/** Runs importanceWeights over sequences of differences logprob - rollout. */
function weights(
  run: OpRun,
  differences: number[][],
  { level = 0, mask = 0, low = 0, high = Infinity, most = 20, masked = -1 } = {},
): { out: number[]; stats: number[] } {
  const flat = differences.flat(), n = flat.length, offsets = [0];
  for (const d of differences) offsets.push(offsets.at(-1)! + d.length);
  const rollout = f32(flat.map((_, i) => -1 - i / 8));
  const logprob = run.input(flat.map((d, i) => i === masked ? NaN : rollout[i]! + d)).address,
    weight = run.input(flat.map((_, i) => i === masked ? 0 : 0.5));
  const [out, stats] = [run.output(n), run.input(new Float64Array(7), { dtype: "f64" }).address];
  run.device.ops.importanceWeights(
    ...[out, stats, logprob, run.input(rollout).address, weight.address, run.integers(Int32Array.from(offsets)), n] as const,
    ...[differences.length, level, mask, low, high, most] as const,
  );
  return { out: [...run.read(out, n)], stats: [...run.read(stats, 7, "f64")] };
}

opTest("importanceWeights by token: truncated to the bounds, or 0 outside them", (run) => {
  const d = [[Math.log(0.4), Math.log(0.8)], [Math.log(6)]];
  run.close(weights(run, d, { low: 0.5, high: 5 }).out, [0.5, 0.8, 5], { what: "truncate" });
  const { out, stats } = weights(run, d, { mask: 1, low: 0.5, high: 5 });
  run.close(out, [0, 0.8, 0], { what: "mask" });
  const gaps = d.flat();
  const expected = [3, 0.8, 0.64, 2, gaps.reduce((s, x) => s + Math.abs(x), 0), Math.log(6), -gaps.reduce((s, x) => s + x, 0)];
  run.close(stats, expected, { what: "stats", scale: 1 });
  run.close(weights(run, [[50, -50]], {}).out, [Math.exp(20), Math.exp(-20)], { what: "bound of the log-ratio", scale: 0, factor: 2 });
}, only32);

opTest("importanceWeights by sequence: one factor from the sum, or from the mean, of the tokens that count", (run) => {
  const d = [[0.1, 0.2, 0.3], [], [-0.5], [1, 1]];
  const each = (f: (x: number[]) => number) => d.flatMap((x) => x.map(() => f(x)));
  const sum = (x: number[]) => x.reduce((a, b) => a + b, 0);
  run.close(weights(run, d, { level: 1 }).out, each((x) => Math.exp(sum(x))), { what: "sum" });
  run.close(weights(run, d, { level: 2 }).out, each((x) => Math.exp(sum(x) / x.length)), { what: "mean" });
  run.close(weights(run, d, { level: 1, mask: 1, high: 3 }).out, each((x) => sum(x) > Math.log(3) ? 0 : Math.exp(sum(x))), {
    what: "mask",
  });
  const { out, stats } = weights(run, d, { level: 1, masked: 1 });
  run.close(out, [Math.exp(0.4), 0, Math.exp(0.4), Math.exp(-0.5), Math.exp(2), Math.exp(2)], { what: "a masked token" });
  assertEquals(stats[0], 5);
}, only32);

opTest("importanceWeights: NaN stays NaN, also where what is outside is masked", (run) => {
  for (const level of [0, 1, 2]) {
    const { out } = weights(run, [[0.1, NaN], [0.2]], { level, mask: 1, low: 0.5, high: 2 });
    assert(Number.isNaN(out[1]) && Number.isFinite(out[2]));
  }
}, only32);

opTest("importanceWeights refuses bad arguments", (run) => {
  for (const bad of [{ level: 3 }, { level: -1 }, { low: 2, high: 1 }, { low: -1 }, { low: NaN }, { most: 0 }]) {
    assertThrows(() => weights(run, [[0, 1]], bad), RangeError);
  }
}, only32);
