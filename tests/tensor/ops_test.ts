import { Segments } from "../../tensor/segments.ts";
import { Tensor } from "../../tensor/tensor.ts";
import {
  add,
  addBias,
  addLayernorm,
  addProduct,
  addRmsnorm,
  attention,
  concatRows,
  dot,
  gatherRows,
  gatherWeighted,
  gelu,
  headRmsnorm,
  layernorm,
  linear,
  linearLogProb,
  logProb,
  matmul,
  mul,
  rmsnorm,
  rope,
  RopeTable,
  scale,
  scatterAddRows,
  scatterRows,
  sum,
  swiglu,
} from "../../tensor/ops/mod.ts";
import { gradientTest } from "./gradient_check.ts";

// Norms take a large eps: a difference of step 1/32 would not follow the curvature near a row of zeros.
const integers = (name: string, values: number[]) => (device: Parameters<typeof Tensor.from>[0]) => ({
  [name]: Tensor.from(device, Int32Array.from(values)),
});

gradientTest("linear with bias", {
  inputs: { x: [5, 3], w: [7, 3], b: [7] },
  run: ({ x, w, b }) => linear(x!, w!, { bias: b! }),
});
gradientTest("linear of column ranges", {
  inputs: { x: [5, 9], w: [4, 6] },
  run: ({ x, w }) => [linear(x!.columns(2, 5), w!.columns(1, 4)), linear(x!.columns(4, 8), w!.columns(2, 6))],
});
for (const transA of [false, true]) {
  for (const transB of [false, true]) {
    gradientTest(`matmul, transA ${transA}, transB ${transB}`, {
      inputs: { a: transA ? [3, 5] : [5, 3], b: transB ? [4, 3] : [3, 4] },
      run: ({ a, b }) => matmul(a!, b!, { transA, transB, alpha: -1.5 }),
    });
  }
}
gradientTest("matmul of a value by itself", { inputs: { a: [4, 3] }, run: ({ a }) => matmul(a!, a!, { transB: true }) });
for (const inPlace of [false, true]) {
  gradientTest(`addProduct to some columns, of a range of x, inPlace ${inPlace}`, {
    inputs: { base: [5, 9], x: [5, 7], w: [4, 3] },
    run: ({ base, x, w }) => addProduct(scale(base!, 1.5), { x: x!.columns(2, 5), weight: w!, column: 3, alpha: -0.75, inPlace }),
  });
}
gradientTest("addProduct twice, to columns side by side, from one value", {
  inputs: { base: [4, 6], x: [4, 5], a: [2, 2], b: [4, 3] },
  run: ({ base, x, a, b }) => {
    const first = addProduct(scale(base!, 2), { x: x!.columns(0, 2), weight: a!, alpha: 2, inPlace: true });
    return addProduct(first, { x: x!.columns(2, 5), weight: b!, column: 2, inPlace: true });
  },
});
gradientTest("bias over rows, of a view", { inputs: { x: [4, 6], b: [3] }, run: ({ x, b }) => addBias(x!.columns(2, 5), b!) });
gradientTest("bias in place", { inputs: { x: [4, 3], b: [3] }, run: ({ x, b }) => addBias(scale(x!, 2), b!, { inPlace: true }) });
gradientTest("add, mul, scale", { inputs: { a: [3, 4], b: [3, 4] }, run: ({ a, b }) => scale(mul(add(a!, b!), b!), -0.5) });
gradientTest("add and mul of views with gaps", {
  inputs: { a: [3, 8] },
  run: ({ a }) => [add(a!.columns(0, 3), a!.columns(5, 8)), mul(a!.columns(1, 4), a!.columns(3, 6))],
});
gradientTest("a value plus itself, times itself", { inputs: { a: [2, 3] }, run: ({ a }) => [add(a!, a!), mul(a!, a!)] });
for (const form of [undefined, "tanh", "quick"] as const) {
  gradientTest(`gelu ${form ?? ""}`, { inputs: { x: [3, 5] }, run: ({ x }) => gelu(x!, { form }) });
}
gradientTest("swiglu of the halves of a matrix", { inputs: { x: [3, 10] }, run: ({ x }) => swiglu(x!.columns(0, 5), x!.columns(5, 10)) });
gradientTest("swiglu of one value", { inputs: { x: [3, 5] }, run: ({ x }) => swiglu(x!, x!) });
gradientTest("swiglu of overlapping ranges", { inputs: { x: [3, 7] }, run: ({ x }) => swiglu(x!.columns(0, 5), x!.columns(2, 7)) });
gradientTest("rmsnorm", { inputs: { x: [4, 6], w: [6] }, run: ({ x, w }) => rmsnorm(x!, w!, { eps: 0.1 }) });
gradientTest("rmsnorm of rows of heads", {
  inputs: { x: [4, 6], w: [3] },
  run: ({ x, w }) => rmsnorm(x!.reshape([8, 3]), w!, { eps: 0.1 }).reshape([4, 6]),
});
gradientTest("addRmsnorm, both results used", {
  inputs: { x: [4, 6], r: [4, 6], w: [6] },
  run: ({ x, r, w }) => {
    const { y, h } = addRmsnorm(x!, r!, { weight: w!, eps: 0.1 });
    return [y!, h!];
  },
});
gradientTest("addRmsnorm, the norm alone", {
  inputs: { x: [4, 6], r: [4, 6], w: [6] },
  run: ({ x, r, w }) => addRmsnorm(x!, r!, { weight: w!, eps: 0.1 }).y!,
});
gradientTest("addRmsnorm, the sum alone", {
  inputs: { x: [4, 6], r: [4, 6], w: [6] },
  run: ({ x, r, w }) => [addRmsnorm(x!, r!, { weight: w!, eps: 0.1 }).h!, scale(w!, 0)],
});
gradientTest("headRmsnorm of column ranges", {
  inputs: { x: [4, 14], w: [4] },
  run: ({ x, w }) => [headRmsnorm(x!.columns(0, 8), w!, { eps: 0.1 }), headRmsnorm(x!.columns(8, 12), w!, { eps: 0.1 }), x!.columns(6, 14)],
});
gradientTest("layernorm", {
  inputs: { x: [4, 6], w: [6], b: [6] },
  run: ({ x, w, b }) => layernorm(x!, { weight: w!, bias: b!, eps: 0.1 }),
});
gradientTest("layernorm of a view, with one parameter for both", {
  inputs: { x: [4, 8], w: [6] },
  run: ({ x, w }) => layernorm(x!.columns(1, 7), { weight: w!, bias: w!, eps: 0.1 }),
});
for (const inPlace of [false, true]) {
  gradientTest(`addLayernorm, both results used, inPlace ${inPlace}`, {
    inputs: { x: [4, 6], r: [4, 6], w: [6], b: [6] },
    run: ({ x, r, w, b }) => {
      const { y, h } = addLayernorm(scale(x!, 2), r!, { weight: w!, bias: b!, eps: 0.1, inPlace });
      return [y!, h!];
    },
  });
}
gradientTest("addLayernorm, the sum alone", {
  inputs: { x: [4, 6], r: [4, 6], w: [6] },
  run: ({ x, r, w }) => [addLayernorm(x!, r!, { weight: w!, bias: w!, eps: 0.1 }).h!, scale(w!, 0)],
});
gradientTest("a residual stream of two blocks", {
  inputs: { x: [5, 4], a: [4, 4], b: [4, 4], w: [4] },
  run: ({ x, a, b, w }) => {
    const first = addRmsnorm(linear(rmsnorm(x!, w!, { eps: 1 }), a!), x!, { weight: w!, eps: 1, inPlace: true });
    const second = addRmsnorm(gelu(linear(first.y!, b!)), first.h!, { weight: w!, eps: 1, inPlace: true });
    return [second.y!, second.h!];
  },
});
gradientTest("gatherRows with repeats and gaps", {
  inputs: { table: [5, 3] },
  constants: integers("index", [4, 0, 4, -1, 2, 4]),
  run: ({ table }, { index }) => gatherRows(table!, index!),
});
gradientTest("gatherRows of a view, twice", {
  inputs: { table: [5, 6] },
  constants: integers("index", [4, 0, 4]),
  run: ({ table }, { index }) => [gatherRows(table!.columns(1, 4), index!), gatherRows(table!, index!)],
});
for (const inPlace of [false, true]) {
  gradientTest(`scatterRows, inPlace ${inPlace}`, {
    inputs: { base: [6, 3], rows: [3, 3] },
    constants: integers("index", [5, -1, 2]),
    run: ({ base, rows }, { index }) => scatterRows(scale(base!, 1.5), { rows: rows!, index: index!, inPlace }),
  });
}
for (const inPlace of [false, true]) {
  gradientTest(`scatterAddRows, inPlace ${inPlace}`, {
    inputs: { base: [6, 3], rows: [4, 5] },
    constants: integers("index", [5, -1, 2, 5]),
    run: ({ base, rows }, { index }) => scatterAddRows(scale(base!, 1.5), { rows: rows!.columns(1, 4), index: index!, inPlace }),
  });
}
gradientTest("gatherWeighted, also of a view", {
  inputs: { table: [5, 6] },
  constants: (device) => ({
    index: Tensor.from(device, Int32Array.of(4, 0, 4, -1, 2, 4), { shape: [2, 3] }),
    weight: Tensor.from(device, [0.5, -1, 2, 3, 1, 0.25], { shape: [2, 3] }),
  }),
  run: ({ table }, { index, weight }) => [
    gatherWeighted(table!, { index: index!, weight: weight! }),
    gatherWeighted(table!.columns(1, 4), { index: index!, weight: weight! }),
  ],
});
gradientTest("concatRows of overlapping parts", {
  inputs: { a: [4, 3], b: [2, 3] },
  run: ({ a, b }) => concatRows([a!.slice(0, 3), b!, a!.slice(1, 4), a!]),
});
gradientTest("views of views, overlapping, beside the whole", {
  inputs: { x: [6, 8] },
  run: ({ x }) => {
    const middle = scale(x!, 1.25).slice(1, 5).columns(1, 7);
    return [gelu(middle.slice(1, 3).columns(2, 5)), gelu(middle.columns(0, 4)), middle.slice(0, 2), mul(middle, middle)];
  },
});
gradientTest("a part of a value alone", { inputs: { x: [6, 8] }, run: ({ x }) => gelu(scale(x!, 2).slice(2, 4).columns(3, 5)) });
gradientTest("reshape to other rows, of whole rows and back", {
  inputs: { x: [4, 6] },
  run: ({ x }) => [gelu(x!.reshape([2, 12]).columns(3, 9)), gelu(x!.reshape([4, 2, 3])), x!.slice(1, 3).reshape([6, 2])],
});
gradientTest("values used once, twice and three times", {
  inputs: { x: [4, 3], w: [3, 3] },
  run: ({ x, w }) => {
    const y = linear(x!, w!);
    return add(mul(gelu(y), y), linear(y, w!));
  },
});
gradientTest("sum and dot", {
  inputs: { a: [3, 4], b: [3, 4] },
  run: ({ a, b }) => [sum(mul(a!, b!)), dot(a!, b!), dot(a!, a!), sum(a!.columns(1, 3)), scale(add(sum(a!), sum(b!)), 3)],
});

const positions = { positions: [Int32Array.of(0, 1, 2, 5, 6), Int32Array.of(3, 1, 4, 1, 5)], axis: [0, 1], invFreq: [1, 0.3] };
gradientTest("rope", {
  inputs: { x: [5, 8] },
  run: ({ x }, _, device) => {
    using table = new RopeTable(device, positions);
    return rope(x!, table);
  },
});

for (const inPlace of [false, true]) {
  gradientTest(`rope and attention on a fused projection, inPlace ${inPlace}`, {
    inputs: { x: [5, 3], w: [16, 3], b: [16] },
    run: ({ x, w, b }, _, device) => {
      using table = new RopeTable(device, positions);
      using segments = Segments.grouped(device, [{ prefix: 2, suffixes: [1, 2] }], { causal: true });
      const qkv = linear(x!, w!, { bias: b! });
      const q = rope(qkv.columns(0, 8), table, { inPlace }), k = rope(qkv.columns(8, 12), table, { inPlace });
      return attention({ q, k, v: qkv.columns(12, 16) }, { segments, heads: 2, kvHeads: 1 });
    },
  });
}
gradientTest("attention of a value on itself, in windows", {
  inputs: { x: [6, 4] },
  run: ({ x }, _, device) => {
    using segments = Segments.packed(device, [2, 4], { causal: false });
    return attention({ q: x!, k: x!, v: x! }, { segments, heads: 1, scale: 0.7 });
  },
});

const targets = (device: Parameters<typeof Tensor.from>[0]) => ({
  target: Tensor.from(device, Int32Array.of(3, 0, -1, 5, 2)),
  suppress: Tensor.from(device, Uint8Array.of(0, 1, 0, 0, 1, 0, 0)),
});
gradientTest("logProb and entropy", {
  inputs: { x: [5, 7] },
  constants: targets,
  run: ({ x }, { target, suppress }) => {
    const { logprob, entropy } = logProb(x!, { target: target!, suppress: suppress!, temperature: 0.8 });
    return [logprob!, entropy!];
  },
});
gradientTest("logProb alone, of a view of logits", {
  inputs: { x: [5, 9] },
  constants: targets,
  run: ({ x }, { target }) => logProb(x!.columns(1, 8), { target: target! }).logprob!,
});
for (const chunk of [2, 5]) {
  gradientTest(`linearLogProb in chunks of ${chunk}`, {
    inputs: { h: [5, 3], w: [7, 3] },
    constants: targets,
    run: ({ h, w }, { target, suppress }) => {
      const { logprob, entropy } = linearLogProb(h!, w!, { target: target!, suppress: suppress!, temperature: 1.3, chunk });
      return [logprob!, entropy!];
    },
  });
}
gradientTest("linearLogProb, the entropy alone, with the embedding tied", {
  inputs: { w: [7, 3] },
  constants: targets,
  run: ({ w }, { target }) => linearLogProb(gatherRows(w!, target!), w!, { target: target!, chunk: 3 }).entropy!,
});
