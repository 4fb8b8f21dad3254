import { assert, assertEquals, assertThrows } from "@std/assert";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest, round } from "./harness.ts";
import { joinBytes } from "./matrix.ts";
import { DIVERGENCE_KINDS, divergenceReference } from "./policy_reference.ts";

interface Options {
  alpha?: number;
  most?: number;
  valueMax?: number;
  old?: ArrayLike<number>;
  weight?: ArrayLike<number>;
}

/** Runs `divergence` for log(reference / policy) = x. */
function call(run: OpRun, kind: typeof DIVERGENCE_KINDS[number], x: ArrayLike<number>, options: Options = {}) {
  const n = x.length, logprob = Float64Array.from(x, (_, i) => round(-1 - (i % 7) / 4, "f32"));
  const weight = options.weight ?? new Float64Array(n).fill(1);
  const [loss, dlogprob, value, stats] = [run.output(1), run.output(n), run.output(n), run.input([0, 0, 0], { dtype: "f64" }).address];
  const reference = run.input(Array.from(x, (d, i) => logprob[i]! + d));
  run.device.ops.divergence(
    ...[loss, dlogprob, value, stats, run.input(logprob).address, reference.address] as const,
    ...[options.old ? run.input(Array.from(options.old, (d, i) => logprob[i]! - d)).address : 0, run.input(weight).address, n] as const,
    ...[DIVERGENCE_KINDS.indexOf(kind), options.alpha ?? 0.5, options.most ?? 20, options.valueMax ?? 0] as const,
  );
  return {
    // The value that the kernel sees after rounding.
    x: reference.values.map((r, i) => r - logprob[i]!),
    loss: run.read(loss, 1)[0]!,
    slope: run.read(dlogprob, n),
    value: run.read(value, n),
    stats: run.read(stats, 3, "f64"),
    addresses: [loss, dlogprob, value] as const,
  };
}

const only32 = { dtypes: ["f32"] as const };

opTest("divergence: value and slope match the float64 formulas", (run) => {
  for (const kind of DIVERGENCE_KINDS) {
    for (const alpha of kind === "alpha" ? [-1, 0.3, 0.5, 2, 1.1] : [0.5]) {
      const { x, value, slope } = call(run, kind, [...run.random.normal(20, 0.1), ...run.random.normal(20, 2), 0.5, -0.5], { alpha });
      const expected = Array.from(x, (d) => divergenceReference(kind, d, alpha));
      run.close(value, expected.map((e) => e.value), { what: `${kind} ${alpha}`, scale: 1e-3 });
      run.close(slope, expected.map((e) => e.slope), { what: `slope of ${kind} ${alpha}`, scale: 1e-2, factor: 5 });
    }
  }
}, only32);

opTest("divergence alpha: 1 is KL(policy || reference), 0 KL(reference || policy), 2 half of chi-square", (run) => {
  const x = run.random.normal(50, 0.7);
  const pairs = [[1, "k3+", 1], [0, "forward_kl", 1], [2, "chi_square", 0.5]] as const;
  for (const [alpha, kind, factor] of pairs) {
    const a = call(run, "alpha", x, { alpha }), b = call(run, kind, x);
    run.close(a.value, b.value.map((v) => factor * v), { what: `${kind} by alpha` });
    run.close(a.slope, b.slope.map((v) => factor * v), { what: `slope of ${kind} by alpha` });
  }
}, only32);

/** Two random distributions over `size` outcomes. */
function distributions(run: OpRun, size: number) {
  const softmax = (z: Float64Array) => {
    const e = z.map(Math.exp), sum = e.reduce((a, b) => a + b, 0);
    return e.map((x) => x / sum);
  };
  const logits = Float64Array.from(run.random.normal(size)), reference = softmax(Float64Array.from(run.random.normal(size)));
  return { logits, reference, softmax };
}

opTest("divergence: under the policy the mean of the values is the divergence, the mean score-weighted slope its gradient", (run) => {
  const { logits, reference: q, softmax } = distributions(run, 6);
  const over = (f: (p: number, q: number) => number) => (p: Float64Array) => p.reduce((sum, x, i) => sum + f(x, q[i]!), 0);
  const alpha = 0.3, kl = over((p, q) => p * Math.log(p / q));
  const exact: Partial<Record<typeof DIVERGENCE_KINDS[number], (p: Float64Array) => number>> = {
    "k1+": kl,
    "k3+": kl,
    "forward_kl": over((p, q) => q * Math.log(q / p)),
    "jensen_shannon": over((p, q) => (p * Math.log(2 * p / (p + q)) + q * Math.log(2 * q / (p + q))) / 2),
    "chi_square": over((p, q) => (p - q) ** 2 / q),
    "total_variation": over((p, q) => Math.abs(p - q) / 2),
    alpha: (p) => (over((p, q) => p ** alpha * q ** (1 - alpha))(p) - 1) / (alpha * (alpha - 1)),
  };
  const p = softmax(logits), x = p.map((v, i) => Math.log(q[i]! / v));
  for (const [kind, divergence] of Object.entries(exact)) {
    const { value, slope } = call(run, kind as "k1", x, { alpha });
    const mean = value.reduce((sum, v, i) => sum + p[i]! * v, 0), expected = divergence(p);
    assert(Math.abs(mean - expected) <= 1e-6 * (1 + expected), `${kind}: ${mean}, ${expected}`);
    for (let j = 0; j < p.length; j++) {
      // d log p_i / d z_j = [i = j] - p_j.
      const estimate = slope.reduce((sum, s, i) => sum + p[i]! * s * (Number(i === j) - p[j]!), 0);
      const at = (z: number) => divergence(softmax(logits.with(j, z)));
      const gradient = (at(logits[j]! + 1e-5) - at(logits[j]! - 1e-5)) / 2e-5;
      assert(Math.abs(estimate - gradient) <= 2e-6 * (1 + Math.abs(gradient)), `${kind}: gradient ${estimate}, ${gradient}`);
    }
  }
}, only32);

opTest("divergence with tokens of an older policy: the ratio makes value and gradient unbiased again", (run) => {
  const { logits, reference: q, softmax } = distributions(run, 5);
  const p = softmax(logits), old = softmax(Float64Array.from(run.random.normal(5)));
  const x = p.map((v, i) => Math.log(q[i]! / v)), ratio = p.map((v, i) => Math.log(v / old[i]!));
  const kl = (p: Float64Array) => p.reduce((sum, v, i) => sum + v * Math.log(v / q[i]!), 0);
  for (const kind of ["k1", "k3", "k1+", "k3+"] as const) {
    const { value, slope } = call(run, kind, x, { old: ratio });
    const mean = value.reduce((sum, v, i) => sum + old[i]! * v, 0);
    assert(Math.abs(mean - kl(p)) <= 1e-6 * (1 + kl(p)), `${kind}: ${mean}, ${kl(p)}`);
    for (let j = 0; j < p.length; j++) {
      const estimate = slope.reduce((sum, s, i) => sum + old[i]! * s * (Number(i === j) - p[j]!), 0);
      const at = (z: number) => kl(softmax(logits.with(j, z)));
      const gradient = (at(logits[j]! + 1e-5) - at(logits[j]! - 1e-5)) / 2e-5;
      assert(Math.abs(estimate - gradient) <= 2e-6 * (1 + Math.abs(gradient)), `${kind}: gradient ${estimate}, ${gradient}`);
    }
  }
}, only32);

opTest("divergence k3 keeps its digits near 0", (run) => {
  const n = 40, logprob = new Float64Array(n).fill(-1), reference = run.input(Array.from({ length: n }, (_, i) => -1 + 2 ** -i));
  const value = run.output(n);
  const ones = run.input(new Float64Array(n).fill(1)).address;
  run.device.ops.divergence(0, 0, value, 0, run.input(logprob).address, reference.address, 0, ones, n, 3, 0.5, 20, 0);
  const expected = reference.values.map((r) => {
    const x = r + 1;
    return x > 1e-3 ? Math.expm1(x) - x : x * x / 2 + x ** 3 / 6 + x ** 4 / 24;
  });
  const got = run.read(value, n);
  for (let i = 0; i < n; i++) {
    // Double cancels below 1e-8 of x.
    assert(Math.abs(got[i]! - expected[i]!) <= 1e-6 * expected[i]! + 1e-16, `${reference.values[i]}: ${got[i]}, ${expected[i]}`);
  }
}, only32);

opTest("divergence clamps: the log-ratio where it is exponentiated, the value where asked, with the slope as documented", (run) => {
  const far = 30, most = 20;
  for (const [kind, value] of [["k1", 30], ["abs", 30], ["k2", 450], ["k1+", 30]] as const) {
    assertEquals(Math.abs(call(run, kind, [far], { most }).value[0]!), value);
  }
  const k3 = call(run, "k3", [far, 5, 1], { most, valueMax: 10 });
  run.close(k3.value, [10, 10, Math.E - 2], { what: "k3" });
  run.close(k3.slope, [0, 0, 1 - Math.E], { what: "slope of k3", scale: 1 });
  const plus = call(run, "k3+", [far, -far], { most, valueMax: 10 });
  run.close(plus.slope, [-10, 10], { what: "slope of k3+" });
  assertEquals(call(run, "k1", [-far], { valueMax: 10 }).slope[0], 0);
  run.close(call(run, "chi_square", [-3], { valueMax: 10 }).slope, [10], { what: "slope of chi-square" });
}, only32);

opTest("divergence: weights scale loss and gradient; masked tokens may hold NaN, others must not", (run) => {
  const x = [0.3, NaN, -0.7], weight = [0.25, 0, 0.5];
  for (const kind of DIVERGENCE_KINDS) {
    const got = call(run, kind, x, { weight }), plain = call(run, kind, [0.3, 0.1, -0.7]);
    const expected = 0.25 * plain.value[0]! + 0.5 * plain.value[2]!;
    run.close([got.loss], [expected], { what: `loss of ${kind}`, scale: 1 });
    run.close(got.slope, [0.25 * plain.slope[0]!, 0, 0.5 * plain.slope[2]!], { what: `slope of ${kind}` });
    run.close(got.stats, [expected, plain.value[0]! + plain.value[2]!, 2], { what: `stats of ${kind}` });
    assertEquals(got.value[1], 0);
    for (const bad of [NaN, Infinity, -Infinity]) assert(Number.isNaN(call(run, kind, [0.1, bad, 0.2]).loss), `${kind} hides ${bad}`);
  }
}, only32);

opTest("divergence gives equal bits for any number of threads", (run) => {
  const n = run.small ? 4500 : 50_001, x = run.random.normal(n);
  assertDeterministic(run, () => {
    const [loss, dlogprob, value] = call(run, "jensen_shannon", x).addresses;
    return joinBytes(run.bytes(loss, 4), run.bytes(dlogprob, 4 * n), run.bytes(value, 4 * n));
  });
}, only32);

opTest("divergence refuses bad arguments; no tokens give 0", (run) => {
  const x = run.input([0]).address, { ops } = run.device;
  assertThrows(() => ops.divergence(0, 0, 0, 0, x, x, 0, x, 1, 11, 0.5, 20, 0), RangeError, "kind");
  assertThrows(() => ops.divergence(0, 0, 0, 0, x, x, 0, x, 1, 0, NaN, 20, 0), RangeError, "alpha");
  assertThrows(() => ops.divergence(0, 0, 0, 0, x, x, 0, x, 1, 0, 0.5, 0, 0), RangeError, "log_ratio_max");
  assertThrows(() => ops.divergence(0, 0, 0, 0, x, 0, 0, x, 1, 0, 0.5, 20, 0), RangeError, "NULL");
  const loss = run.output(1);
  ops.divergence(loss, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0.5, 20, 0);
  assertEquals(run.read(loss, 1)[0], 0);
}, only32);
