import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Device, DType } from "../../ffi/device.ts";
import { sum } from "../../tensor/ops/reduce.ts";
import { mul } from "../../tensor/ops/elementwise.ts";
import { AdamW, type AdamWOptions, refreshMaster } from "../../tensor/optimizer.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Random } from "../ops/harness.ts";
import { assertClose, deviceTest } from "./device_test_case.ts";

const make = (device: Device, { name, numbers, dtype = "f32" }: { name: string; numbers: ArrayLike<number>; dtype?: DType }) =>
  new Parameter(name, Tensor.from(device, Float32Array.from(numbers), { dtype }));

/** Sets the gradient of a parameter by a tape: d sum(w * g) / dw = g. */
function give(parameter: Parameter, gradient: ArrayLike<number>): void {
  const { device } = parameter;
  using g = Tensor.from(device, Float32Array.from(gradient), { dtype: parameter.tensor.dtype });
  using tape = new Tape(device);
  tape.backward(sum(mul(tape.param(parameter), tape.constant(g))));
}

/** AdamW in float64, plainly. */
class Reference {
  readonly m: Float64Array;
  readonly v: Float64Array;
  steps = 0;
  constructor(readonly p: Float64Array, readonly decay: number, readonly scale: number) {
    this.m = new Float64Array(p.length);
    this.v = new Float64Array(p.length);
  }
  step(grad: ArrayLike<number>, lr: number): void {
    this.steps++;
    const rate = lr * this.scale;
    for (let i = 0; i < this.p.length; i++) {
      const g = grad[i]!;
      this.p[i]! -= rate * this.decay * this.p[i]!;
      this.m[i] = 0.9 * this.m[i]! + 0.1 * g;
      this.v[i] = 0.99 * this.v[i]! + 0.01 * g * g;
      const m = this.m[i]! / (1 - 0.9 ** this.steps), v = this.v[i]! / (1 - 0.99 ** this.steps);
      this.p[i]! -= rate * m / (Math.sqrt(v) + 1e-8);
    }
  }
}

deviceTest("AdamW follows a plain float64 one: groups, clipping, scaling, a parameter that rests", (device, random) => {
  const sizes = [7, 130, 1];
  const numbers = sizes.map((n) => Float32Array.from(random.normal(n)));
  const params = numbers.map((n, i) => make(device, { name: `p${i}`, numbers: n }));
  const references = numbers.map((n, i) => new Reference(Float64Array.from(n), i === 1 ? 0 : 0.1, i === 1 ? 0.5 : 1));
  {
    const groups = [{ parameters: [params[0]!, params[2]!] }, { parameters: [params[1]!], weightDecay: 0, lrScale: 0.5 }];
    using optimizer = new AdamW(device, groups, { beta2: 0.99, weightDecay: 0.1, maxNorm: 2 });
    for (let step = 0; step < 12; step++) {
      optimizer.zeroGrad();
      const lr = 0.01 * (step + 1), gradScale = step % 2 === 0 ? 0.25 : 4;
      // The last one gets no gradient in every third step: it is not to move.
      const gradients = sizes.map((n, i) => i === 2 && step % 3 === 2 ? undefined : Float32Array.from(random.normal(n)));
      gradients.forEach((g, i) => g && give(params[i]!, g));
      optimizer.step({ lr, gradScale });
      const norm = gradScale *
        Math.sqrt(gradients.reduce((total, g) => total + [...g ?? []].reduce((a, x) => a + x * x, 0), 0));
      const coefficient = gradScale * Math.min(1, 2 / (norm + 1e-6));
      gradients.forEach((g, i) => g && references[i]!.step(g.map((x) => x * coefficient), lr));
      const report = optimizer.report()!;
      assertClose([report.norm, report.coefficient], [norm, coefficient], { what: "report", tolerance: 1e-6 });
    }
    for (const [i, p] of params.entries()) assertClose(p.tensor.toFloats(), references[i]!.p, { what: p.name, tolerance: 3e-6 });
    assertEquals(optimizer.state(), { applied: 12, skipped: 0, skippedInRow: 0, steps: { p0: 12, p2: 8, p1: 12 } });
  }
  for (const p of params) p[Symbol.dispose]();
});

deviceTest("a gradient that is not finite changes nothing and is counted", (device) => {
  using p = make(device, { name: "p", numbers: [1, 2] });
  using q = make(device, { name: "q", numbers: [3] });
  using optimizer = new AdamW(device, [{ parameters: [p, q] }]);
  const step = (a: number[], b: number[]) => {
    optimizer.zeroGrad();
    give(p, a);
    give(q, b);
    optimizer.step({ lr: 0.1 });
  };
  step([1, 1], [1]);
  const before = [...p.tensor.toFloats(), ...q.tensor.toFloats()];
  for (const bad of [NaN, Infinity, -Infinity]) step([0, 1], [bad]);
  assertEquals([...p.tensor.toFloats(), ...q.tensor.toFloats()], before);
  assertEquals(optimizer.report()!.skipped, true);
  assertEquals(optimizer.state(), { applied: 1, skipped: 3, skippedInRow: 3, steps: { p: 1, q: 1 } });
  step([1, 1], [1]);
  assertEquals(optimizer.state(), { applied: 2, skipped: 3, skippedInRow: 0, steps: { p: 2, q: 2 } });
  // As if the bad ones had not been.
  using clean = make(device, { name: "p", numbers: [1, 2] });
  using other = new AdamW(device, [{ parameters: [clean] }]);
  for (let i = 0; i < 2; i++) {
    other.zeroGrad();
    give(clean, [1, 1]);
    other.step({ lr: 0.1 });
  }
  assertEquals(p.tensor.toFloats(), clean.tensor.toFloats());
});

const run = (
  device: Device,
  { optimizer, params, random, steps }: { optimizer: AdamW; params: Parameter[]; random: Random; steps: number },
) => {
  void device;
  for (let i = 0; i < steps; i++) {
    optimizer.zeroGrad();
    for (const p of params) give(p, random.normal(p.tensor.size));
    optimizer.step({ lr: 0.01 });
  }
};

const VARIANTS: [string, AdamWOptions][] = [
  ["f32 moments", {}],
  ["bf16 moments, stochastic", { moments: "bf16", seed: 5 }],
  ["bf16 moments, Kahan", { moments: "bf16", rounding: "kahan" }],
  ["pinned state", { pinned: true }],
];
for (const [name, options] of VARIANTS) {
  deviceTest(`state exported and restored continues to the bit: ${name}`, (device, random) => {
    const numbers = random.normal(33);
    const draws = Array.from({ length: 6 }, () => random.normal(33));
    const source = (from: number) => {
      let at = from;
      return { normal: () => draws[at++]! } as unknown as Random;
    };
    using a = make(device, { name: "w", numbers });
    using first = new AdamW(device, [{ parameters: [a] }], options);
    run(device, { optimizer: first, params: [a], random: source(0), steps: 3 });
    const saved = {
      weights: a.tensor.toBytes(),
      state: structuredClone(first.state()),
      tensors: Object.fromEntries(Object.entries(first.tensors()).map(([key, tensor]) => [key, tensor.toBytes()])),
    };
    run(device, { optimizer: first, params: [a], random: source(3), steps: 3 });

    using b = make(device, { name: "w", numbers: new Float32Array(33) });
    using second = new AdamW(device, [{ parameters: [b] }], options);
    b.tensor.writeBytes(saved.weights);
    for (const [key, tensor] of Object.entries(second.tensors())) tensor.writeBytes(saved.tensors[key]!);
    second.restore(saved.state);
    run(device, { optimizer: second, params: [b], random: source(3), steps: 3 });
    assertEquals(b.tensor.toBytes(), a.tensor.toBytes());
    assertEquals(second.state(), first.state());
    const tensors = second.tensors();
    for (const [key, tensor] of Object.entries(first.tensors())) assertEquals(tensors[key]!.toBytes(), tensor.toBytes(), key);
  });
}

deviceTest("bf16 weights change by less than their spacing: by a master copy, by stochastic rounding, by Kahan summation", (device) => {
  // 400 steps of 1e-4 each from 1: without a master and to the nearest, a step is lost whole.
  const moved = (options: AdamWOptions) => {
    using p = make(device, { name: "p", numbers: new Array(512).fill(1), dtype: "bf16" });
    using optimizer = new AdamW(device, [{ parameters: [p] }], { weightDecay: 0, ...options });
    // The gradient of a bf16 parameter is f32. It stays the same from step to step here.
    using ones = Tensor.full(device, [512], { value: 1 });
    const slot = p.slot({ row: 0, rows: 512, col: 0, cols: 1 });
    device.ops.copy(slot.address, ones.address, ones.byteLength);
    for (let i = 0; i < 400; i++) optimizer.step({ lr: 1e-4 });
    const mean = p.tensor.toFloats().reduce((a, x) => a + x, 0) / 512;
    return 1 - mean;
  };
  assertEquals(moved({ master: false, rounding: "nearest" }), 0);
  for (const options of [{}, { master: false }, { master: false, rounding: "kahan" as const }]) {
    const distance = moved(options);
    assert(Math.abs(distance - 0.04) < 0.003, `${JSON.stringify(options)} moved by ${distance}`);
  }
});

deviceTest("masters follow weights that are loaded", (device) => {
  using p = make(device, { name: "p", numbers: [1, 2], dtype: "bf16" });
  using _optimizer = new AdamW(device, [{ parameters: [p] }]);
  assertEquals([...p.master!.toFloats()], [1, 2]);
  p.tensor.write([3, 4]);
  refreshMaster(p);
  assertEquals([...p.master!.toFloats()], [3, 4]);
});

deviceTest("mistakes give errors that name them", (device) => {
  using p = make(device, { name: "p", numbers: [1] });
  using twin = make(device, { name: "p", numbers: [1] });
  assertThrows(() => new AdamW(device, [{ parameters: [p, twin] }]), RangeError, "two parameters named p");
  using optimizer = new AdamW(device, [{ parameters: [p] }]);
  assertThrows(() => optimizer.step({ lr: 1 }), RangeError, "no parameter has a gradient");
  assertThrows(() => optimizer.restore({ applied: 0, skipped: 0, skippedInRow: 0, steps: {} }), RangeError, "no steps for p");
  assertEquals(optimizer.report(), undefined);
});
