import { assert, assertEquals, assertThrows } from "@std/assert";
import { Coefficient } from "../../rl/divergences/coefficient.ts";
import { type Divergence, divergence, DivergenceMetrics, divergenceValues } from "../../rl/divergences/divergence.ts";
import type { Device } from "../../ffi/device.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { divergenceReference } from "../ops/policy_reference.ts";
import { assertClose, deviceTest } from "../tensor/device_test_case.ts";
import { packed } from "./golden.ts";

interface Numbers {
  logprobs: ArrayLike<number>;
  reference: ArrayLike<number>;
  old?: ArrayLike<number>;
  weights?: ArrayLike<number>;
}

function compute(device: Device, b: Numbers, options: Divergence & { metrics?: DivergenceMetrics }) {
  using stack = new DisposableStack();
  const up = (x: ArrayLike<number>) => stack.use(Tensor.from(device, Float32Array.from(x)));
  const weights = up(b.weights ?? Array.from(b.logprobs, () => 1)), logprobs = up(b.logprobs);
  const batch = { reference: up(b.reference), weights, ...(b.old ? { old: up(b.old) } : {}) };
  const tape = stack.use(new Tape(device)), input = tape.input(logprobs), loss = divergence(input, batch, options).keep();
  tape.backward(loss);
  const { metrics: _, ...plain } = options;
  const values = stack.use(divergenceValues(logprobs, batch, plain));
  return { loss: loss.tensor.item(), gradient: input.gradient!.toFloats(), values: values.toFloats() };
}

const GOLDEN = { kl: "k1", abs: "abs", mse: "k2", low_var_kl: "k3" } as const;
for (const [name, kind] of Object.entries(GOLDEN)) {
  deviceTest(`golden kl/${name}: values and gradient`, (device) => {
    const got = compute(device, { logprobs: packed("logprobs"), reference: packed("ref_logprobs") }, { kind });
    const values = packed(`kl/${name}`), gradient = packed(`kl_grad/${name}`);
    const most = (x: Float32Array) => x.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
    for (let i = 0; i < values.length; i++) {
      assert(Math.abs(got.values[i]! - values[i]!) <= 1e-6 * most(values) + 1e-7, `[${i}]: ${got.values[i]}, golden ${values[i]}`);
      assert(
        Math.abs(got.gradient[i]! - gradient[i]!) <= 1e-5 * most(gradient),
        `gradient [${i}]: ${got.gradient[i]}, golden ${gradient[i]}`,
      );
    }
    const sum = values.reduce((a, v) => a + v, 0), size = values.reduce((a, v) => a + Math.abs(v), 0);
    assert(Math.abs(got.loss - sum) <= 1e-6 * size, `loss ${got.loss}, golden ${sum}`);
  });
}

deviceTest("verl's k3+: the value of k3, the gradient of k2", (device, random) => {
  const reference = random.normal(20), logprobs = random.normal(20);
  const [plus, k2, k3] = (["k3+", "k2", "k3"] as const).map((kind) => compute(device, { logprobs, reference }, { kind, clamp: null }));
  assertEquals(plus!.values, k3!.values);
  assertClose(plus!.gradient, k2!.gradient, { what: "gradient", tolerance: 1e-6 });
});

deviceTest("every kind by name gives its formula, weighted", (device, random) => {
  const logprobs = random.normal(30),
    reference = random.normal(30, 1),
    weights = Array.from(random.normal(30), (x, i) => i % 4 ? Math.abs(x) : 0);
  const kinds = ["k1", "abs", "k2", "k3", "k1+", "k3+", "forward_kl", "jensen_shannon", "chi_square", "total_variation", "alpha"] as const;
  for (const kind of kinds) {
    const got = compute(device, { logprobs, reference, weights }, { kind, alpha: 0.7, clamp: null });
    const expected = Array.from(logprobs, (l, i) => divergenceReference(kind, Math.fround(reference[i]!) - Math.fround(l), 0.7));
    assertClose(got.values, expected.map((e, i) => weights[i] ? e.value : 0), { what: kind, tolerance: 1e-5 });
    assertClose(got.gradient, expected.map((e, i) => weights[i]! * e.slope), { what: `slope of ${kind}`, tolerance: 1e-5 });
    const loss = expected.reduce((sum, e, i) => sum + weights[i]! * e.value, 0);
    assert(Math.abs(got.loss - loss) <= 1e-5 * (1 + Math.abs(loss)), `${kind}: ${got.loss}, ${loss}`);
  }
});

deviceTest("clamps: 10 by default where the estimate has an exponential, none elsewhere, off by null", (device) => {
  const far = { logprobs: [-30], reference: [-1] };
  assertEquals(compute(device, far, { kind: "k3" }).values[0], 10);
  assertEquals(compute(device, far, { kind: "k1" }).values[0], -29);
  assertEquals(compute(device, far, { kind: "k2" }).values[0], 29 * 29 / 2);
  assertClose(compute(device, far, { kind: "k3", clamp: null }).values, [Math.exp(20) - 21], { what: "k3", tolerance: 1e-6 });
  assertEquals(compute(device, far, { kind: "k1", clamp: 5 }).values[0], -5);
});

deviceTest("importance multiplies by policy / old, with the gradient through it", (device, random) => {
  const logprobs = random.normal(9), reference = random.normal(9), old = random.normal(9);
  const got = compute(device, { logprobs, reference, old }, { kind: "k3", importance: true, clamp: null });
  const f32 = Math.fround,
    value = (l: number, i: number) => {
      const x = f32(reference[i]!) - l;
      return Math.exp(l - f32(old[i]!)) * (Math.expm1(x) - x);
    };
  assertClose(got.values, Array.from(logprobs, (l, i) => value(f32(l), i)), { what: "values", tolerance: 1e-5 });
  const slopes = Array.from(logprobs, (l, i) => (value(f32(l) + 1e-5, i) - value(f32(l) - 1e-5, i)) / 2e-5);
  assertClose(got.gradient, slopes, { what: "gradient", tolerance: 1e-5 });
});

deviceTest("metrics add up over micro-batches", (device) => {
  using metrics = new DivergenceMetrics(device);
  const b = { logprobs: [-1, -1], reference: [-3, NaN], weights: [0.25, 0] };
  compute(device, b, { kind: "k2", metrics });
  compute(device, { ...b, reference: [-2, NaN] }, { kind: "k2", metrics });
  assertEquals(metrics.read(), { loss: 0.625, mean: 1.25, sum: 2.5, tokens: 2 });
  assertEquals(metrics.read(), undefined);
});

deviceTest("divergence refuses what makes no sense", (device) => {
  const b = { logprobs: [-1], reference: [-1] };
  assertThrows(() => compute(device, b, { kind: "k3", clamp: 0 }), RangeError, "clamp a divergence to 0");
  assertThrows(() => compute(device, b, { kind: "k3", importance: true }), RangeError, "old log-probs are missing");
  assertThrows(() => compute(device, { ...b, reference: [-1, -1] }, { kind: "k3" }), RangeError, "as reference");
});

Deno.test("an adaptive coefficient follows Ziegler's rule, a fixed one stays", () => {
  const config = { kind: "adaptive", coefficient: 0.2, target: 6, horizon: 10_000 } as const;
  const at = (kl: number, n: number) => {
    const beta = new Coefficient(config);
    beta.update(kl, n);
    return beta.value;
  };
  const close = (a: number, b: number) => assert(Math.abs(a - b) <= 1e-15, `${a}, ${b}`);
  close(at(6.6, 256), 0.2 * (1 + 0.1 * 256 / 10_000));
  close(at(60, 256), 0.2 * (1 + 0.2 * 256 / 10_000));
  close(at(0, 256), 0.2 * (1 - 0.2 * 256 / 10_000));
  assertEquals(at(NaN, 256), 0.2);
  assertEquals(at(0, 1e9), 0);
  const fixed = new Coefficient({ kind: "fixed", coefficient: 0.01 });
  fixed.update(5, 100);
  assertEquals([fixed.value, fixed.active], [0.01, true]);
  assertEquals(new Coefficient({ kind: "fixed", coefficient: 0 }).active, false);
  const resumed = new Coefficient(config, { value: 0.3 });
  assertEquals(resumed.value, 0.3);
  assertThrows(() => new Coefficient({ kind: "fixed", coefficient: -1 }), RangeError, "by -1");
  assertThrows(() => new Coefficient({ ...config, target: 0 }), RangeError, "target 0");
});
