import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Address } from "../../ffi/address.ts";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest, type Random } from "./harness.ts";
import { checksArrays, joinBytes, matrix } from "./matrix.ts";

// [n, rows of the table, dim]
const shapes = (small: boolean) =>
  [[1, 1, 1], [3, 2, 3], [7, 5, 17], [13, 31, 64], [29, 11, 131], [small ? 31 : 601, 97, small ? 65 : 384]] as const;

function indices(random: Random, n: number, rows: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: n }, () => random.integer(-1, rows));
}

/** Distinct indices, some of them -1. */
function distinct(random: Random, n: number, rows: number): Int32Array<ArrayBuffer> {
  const order = Int32Array.from({ length: rows }, (_, i) => i);
  for (let i = rows - 1; i > 0; i--) {
    const j = random.integer(0, i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return Int32Array.from({ length: n }, (_, i) => i < rows && random.next() < 0.8 ? order[i]! : -1);
}

opTest("gatherRows reads rows, zeros for -1, and accumulates", (run) => {
  for (const [n, rows, dim] of shapes(run.small)) {
    for (const accumulate of [0, 1]) {
      const table = matrix(run, { rows, width: dim, stride: dim + 3, misalign: 1, values: run.random.normal(rows * dim) });
      const out = matrix(run, { rows: n, width: dim, stride: dim + 5, values: accumulate ? run.random.normal(n * dim) : undefined });
      const index = indices(run.random, n, rows);
      run.device.ops.gatherRows(
        ...[run.dtypeCode, out.address, out.stride, table.address, table.stride] as const,
        ...[run.integers(index), n, rows, dim, accumulate] as const,
      );
      const expected = out.values.map((old, i) => {
        const row = index[Math.floor(i / dim)]!;
        return (accumulate ? old : 0) + (row < 0 ? 0 : table.values[row * dim + i % dim]!);
      });
      run.close(out.read(), expected, { what: `gather ${n} of ${rows} x ${dim}` });
    }
  }
});

opTest("scatterRows writes rows, or zeros without a source, and nothing else", (run) => {
  for (const [n, rows, dim] of shapes(run.small)) {
    for (const clear of [false, true]) {
      const src = matrix(run, { rows: n, width: dim, stride: dim + 3, misalign: 1, values: run.random.normal(n * dim) });
      const out = matrix(run, { rows, width: dim, stride: dim + 5, values: run.random.normal(rows * dim) });
      const index = distinct(run.random, n, rows);
      run.device.ops.scatterRows(
        ...[run.dtypeCode, out.address, out.stride, clear ? 0 : src.address, src.stride] as const,
        ...[run.integers(index), n, rows, dim] as const,
      );
      const expected = out.values.slice();
      index.forEach((row, i) => {
        if (row >= 0) { for (let c = 0; c < dim; c++) expected[row * dim + c] = clear ? 0 : src.values[i * dim + c]!; }
      });
      assertEquals(out.read(), expected);
    }
  }
});

opTest("scatterAddRows adds rows in the order of the indices", (run) => {
  for (const [n, rows, dim] of shapes(run.small)) {
    const src = matrix(run, { rows: n, width: dim, stride: dim + 3, misalign: 1, values: run.random.normal(n * dim) });
    const out = matrix(run, { rows, width: dim, stride: dim + 5, dtype: "f32", values: run.random.normal(rows * dim) });
    const index = indices(run.random, n, rows);
    run.device.ops.scatterAddRows(
      ...[run.dtypeCode, out.address, DTYPES.f32, out.stride, src.address, src.stride] as const,
      ...[run.integers(index), n, rows, dim] as const,
    );
    // Additions of f32 in the given order: equal to the bit.
    const expected = Float32Array.from(out.values);
    index.forEach((row, i) => {
      if (row >= 0) { for (let c = 0; c < dim; c++) expected[row * dim + c]! += src.values[i * dim + c]!; }
    });
    assertEquals(out.read(), Float64Array.from(expected));
  }
});

opTest("scatterAddRows is the transpose of gatherRows", (run) => {
  // <gather(table), g> = <table, scatterAdd(g)>, and finite differences of a linear map are the map itself.
  const n = 19, rows = 7, dim = 13;
  const table = run.input(run.random.normal(rows * dim)), g = run.input(run.random.normal(n * dim));
  const index = indices(run.random, n, rows), where = run.integers(index);
  const gathered = run.output(n * dim), scattered = run.input(new Float64Array(rows * dim), { dtype: "f32" });
  run.device.ops.gatherRows(run.dtypeCode, gathered, dim, table.address, dim, where, n, rows, dim, 0);
  run.device.ops.scatterAddRows(run.dtypeCode, scattered.address, DTYPES.f32, dim, g.address, dim, where, n, rows, dim);
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const left = dot(run.read(gathered, n * dim), g.values), right = dot(table.values, run.read(scattered.address, rows * dim, "f32"));
  assert(Math.abs(left - right) <= 1e-4 * Math.sqrt(n * dim), `${left} and ${right}`);
});

opTest("gatherWeighted sums rows by their weights, and scatterAddWeighted is its gradient", (run) => {
  for (const [n, rows, dim] of shapes(run.small)) {
    for (const taps of [1, 4]) {
      const table = matrix(run, { rows, width: dim, stride: dim + 3, misalign: 1, values: run.random.normal(rows * dim) });
      const out = matrix(run, { rows: n, width: dim, stride: dim + 5 }),
        dy = matrix(run, { rows: n, width: dim, values: run.random.normal(n * dim) });
      const index = indices(run.random, n * taps, rows), weight = run.input(run.random.normal(n * taps), { dtype: "f32" });
      const [at, by, { ops }, code] = [run.integers(index), weight.address, run.device, run.dtypeCode];
      ops.gatherWeighted(code, out.address, out.stride, table.address, table.stride, at, by, n, taps, rows, dim);
      const grad = matrix(run, { rows, width: dim, stride: dim + 2, dtype: "f32", values: run.random.normal(rows * dim) });
      ops.scatterAddWeighted(code, grad.address, DTYPES.f32, grad.stride, dy.address, dy.stride, at, by, n, taps, rows, dim);
      const sums = new Float64Array(n * dim), expected = grad.values.slice();
      index.forEach((row, place) => {
        const i = Math.floor(place / taps), w = weight.values[place]!;
        for (let c = 0; row >= 0 && c < dim; c++) {
          sums[i * dim + c]! += w * table.values[row * dim + c]!;
          expected[row * dim + c]! += w * dy.values[i * dim + c]!;
        }
      });
      run.close(out.read(), sums, { what: `gather ${n} x ${taps} of ${rows} x ${dim}` });
      run.close(grad.read(), expected, { what: `gradient ${n} x ${taps} of ${rows} x ${dim}`, factor: 4 });
    }
  }
});

opTest("weighted row ops give equal bits for any number of threads", (run) => {
  const n = run.small ? 30 : 600, taps = 4, rows = 211, dim = run.small ? 70 : 384;
  const src = run.input(run.random.normal(Math.max(n, rows) * dim)).address, at = run.integers(indices(run.random, n * taps, rows));
  const by = run.input(run.random.normal(n * taps), { dtype: "f32" }).address;
  const { ops } = run.device, code = run.dtypeCode;
  assertDeterministic(run, () => {
    const sum = run.input(new Float64Array(rows * dim), { dtype: "f32" }).address, out = run.output(n * dim);
    ops.scatterAddWeighted(code, sum, DTYPES.f32, dim, src, dim, at, by, n, taps, rows, dim);
    ops.gatherWeighted(code, out, dim, src, dim, at, by, n, taps, rows, dim);
    return joinBytes(run.bytes(sum, rows * dim * 4), run.bytes(out, n * dim * DTYPE_BYTES[run.dtype]));
  });
});

opTest("weighted row ops refuse bad arguments, and keep a bad index to its row", (run) => {
  const { ops } = run.device, code = run.dtypeCode, a = run.input([1, 2, 3, 4]).address, out = run.output(4);
  const by = run.input([1, 0.5], { dtype: "f32" }).address, sum = run.input(new Float64Array(4), { dtype: "f32" }).address;
  const gather = (index: number[], changes: { taps?: number; by?: Address } = {}) =>
    ops.gatherWeighted(code, out, 2, a, 2, run.integers(Int32Array.from(index)), changes.by ?? by, 2, changes.taps ?? 1, 2, 2);
  const add = (index: number[]) =>
    ops.scatterAddWeighted(code, sum, DTYPES.f32, 2, a, 2, run.integers(Int32Array.from(index)), by, 2, 1, 2, 2);
  assertThrows(() => gather([0, 1], { taps: 0 }), RangeError, "taps");
  assertThrows(() => gather([0, 1], { by: 0 }), RangeError, "weight");
  assertThrows(() => ops.gatherWeighted(code, out, 1, a, 2, a, by, 2, 1, 2, 2), RangeError, "out_stride");
  ops.gatherWeighted(code, 0, 2, 0, 2, 0, 0, 0, 4, 2, 2);
  ops.scatterAddWeighted(code, 0, DTYPES.f32, 2, 0, 2, 0, 0, 0, 4, 2, 2);
  if (checksArrays(run)) {
    assertThrows(() => gather([0, 2]), RangeError, "index[1]");
    assertThrows(() => add([0, -2]), RangeError, "index[1]");
    return;
  }
  gather([0, 2]);
  assertEquals([...run.read(out, 4)], [1, 2, NaN, NaN]);
  add([1, 2]);
  assertEquals([...run.read(sum, 4, "f32")], [0, 0, 1, 2]);
});

opTest("gather and scatter pass NaN and infinities on", (run) => {
  const table = run.input([NaN, Infinity, 1, 2]), index = run.integers(Int32Array.of(0, 1, 0));
  const out = run.output(6), sum = run.input(new Float64Array(4), { dtype: "f32" });
  run.device.ops.gatherRows(run.dtypeCode, out, 2, table.address, 2, index, 3, 2, 2, 0);
  assertEquals([...run.read(out, 6)], [NaN, Infinity, 1, 2, NaN, Infinity]);
  run.device.ops.scatterAddRows(run.dtypeCode, sum.address, DTYPES.f32, 2, out, 2, index, 3, 2, 2);
  assertEquals([...run.read(sum.address, 4, "f32")], [NaN, Infinity, 1, 2]);
});

opTest("scatterAddRows gives equal bits for any number of threads", (run) => {
  const n = run.small ? 60 : 3000, rows = 101, dim = run.small ? 70 : 384;
  const src = run.input(run.random.normal(n * dim)), where = run.integers(indices(run.random, n, rows));
  assertDeterministic(run, () => {
    const out = run.input(new Float64Array(rows * dim), { dtype: "f32" });
    run.device.ops.scatterAddRows(run.dtypeCode, out.address, DTYPES.f32, dim, src.address, dim, where, n, rows, dim);
    return run.bytes(out.address, rows * dim * 4);
  });
});

/** The three ops on two rows of 4, with these indices. */
function calls(run: OpRun, values: Int32Array<ArrayBuffer>) {
  const a = run.input([1, 2, 3, 4, 5, 6, 7, 8]), out = run.output(8), sum = run.input(new Float64Array(8), { dtype: "f32" });
  const { ops } = run.device, code = run.dtypeCode, index = run.integers(values), n = values.length;
  return {
    out,
    sum: sum.address,
    gather: (o = out, s = 4, t = a.address, u = 4, dim = 4) => ops.gatherRows(code, o, s, t, u, index, n, 2, dim, 0),
    scatter: (o = out, s = 4, t = a.address, u = 4, dim = 4) => ops.scatterRows(code, o, s, t, u, index, n, 2, dim),
    add: (o = sum.address, s = 4, t = a.address, u = 4, dim = 4) => ops.scatterAddRows(code, o, DTYPES.f32, s, t, u, index, n, 2, dim),
  };
}

opTest("bad indices are refused on the CPU, and harm nothing but their row elsewhere", (run) => {
  for (const bad of [-2, 2, 2147483647, -2147483648]) {
    const { out, sum, gather, scatter, add } = calls(run, Int32Array.of(1, bad));
    const before = run.bytes(out, 8 * 2);
    if (checksArrays(run)) {
      assertThrows(gather, RangeError, "index[1]");
      assertThrows(scatter, RangeError, "index[1]");
      assertThrows(add, RangeError, "index[1]");
      assertEquals(run.bytes(out, 8 * 2), before);
      assertEquals([...run.read(sum, 8, "f32")], new Array(8).fill(0));
    } else {
      gather();
      assertEquals([...run.read(out, 8)], [5, 6, 7, 8, NaN, NaN, NaN, NaN]);
      add();
      assertEquals([...run.read(sum, 8, "f32")], [0, 0, 0, 0, 1, 2, 3, 4]);
      scatter();
      assertEquals([...run.read(out, 8)], [5, 6, 7, 8, 1, 2, 3, 4]);
    }
  }
  if (checksArrays(run)) assertThrows(calls(run, Int32Array.of(1, 1)).scatter, RangeError, "index[1]");
});

opTest("row ops refuse bad shapes and do nothing for empty ones", (run) => {
  const { out, gather, scatter, add } = calls(run, Int32Array.of(1, 0)), empty = calls(run, new Int32Array(0));
  for (const op of [gather, scatter, add]) {
    assertThrows(() => op(undefined, 3), RangeError);
    assertThrows(() => op(undefined, 4, undefined, 3), RangeError);
    assertThrows(() => op(0), RangeError);
    assertThrows(() => op(undefined, 4, undefined, 4, -4), RangeError);
    op(0, 4, 0, 4, 0);
  }
  assertThrows(() => gather(undefined, 4, 0), RangeError);
  assertThrows(() => add(undefined, 4, 0), RangeError);
  for (const op of [empty.gather, empty.scatter, empty.add]) op(0, 4, 0, 4);
  assertThrows(() => run.device.ops.gatherRows(DTYPES.i64, out, 4, out, 4, out, 1, 1, 4, 0), KedgeError);
});
