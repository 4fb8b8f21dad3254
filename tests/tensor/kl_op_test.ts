import { assert, assertEquals, assertThrows } from "@std/assert";
import { linearKl, linearLogProb } from "../../tensor/ops/mod.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assertClose, deviceTest } from "./device_test_case.ts";
import { gradientTest } from "./gradient_check.ts";

/** KL by row in float64, from f32 inputs. */
function reference(
  x: Float32Array,
  w: Float32Array,
  y: Float32Array,
  v: Float32Array,
  { n, vocab, dim, refDim, t }: Record<string, number>,
) {
  const row = (a: Float32Array, b: Float32Array, i: number, d: number) => {
    const z = Array.from({ length: vocab! }, (_, k) => {
      let sum = 0;
      for (let j = 0; j < d; j++) sum += a[i * d + j]! * b[k * d + j]!;
      return sum / t!;
    });
    const most = Math.max(...z), lse = most + Math.log(z.reduce((s, q) => s + Math.exp(q - most), 0));
    return z.map((q) => q - lse);
  };
  return Array.from({ length: n! }, (_, i) => {
    const p = row(x, w, i, dim!), q = row(y, v, i, refDim!);
    return p.reduce((s, a, k) => s + Math.exp(a) * (a - q[k]!), 0);
  });
}

deviceTest(
  "linearKl matches float64 in chunks of any size, with a reference of another width; skipped rows are 0 though NaN",
  (device, random) => {
    const [n, dim, refDim, vocab, t] = [7, 5, 3, 41, 0.7];
    const make = (rows: number, cols: number) =>
      Tensor.from(device, Float32Array.from(random.normal(rows * cols)), { shape: [rows, cols] });
    using x = make(n, dim);
    using w = make(vocab, dim);
    using y = make(n, refDim);
    using v = make(vocab, refDim);
    const expected = reference(x.toFloats(), w.toFloats(), y.toFloats(), v.toFloats(), { n, vocab, dim, refDim, t });
    const hidden = x.toFloats().fill(NaN, 2 * dim, 3 * dim);
    x.write(hidden);
    using target = Tensor.from(device, Int32Array.of(0, 0, -1, 0, 0, 0, 0));
    for (const chunk of [1, 3, 7, 100]) {
      using parameter = new Parameter("w", w.copy());
      using tape = new Tape(device);
      const input = tape.input(x),
        kl = linearKl(input, parameter, { reference: { hidden: y, weight: v }, target, temperature: t, chunk }).keep();
      assertClose(kl.tensor.toFloats(), expected.with(2, 0), { what: `kl by ${chunk}`, tolerance: 2e-6 });
      using ones = Tensor.full(device, [n], { value: 1 });
      tape.backward([{ value: kl, gradient: ones }]);
      const gradient = input.gradient!.toFloats();
      assert(gradient.every((g, i) => i >= 2 * dim && i < 3 * dim ? g === 0 : Number.isFinite(g)));
    }
  },
);

gradientTest("linearKl", {
  inputs: { x: [5, 4], w: [9, 4] },
  constants: (device) => ({
    y: Tensor.from(device, Float32Array.from({ length: 15 }, (_, i) => Math.sin(i)), { shape: [5, 3] }),
    v: Tensor.from(device, Float32Array.from({ length: 27 }, (_, i) => Math.cos(2 * i)), { shape: [9, 3] }),
    suppress: Tensor.from(device, Uint8Array.from({ length: 9 }, (_, i) => i === 4 ? 1 : 0)),
  }),
  run: ({ x, w }, { y, v, suppress }) =>
    linearKl(x!, w!, { reference: { hidden: y!, weight: v! }, suppress: suppress!, temperature: 0.8, chunk: 2 }),
});

gradientTest("linearLogProb with a reference", {
  inputs: { x: [5, 4], w: [9, 4] },
  constants: (device) => ({
    y: Tensor.from(device, Float32Array.from({ length: 15 }, (_, i) => Math.sin(i)), { shape: [5, 3] }),
    v: Tensor.from(device, Float32Array.from({ length: 27 }, (_, i) => Math.cos(2 * i)), { shape: [9, 3] }),
    target: Tensor.from(device, Int32Array.of(3, 0, -1, 5, 2)),
    suppress: Tensor.from(device, Uint8Array.from({ length: 9 }, (_, i) => i === 4 ? 1 : 0)),
  }),
  run: ({ x, w }, { y, v, target, suppress }) => {
    const given = { target: target!, suppress: suppress!, temperature: 0.8, chunk: 2 };
    const { logprob, entropy, kl } = linearLogProb(x!, w!, { ...given, reference: { hidden: y!, weight: v! } });
    return [logprob!, entropy!, kl!];
  },
});

deviceTest("linearLogProb with a reference gives the bits of linearKl, and multiplies by each output matrix once", (device, random) => {
  const make = (rows: number, cols: number) => Tensor.from(device, Float32Array.from(random.normal(rows * cols)), { shape: [rows, cols] });
  using x = make(6, 5);
  using w = new Parameter("w", make(41, 5));
  using y = make(6, 3);
  using v = make(41, 3);
  using target = Tensor.from(device, Int32Array.of(7, 0, -1, 40, 3, 3));
  const reference = { hidden: y, weight: v }, products: number[] = [], gemm = device.gemm.bind(device);
  device.gemm = (product) => {
    products.push(product.m);
    gemm(product);
  };
  try {
    const run = (which: "both" | "logprob" | "kl") => {
      using tape = new Tape(device);
      const input = tape.input(x), options = { target, temperature: 0.7, chunk: 4 };
      const of = which === "kl"
        ? { kl: linearKl(input, w, { ...options, reference }) }
        : linearLogProb(input, w, { ...options, ...(which === "both" && { reference }) });
      using ones = Tensor.full(device, [6], { value: 1 });
      const numbers = Object.fromEntries(Object.entries(of).map(([name, value]) => [name, [...value!.tensor.toFloats()]]));
      const seeds = Object.values(of).map((value) => ({ value: value!, gradient: ones }));
      tape.backward(seeds);
      const gradient = [...input.gradient!.toFloats(), ...w.grad!.toFloats()];
      w.zeroGrad();
      return { numbers, gradient, products: products.splice(0).length };
    };
    const [both, logprob, kl] = [run("both"), run("logprob"), run("kl")];
    assertEquals(both.numbers, { ...logprob.numbers, ...kl.numbers });
    assertClose(both.gradient, logprob.gradient.map((g, i) => g + kl.gradient[i]!), { what: "the sum of both gradients", tolerance: 1e-5 });
    // Two chunks: each output matrix forward and again in the backward, and the two gradients of this model's.
    assertEquals([both.products, logprob.products, kl.products], [2 * (2 + 2 + 2), 2 * (1 + 1 + 2), 2 * (2 + 2 + 2)]);
  } finally {
    device.gemm = gemm;
  }
});

deviceTest("linearKl refuses what does not fit", (device) => {
  using x = Tensor.zeros(device, [2, 3]);
  using w = Tensor.zeros(device, [4, 3]);
  using other = Tensor.zeros(device, [5, 3]);
  using tape = new Tape(device);
  const [hidden, weight] = [tape.constant(x), tape.constant(w)];
  assertThrows(() => linearKl(hidden, weight, { reference: { hidden: x, weight: other } }), RangeError, "over 4 tokens");
  assertThrows(() => linearKl(hidden, weight, { reference: { hidden: other, weight: w } }), RangeError, "2 rows");
  assertThrows(() => linearKl(hidden, weight, { reference: { hidden: x, weight: w }, target: x }), RangeError, "targets");
  assertThrows(() => linearKl(hidden, weight, { reference: { hidden: x, weight: w }, suppress: x }), RangeError, "suppress");
});
