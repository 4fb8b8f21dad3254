/**
 * Logits of hidden states, a chunk of rows at a time, and what their gradients give: for ops that never hold [rows, vocabulary] as a whole.
 *
 * @module
 */
import { plus } from "../../ffi/address.ts";
import { type Device, type DType, DTYPE_BYTES } from "../../ffi/device.ts";
import type { Slot } from "../gradient.ts";
import { describe, type Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { activationType, multiply, rowsOf } from "./product.ts";

/**
 * A CPU's share of logits, in bytes: four times as many were no faster. It is fixed, because the bits of a gradient follow from the size of the chunks, and
 * free memory varies.
 */
export const CPU_LOGITS = 2 ** 26;
/** The bounds of a GPU's share. Above the upper one, reading and writing the weight's gradient costs a few percent of the products. */
const [GPU_LEAST, GPU_MOST] = [2 ** 26, 2 ** 32];

/**
 * Returns a GPU's share of logits, in bytes: the power of two below a 32nd of its memory, within bounds, so that it does not follow small changes of what is
 * free.
 *
 * @param memory Bytes. Default 0: the lower bound.
 */
export function gpuLogits(memory = 0): number {
  return Math.max(GPU_LEAST, Math.min(GPU_MOST, 2 ** Math.floor(Math.log2(Math.max(1, memory / 32)))));
}

/** Returns the bytes of logits that are held at a time. */
export function logitBytes(device: Pick<Device, "kind" | "memory">): number {
  return device.kind === "cpu" ? CPU_LOGITS : gpuLogits(device.memory().budget);
}

/** Logits by their sizes. */
export interface LogitSizes {
  readonly vocab: number;
  /** How many matrices of logits a chunk holds: with a reference's, two. */
  readonly matrices: number;
  /** The type of the products, in which the gradient is held once more. */
  readonly dtype: DType;
}

/** Returns the bytes of a row of logits. */
export function logitRowBytes({ vocab, matrices, dtype }: LogitSizes): number {
  return vocab * (matrices * DTYPE_BYTES.f32 + (dtype === "f32" ? 0 : DTYPE_BYTES[dtype]));
}

/** Returns the rows of a chunk of n: as many as the bytes hold, and 16 at least. */
export function rowsInBytes(n: number, bytes: number, sizes: LogitSizes): number {
  return Math.max(1, Math.min(n, Math.max(16, Math.floor(bytes / logitRowBytes(sizes)))));
}

/**
 * Returns the rows of a chunk: `asked`, or what {@linkcode logitBytes} hold.
 *
 * @throws {RangeError} if the weight does not fit.
 */
export function chunkRows(hidden: Value, weight: Value, { asked, matrices }: { asked: number | undefined; matrices: number }): number {
  if (weight.cols !== hidden.cols || activationType(weight.tensor) !== hidden.dtype) {
    throw new RangeError(`Cannot project ${describe(hidden)} by ${describe(weight)}: sizes or types do not fit`);
  }
  if (asked !== undefined) return Math.max(1, Math.min(hidden.rows, asked));
  return rowsInBytes(hidden.rows, logitBytes(hidden.device), { vocab: weight.rows, matrices, dtype: hidden.dtype });
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
