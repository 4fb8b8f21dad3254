import { plus } from "../../ffi/address.ts";
import { DTYPE_BYTES } from "../../ffi/device.ts";
import { describe, type Tensor } from "../tensor.ts";
import type { Backward } from "../backward.ts";
import type { Value } from "../value.ts";
import { inPlace } from "./place.ts";
import { activationType, lookUp } from "./product.ts";

/**
 * Computes out[i] = table[index[i]]. The index -1 gives zeros. It serves for embeddings (with `tape.param(table)`) and for any selection of
 * rows. An index may repeat.
 *
 * @param table [rows, dim]. On a CPU it may be packed bf16; the rows are then f32.
 * @param index i32 [n].
 * @returns [n, dim].
 *
 * @example
 * ```ts
 * import { gatherRows, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using index = Tensor.from(device, Int32Array.of(1, -1, 1));
 * const table = tape.constant(Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] }));
 * assertEquals([...gatherRows(table, index).tensor.toFloats()], [3, 4, 0, 0, 3, 4]);
 * ```
 */
export function gatherRows(table: Value, index: Tensor): Value {
  checkIndex(index);
  const { device, cols, rows } = table;
  const source = table.tensor;
  const out = table.tape.empty([index.size, cols], activationType(source));
  lookUp(device, source, { into: out.address, index: index.address, count: index.size });
  const [gathered] = table.tape.record({
    name: "gatherRows",
    inputs: [table],
    outputs: [out],
    save: [index],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const into = run.weightSlot(table, { add: true })!;
      const type = into.dtype === "f32" ? 0 : dy.dtypeCode;
      const order = run.saved(0);
      device.ops.scatterAddRows(dy.dtypeCode, into.address, type, into.stride, dy.address, cols, order.address, order.size, rows, cols);
    },
  });
  return gathered!;
}

/**
 * Returns `base` with rows[i] written over row index[i] (-1: nowhere). It writes visual embeddings over placeholders.
 *
 * @param base [n, dim].
 * @param options `rows`: [m, dim]; `index`: i32 [m], distinct; `inPlace`: writes into the memory of `base`.
 *
 * @example
 * ```ts
 * import { openDevice, scatterRows, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using index = Tensor.from(device, Int32Array.of(1));
 * const base = tape.constant(Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] })), rows = tape.constant(Tensor.from(device, [7, 8], { shape: [1, 2] }));
 * assertEquals([...scatterRows(base, { rows, index }).tensor.toFloats()], [1, 2, 7, 8]);
 * ```
 */
export function scatterRows(base: Value, options: { rows: Value; index: Tensor; inPlace?: boolean }): Value {
  const { rows, index } = options;
  checkIndex(index);
  checkRows(base, rows, index);
  const { device, cols } = base;
  const out = options.inPlace ? inPlace(base) : base.tensor.copy();
  const source = rows.tensor;
  const n = index.size;
  device.ops.scatterRows(out.dtypeCode, out.address, out.rowStride, source.address, source.rowStride, index.address, n, base.rows, cols);
  const [written] = base.tape.record({
    name: "scatterRows",
    inputs: [base, rows],
    outputs: [out],
    save: [index],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const order = run.saved(0);
      gatherInto(run, rows, { dy, order, tableRows: base.rows });
      if (!base.requiresGrad) return;
      let rest = dy;
      if (!run.exclusive(0)) (rest = run.temporary(dy.shape, { dtype: dy.dtype })).copyFrom(dy);
      device.ops.scatterRows(rest.dtypeCode, rest.address, cols, 0, cols, order.address, n, base.rows, cols);
      run.hand(base, rest);
    },
  });
  return written!;
}

/**
 * Returns `base` with rows[i] added to row index[i] (-1: to none). An index may repeat.
 *
 * @param base [n, dim].
 * @param options `rows`: [m, dim]; `index`: i32 [m]; `inPlace`: writes into the memory of `base`.
 *
 * @example
 * ```ts
 * import { openDevice, scatterAddRows, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using index = Tensor.from(device, Int32Array.of(1));
 * const base = tape.constant(Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] })), rows = tape.constant(Tensor.from(device, [7, 8], { shape: [1, 2] }));
 * assertEquals([...scatterAddRows(base, { rows, index }).tensor.toFloats()], [1, 2, 10, 12]);
 * ```
 */
export function scatterAddRows(base: Value, options: { rows: Value; index: Tensor; inPlace?: boolean }): Value {
  const { rows, index } = options;
  checkIndex(index);
  checkRows(base, rows, index);
  const { device, cols } = base;
  const out = options.inPlace ? inPlace(base) : base.tensor.copy();
  const [source, type, n] = [rows.tensor, out.dtypeCode, index.size];
  device.ops.scatterAddRows(type, out.address, type, out.rowStride, source.address, source.rowStride, index.address, n, base.rows, cols);
  const [sum] = base.tape.record({
    name: "scatterAddRows",
    inputs: [base, rows],
    outputs: [out],
    save: [index],
    backward: (run) => {
      const dy = run.upstream(0)!;
      gatherInto(run, rows, { dy, order: run.saved(0), tableRows: base.rows });
      run.hand(base, dy);
    },
  });
  return sum!;
}

/**
 * Computes weighted sums of rows: out[i] is the sum over k of weight[i, k] table[index[i, k]]. The index -1 adds nothing. It serves for
 * position embeddings between the places of a grid.
 *
 * @param table [rows, dim].
 * @param options `index`: i32 [n, taps]; `weight`: f32 [n, taps], a constant.
 * @returns [n, dim].
 *
 * @example
 * ```ts
 * import { gatherWeighted, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using index = Tensor.from(device, Int32Array.of(0, 1), { shape: [1, 2] });
 * using weight = Tensor.from(device, [0.25, 0.75], { shape: [1, 2] });
 * const table = tape.constant(Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] }));
 * assertEquals([...gatherWeighted(table, { index, weight }).tensor.toFloats()], [2.5, 3.5]);
 * ```
 */
export function gatherWeighted(table: Value, options: { index: Tensor; weight: Tensor }): Value {
  const { index, weight } = options;
  checkIndex(index);
  const [n, taps] = index.shape;
  const alike = weight.shape.length === 2 && weight.shape[0] === n && weight.shape[1] === taps;
  if (index.shape.length !== 2 || !alike || weight.dtype !== "f32" || !weight.contiguous) {
    throw new RangeError(`Cannot weigh rows by ${describe(weight)} at ${describe(index)}: both must be [n, taps], the weights f32`);
  }
  const { device, dtype, cols, rows } = table;
  const source = table.tensor;
  const out = table.tape.empty([n!, cols], dtype);
  const [at, by] = [index.address, weight.address];
  device.ops.gatherWeighted(out.dtypeCode, out.address, cols, source.address, source.rowStride, at, by, n!, taps!, rows, cols);
  const [gathered] = table.tape.record({
    name: "gatherWeighted",
    inputs: [table],
    outputs: [out],
    save: [index, weight],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const into = run.weightSlot(table, { add: true })!;
      const type = into.dtype === "f32" ? 0 : dy.dtypeCode;
      const [at, by] = [run.saved(0).address, run.saved(1).address];
      device.ops.scatterAddWeighted(
        ...[dy.dtypeCode, into.address, type, into.stride, dy.address, cols, at, by, n!, taps!, rows, cols] as const,
      );
    },
  });
  return gathered!;
}

/**
 * Concatenates the rows of several values.
 *
 * @example
 * ```ts
 * import { concatRows, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const row = (...numbers: number[]) => tape.constant(Tensor.from(device, numbers, { shape: [1, 2] }));
 * const both = concatRows([row(1, 2), row(3, 4)]);
 * assertEquals([both.shape, [...both.tensor.toFloats()]], [[2, 2], [1, 2, 3, 4]]);
 * ```
 */
export function concatRows(parts: readonly Value[]): Value {
  const first = parts[0];
  if (!first) throw new RangeError("Cannot concatenate: there is nothing");
  for (const part of parts) {
    if (part.cols !== first.cols || part.dtype !== first.dtype) {
      throw new RangeError(`Cannot concatenate ${describe(part)} to ${describe(first)}: they differ`);
    }
  }
  const { device, dtype, cols } = first;
  const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, part) => sum + part.rows, 0));
  const rows = starts.at(-1)! + parts.at(-1)!.rows;
  const out = first.tape.empty([rows, ...first.shape.slice(1)], dtype);
  const bytes = DTYPE_BYTES[dtype];
  for (const [i, { tensor }] of parts.entries()) {
    const to = plus(out.address, starts[i]! * cols * bytes);
    device.ops.copyRows(to, cols * bytes, tensor.address, tensor.rowStride * bytes, tensor.rows, cols * bytes);
  }
  const [joined] = first.tape.record({
    name: "concatRows",
    inputs: parts,
    outputs: [out],
    backward: (run) => {
      const dy = run.upstream(0)!;
      for (const [i, part] of parts.entries()) {
        using piece = dy.slice(starts[i]!, starts[i]! + part.rows);
        run.hand(part, piece);
      }
    },
  });
  return joined!;
}

function checkRows(base: Value, rows: Value, index: Tensor): void {
  if (rows.cols === base.cols && rows.rows === index.size && rows.dtype === base.dtype) return;
  throw new RangeError(`Cannot put rows ${describe(rows)} into ${describe(base)} at ${index.size} places: sizes or types do not fit`);
}

/** Gives `rows`, if they need one, the gradient that lies at their places in `dy`. */
function gatherInto(run: Backward, rows: Value, { dy, order, tableRows }: { dy: Tensor; order: Tensor; tableRows: number }): void {
  const part = run.slot(rows);
  if (!part) return;
  const { cols } = rows;
  const accumulate = Number(part.accumulate);
  run.device.ops.gatherRows(
    ...[dy.dtypeCode, part.address, part.stride, dy.address, cols, order.address, order.size, tableRows, cols, accumulate] as const,
  );
}

function checkIndex(index: Tensor): void {
  if (index.dtype !== "i32" || !index.contiguous) {
    throw new TypeError(`Cannot index rows by ${describe(index)}: it must be i32, without gaps`);
  }
}
