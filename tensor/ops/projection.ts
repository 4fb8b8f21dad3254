/**
 * Logits of hidden states, a chunk of rows at a time, and what their gradients give: for ops that never hold [rows, vocabulary] as a whole.
 *
 * @module
 */
import { plus } from "../../ffi/address.ts";
import { type Device, DTYPE_BYTES } from "../../ffi/device.ts";
import type { Slot } from "../gradient.ts";
import { describe, type Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { activationType, multiply, rowsOf } from "./product.ts";

/** Rows of a chunk: `asked`, or as many as have some 2^24 logits. @throws {RangeError} if the weight does not fit. */
export function chunkRows(hidden: Value, weight: Value, asked: number | undefined): number {
  if (weight.cols !== hidden.cols || activationType(weight.tensor) !== hidden.dtype) {
    throw new RangeError(`Cannot project ${describe(hidden)} by ${describe(weight)}: sizes or types do not fit`);
  }
  return Math.max(1, Math.min(hidden.rows, asked ?? Math.max(16, Math.floor(2 ** 24 / weight.rows))));
}

/** Writes the f32 logits of rows [start, start + rows) of x. */
export function project(device: Device, chunk: { x: Tensor; w: Tensor; start: number; rows: number; logits: Tensor }): void {
  const { x, w, start, rows, logits } = chunk;
  multiply(device, w, { x: rowsOf(x, start, rows), into: { address: logits.address, stride: w.rows }, cDtype: "f32" });
}

/** Computes the gradients of hidden states and weight from that of the logits, f32 [rows, vocab]. */
export function projectBackward(
  device: Device,
  chunk: {
    logits: Tensor;
    start: number;
    rows: number;
    x: Tensor;
    w: Tensor;
    /** Room for the gradient of x; undefined if it needs none. */
    dx: Slot | undefined;
    /** Room for the gradient of w; undefined if it needs none. */
    dw: Slot | undefined;
  },
): void {
  const { logits, start, rows, x, w, dx, dw } = chunk, { dtype } = x, bytes = DTYPE_BYTES[dtype], vocab = w.rows, dim = w.cols;
  using part = logits.slice(0, rows);
  using dlogits = dtype === "f32" ? part.view() : part.cast(dtype);
  if (dx) {
    const into = { address: plus(dx.address, start * dx.stride * bytes), stride: dx.stride, beta: Number(dx.accumulate) };
    multiply(device, w, { x: rowsOf(dlogits), into, turned: true });
  }
  if (dw) {
    const b = { b: plus(x.address, start * x.rowStride * bytes), ldb: x.rowStride };
    const c = { c: dw.address, cDtype: dw.dtype, ldc: dw.stride, beta: Number(dw.accumulate || start > 0) };
    device.gemm({ dtype, a: dlogits.address, lda: vocab, transA: true, ...b, ...c, m: vocab, n: dim, k: rows });
  }
}
