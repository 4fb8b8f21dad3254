import { assertEquals, assertThrows } from "@std/assert";
import { DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { numericGradient, opTest } from "./harness.ts";
import { matrix } from "./matrix.ts";

function reference(x: Float64Array, bias: Float64Array): Float64Array {
  return x.map((v, i) => v + bias[i % bias.length]!);
}

opTest("biasAdd matches float64, with strides and in place", (run) => {
  for (const [rows, dim] of [[1, 1], [3, 3], [7, 17], [5, 64], [run.small ? 11 : 307, 131]] as const) {
    for (const inPlace of [false, true]) {
      const x = matrix(run, { rows, width: dim, stride: dim + 3, misalign: 1, values: run.random.normal(rows * dim) });
      const bias = run.input(run.random.normal(dim));
      const y = inPlace ? x : matrix(run, { rows, width: dim, stride: dim + 2 });
      run.device.ops.biasAdd(run.dtypeCode, y.address, y.stride, x.address, x.stride, bias.address, rows, dim);
      run.close(y.read(), reference(x.values, bias.values), { what: `[${rows}, ${dim}]` });
    }
  }
});

opTest("biasGrad adds the sum over rows: differences of the float64 reference", (run) => {
  for (const [rows, dim] of [[1, 1], [3, 3], [37, 17]] as const) {
    const x = run.random.normal(rows * dim), bias = run.random.normal(dim);
    const dy = matrix(run, { rows, width: dim, stride: dim + 3, misalign: 1, values: run.random.normal(rows * dim) });
    const dbias = run.input(run.random.normal(dim), { dtype: "f32" });
    run.device.ops.biasGrad(run.dtypeCode, dbias.address, dy.address, dy.stride, rows, dim);
    const [expected] = numericGradient(([a, b]) => reference(a!, b!), [x, bias], { cotangent: dy.values, which: [1] });
    // dbias is f32 and dy exact, so that bf16 adds no rounding.
    const sums = expected!.map((g, i) => g + dbias.values[i]!);
    run.close(run.read(dbias.address, dim, "f32"), sums, { what: `[${rows}, ${dim}]`, scale: Math.sqrt(rows) });
  }
});

opTest("biasGrad over many rows, equal bits for any number of threads", (run) => {
  const rows = run.small ? 50 : 5003, dim = run.small ? 19 : 61;
  const dy = run.input(run.random.normal(rows * dim));
  const sums = new Float64Array(dim);
  dy.values.forEach((g, i) => sums[i % dim]! += g);
  const op = () => {
    const dbias = run.input(new Float64Array(dim), { dtype: "f32" }).address;
    run.device.ops.biasGrad(run.dtypeCode, dbias, dy.address, dim, rows, dim);
    return dbias;
  };
  run.close(run.read(op(), dim, "f32"), sums, { what: "dbias" });
  assertDeterministic(run, () => run.bytes(op(), dim * 4));
});

opTest("bias ops pass NaN on, refuse bad arguments, do nothing for empties", (run) => {
  const { ops } = run.device, code = run.dtypeCode;
  const x = run.input([1, NaN, Infinity, 2]), bias = run.input([1, 1]), y = run.output(4), dbias = run.input([0, 0], { dtype: "f32" });
  ops.biasAdd(code, y, 2, x.address, 2, bias.address, 2, 2);
  assertEquals([...run.read(y, 4)], [2, NaN, Infinity, 3]);
  ops.biasGrad(code, dbias.address, x.address, 2, 2, 2);
  assertEquals([...run.read(dbias.address, 2, "f32")], [Infinity, NaN]);
  assertThrows(() => ops.biasAdd(code, y, 1, x.address, 2, bias.address, 2, 2), RangeError);
  assertThrows(() => ops.biasAdd(code, y, 2, x.address, 1, bias.address, 2, 2), RangeError);
  assertThrows(() => ops.biasAdd(code, y, 2, x.address, 2, 0, 2, 2), RangeError);
  assertThrows(() => ops.biasAdd(code, y, 2, x.address, 2, bias.address, -2, 2), RangeError);
  assertThrows(() => ops.biasGrad(code, dbias.address, x.address, 1, 2, 2), RangeError);
  assertThrows(() => ops.biasGrad(code, 0, x.address, 2, 2, 2), RangeError);
  assertThrows(() => ops.biasGrad(DTYPES.u8, dbias.address, x.address, 2, 2, 2), KedgeError);
  ops.biasAdd(code, 0, 2, 0, 2, 0, 0, 2);
  ops.biasGrad(code, 0, 0, 2, 0, 2);
  ops.biasGrad(code, 0, 0, 0, 2, 0);
});
