import { assert, assertEquals, assertThrows } from "@std/assert";
import { plus } from "../../ffi/address.ts";
import { DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { numericGradient, type OpRun, opTest, type Random } from "./harness.ts";
import { checksArrays, joinBytes, matrix } from "./matrix.ts";

interface Shape {
  tokens: number;
  heads: number;
  headDim: number;
}

/** y of x: [tokens, heads, headDim]; cos, sin: [tokens, headDim / 2]. */
function rotate(x: Float64Array, tables: { cos: Float64Array; sin: Float64Array }, shape: Shape, inverse: boolean): Float64Array {
  const { tokens, heads, headDim } = shape, half = headDim / 2, y = new Float64Array(x.length);
  for (let t = 0; t < tokens; t++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < half; i++) {
        const c = tables.cos[t * half + i]!, s = tables.sin[t * half + i]! * (inverse ? -1 : 1);
        const p = (t * heads + h) * headDim + i, q = p + half;
        y[p] = x[p]! * c - x[q]! * s;
        y[q] = x[q]! * c + x[p]! * s;
      }
    }
  }
  return y;
}

function angles(random: Random, n: number): Float64Array {
  return Float64Array.from({ length: n }, () => 20 * random.next() - 10);
}

opTest("ropeTable gives cos and sin of the f32 angle: M-RoPE sections and 2-D positions", (run) => {
  const layouts = [
    { tokens: 1, axis: [0] },
    { tokens: 7, axis: [0, 0, 1, 1, 1, 2, 2, 2] },
    { tokens: run.small ? 19 : 1201, axis: Array.from({ length: 40 }, (_, i) => i < 20 ? 0 : 1) },
    { tokens: 13, axis: Array.from({ length: 64 }, (_, i) => i < 16 ? 0 : i < 40 ? 1 : 2) },
  ];
  for (const { tokens, axis } of layouts) {
    const half = axis.length, axes = Math.max(...axis) + 1;
    const positions = Int32Array.from({ length: axes * tokens }, () => run.random.integer(0, 32768));
    const frequencies = run.input(Float64Array.from(axis, (_, i) => 1e6 ** (-i / half)), { dtype: "f32" });
    const cos = run.output(tokens * half, { dtype: "f32", misalign: 4 }), sin = run.output(tokens * half, { dtype: "f32" });
    const where = run.integers(Int32Array.from(axis));
    run.device.ops.ropeTable(cos, sin, run.integers(positions), where, frequencies.address, axes, tokens, half);
    const angle = Float64Array.from({ length: tokens * half }, (_, i) => {
      const t = Math.floor(i / half), j = i % half;
      return Math.fround(positions[axis[j]! * tokens + t]! * frequencies.values[j]!);
    });
    const options = { dtype: "f32", scale: 1 } as const;
    run.close(run.read(cos, tokens * half, "f32"), angle.map(Math.cos), { what: "cos", ...options });
    run.close(run.read(sin, tokens * half, "f32"), angle.map(Math.sin), { what: "sin", ...options });
  }
});

const shapes = (small: boolean): Shape[] => [
  { tokens: 1, heads: 1, headDim: 2 },
  { tokens: 3, heads: 3, headDim: 6 },
  { tokens: 5, heads: 2, headDim: 80 },
  { tokens: small ? 7 : 101, heads: 5, headDim: 32 },
];

opTest("rope matches float64: strides, both directions, in place, accumulating", (run) => {
  for (const shape of shapes(run.small)) {
    const { tokens, heads, headDim } = shape, width = heads * headDim, n = tokens * headDim / 2;
    for (const inverse of [0, 1]) {
      for (const place of ["new", "in place", "accumulate"] as const) {
        const angle = angles(run.random, n);
        const cos = run.input(angle.map(Math.cos), { dtype: "f32", misalign: 4 }), sin = run.input(angle.map(Math.sin), { dtype: "f32" });
        const x = matrix(run, { rows: tokens, width, stride: width + 3, misalign: 1, values: run.random.normal(tokens * width) });
        const old = place === "accumulate" ? run.random.normal(tokens * width) : undefined;
        const y = place === "in place" ? x : matrix(run, { rows: tokens, width, stride: width + 6, values: old });
        run.device.ops.rope(
          ...[run.dtypeCode, y.address, y.stride, x.address, x.stride, cos.address, sin.address] as const,
          ...[tokens, heads, headDim, inverse, place === "accumulate" ? 1 : 0] as const,
        );
        const rotated = rotate(x.values, { cos: cos.values, sin: sin.values }, shape, inverse === 1);
        const expected = place === "accumulate" ? rotated.map((v, i) => v + y.values[i]!) : rotated;
        run.close(y.read(), expected, { what: `${JSON.stringify(shape)} ${place}` });
      }
    }
  }
});

opTest("rope turned back is the gradient of rope: differences of the float64 reference", (run) => {
  const shape = { tokens: 3, heads: 2, headDim: 10 }, width = 20, n = 60;
  const angle = angles(run.random, 15);
  const cos = run.input(angle.map(Math.cos), { dtype: "f32" }), sin = run.input(angle.map(Math.sin), { dtype: "f32" });
  const x = run.random.normal(n), dy = run.input(run.random.normal(n)), dx = run.output(n);
  run.device.ops.rope(run.dtypeCode, dx, width, dy.address, width, cos.address, sin.address, 3, 2, 10, 1, 0);
  const tables = { cos: cos.values, sin: sin.values };
  const [expected] = numericGradient(([a]) => rotate(a!, tables, shape, false), [x], { cotangent: dy.values });
  run.close(run.read(dx, n), expected!, { what: "dx" });
});

opTest("rope gives equal bits for any number of threads", (run) => {
  const tokens = run.small ? 8 : 211, heads = 4, headDim = 64, width = heads * headDim, half = headDim / 2;
  const positions = run.integers(Int32Array.from({ length: 2 * tokens }, () => run.random.integer(0, 5000)));
  const axis = run.integers(Int32Array.from({ length: half }, (_, i) => i % 2));
  const frequencies = run.input(Float64Array.from({ length: half }, (_, i) => 1e4 ** (-i / half)), { dtype: "f32" });
  const x = run.input(run.random.normal(tokens * width));
  assertDeterministic(run, () => {
    const cos = run.output(tokens * half, { dtype: "f32" }),
      sin = run.output(tokens * half, { dtype: "f32" }),
      y = run.output(tokens * width);
    run.device.ops.ropeTable(cos, sin, positions, axis, frequencies.address, 2, tokens, half);
    run.device.ops.rope(run.dtypeCode, y, width, x.address, width, cos, sin, tokens, heads, headDim, 0, 0);
    const element = run.dtype === "f32" ? 4 : 2;
    return joinBytes(run.bytes(cos, tokens * half * 4), run.bytes(sin, tokens * half * 4), run.bytes(y, tokens * width * element));
  });
});

opTest("rope passes NaN on, refuses bad arguments, does nothing for empties", (run) => {
  const { ops } = run.device, code = run.dtypeCode;
  const x = run.input([1, NaN, 2, 3, 1, 2, 3, 4]),
    y = run.output(8),
    one = run.input(new Float64Array(8).fill(1), { dtype: "f32" }).address;
  ops.rope(code, y, 4, x.address, 4, one, one, 2, 1, 4, 0, 0);
  assertEquals([...run.read(y, 8)], [-1, NaN, 3, NaN, -2, -2, 4, 6]);
  assertThrows(() => ops.rope(code, y, 3, x.address, 4, one, one, 2, 1, 4, 0, 0), RangeError);
  assertThrows(() => ops.rope(code, y, 4, x.address, 3, one, one, 2, 1, 4, 0, 0), RangeError);
  assertThrows(() => ops.rope(code, y, 4, x.address, 4, one, one, 2, 1, 3, 0, 0), RangeError);
  assertThrows(() => ops.rope(code, y, 4, x.address, 4, 0, one, 2, 1, 4, 0, 0), RangeError);
  assertThrows(() => ops.rope(code, y, 4, x.address, 4, one, one, -2, 1, 4, 0, 0), RangeError);
  assertThrows(() => ops.rope(DTYPES.i32, y, 4, x.address, 4, one, one, 2, 1, 4, 0, 0), KedgeError);
  ops.rope(code, 0, 4, 0, 4, 0, 0, 0, 1, 4, 0, 0);
  ops.ropeTable(0, 0, 0, 0, 0, 1, 0, 4);
  const table = run.output(4, { dtype: "f32" }), positions = run.integers(Int32Array.of(1, 2)), bad = run.integers(Int32Array.of(0, 1));
  if (checksArrays(run)) assertThrows(() => ops.ropeTable(table, table, positions, bad, one, 1, 2, 2), RangeError, "axis[1]");
  else {
    const cos = run.output(4, { dtype: "f32" });
    ops.ropeTable(cos, table, positions, bad, one, 1, 2, 2);
    assert([1, 3].every((i) => Number.isNaN(run.read(cos, 4, "f32")[i]!)), "a bad axis gives NaN");
  }
  assertThrows(() => ops.ropeTable(table, table, 0, bad, one, 1, 2, 2), RangeError);
  assertThrows(() => ops.ropeTable(table, table, positions, bad, one, 1, -2, 2), RangeError);
});

interface CacheCase {
  tokens: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  biased: boolean;
  gap: number;
  misalign: number;
}

/** Inputs of ropeCache: the products of the tokens, a bias, tables, a cache, and each token's row in it. */
function cacheCase(run: OpRun, { tokens, heads, kvHeads, headDim, biased, gap, misalign }: CacheCase) {
  const all = heads + 2 * kvHeads, width = all * headDim, cacheTokens = 2 * tokens + 1;
  const angle = angles(run.random, tokens * headDim / 2);
  const laid = { rows: tokens, width, stride: width + gap, misalign }, values = run.random.normal(tokens * width);
  return {
    qkv: () => matrix(run, { ...laid, values }),
    cache: () => matrix(run, { rows: cacheTokens, width: 2 * kvHeads * headDim, stride: 2 * kvHeads * headDim + gap, misalign }),
    bias: biased ? run.input(run.random.normal(width)) : undefined,
    cos: run.input(angle.map(Math.cos), { dtype: "f32" }),
    sin: run.input(angle.map(Math.sin), { dtype: "f32" }),
    rows: Int32Array.from({ length: tokens }, (_, t) => t === 1 ? -1 : cacheTokens - 1 - 2 * t),
    cacheTokens,
    width,
  };
}

opTest("ropeCache gives the bits of a bias, a rotation and a write into the cache, one after another", (run) => {
  const list: CacheCase[] = [
    { tokens: 1, heads: 1, kvHeads: 1, headDim: 2, biased: false, gap: 0, misalign: 0 },
    { tokens: 3, heads: 4, kvHeads: 2, headDim: 6, biased: true, gap: 3, misalign: 1 },
    { tokens: run.small ? 5 : 67, heads: 6, kvHeads: 2, headDim: 32, biased: true, gap: 0, misalign: 0 },
    { tokens: 4, heads: 2, kvHeads: 1, headDim: 80, biased: false, gap: 8, misalign: 0 },
  ];
  const { ops } = run.device, code = run.dtypeCode;
  for (const shape of list) {
    const { tokens, heads, kvHeads, headDim } = shape, c = cacheCase(run, shape), queries = heads * headDim;
    const [rows, bias] = [run.integers(c.rows), c.bias?.address ?? 0];
    const one = { qkv: c.qkv(), cache: c.cache() }, apart = { qkv: c.qkv(), cache: c.cache() };
    ops.ropeCache(
      ...[code, one.qkv.address, one.qkv.stride, bias, one.cache.address, one.cache.stride, rows, c.cos.address, c.sin.address] as const,
      ...[tokens, heads, kvHeads, headDim, c.cacheTokens] as const,
    );
    const { address, stride } = apart.qkv, keys = plus(address, queries * (run.dtype === "f32" ? 4 : 2));
    if (bias) ops.biasAdd(code, address, stride, address, stride, bias, tokens, c.width);
    ops.rope(code, address, stride, address, stride, c.cos.address, c.sin.address, tokens, heads + kvHeads, headDim, 0, 0);
    ops.scatterRows(code, apart.cache.address, apart.cache.stride, keys, stride, rows, tokens, c.cacheTokens, 2 * kvHeads * headDim);
    assertEquals(one.cache.read(), apart.cache.read(), JSON.stringify(shape));
    for (let t = 0; t < tokens; t++) {
      const read = ({ qkv }: typeof one) => qkv.read().slice(t * c.width, t * c.width + queries);
      assertEquals(read(one), read(apart), `queries of token ${t}, ${JSON.stringify(shape)}`);
    }
  }
});

opTest("ropeCache refuses bad arguments and skips bad rows", (run) => {
  const shape = { tokens: 3, heads: 2, kvHeads: 1, headDim: 8, biased: true, gap: 0, misalign: 0 }, c = cacheCase(run, shape);
  const call = (
    change: { headDim?: number; cache?: 0; stride?: number; tokens?: number; kvHeads?: number; rows?: Int32Array<ArrayBuffer> },
  ) => {
    const { headDim = 8, tokens = 3, kvHeads = 1 } = change, qkv = c.qkv(), cache = c.cache();
    run.device.ops.ropeCache(
      ...[run.dtypeCode, qkv.address, qkv.stride, c.bias!.address, change.cache ?? cache.address, change.stride ?? cache.stride] as const,
      ...[run.integers(change.rows ?? c.rows), c.cos.address, c.sin.address, tokens, 2, kvHeads, headDim, c.cacheTokens] as const,
    );
    return cache.read();
  };
  assertThrows(() => call({ headDim: 7 }), RangeError, "head_dim 7 is odd");
  assertThrows(() => call({ cache: 0 }), RangeError, "cache is NULL");
  assertThrows(() => call({ stride: 15 }), RangeError, "cache_stride");
  assertThrows(() => call({ tokens: -1 }), RangeError, "tokens");
  assertThrows(() => call({ kvHeads: -1 }), RangeError, "kv_heads -1");
  assertEquals(call({ tokens: 0 }).every(Number.isNaN), true);
  const rows = Int32Array.of(0, 2, c.cacheTokens);
  if (checksArrays(run)) assertThrows(() => call({ rows }), RangeError, `cache_row[2] is ${c.cacheTokens}`);
  else assertEquals(call({ rows }).filter((x) => !Number.isNaN(x)).length, 32);
});
