/**
 * Products with a weight, and lookups of its rows, in either of its forms: rows, or packed bf16 on a CPU, which works with f32 activations.
 *
 * @module
 */
import { type Address, plus } from "../../ffi/address.ts";
import { type Device, type DType, DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import type { Tensor } from "../tensor.ts";

/** The type of the activations that a weight multiplies. */
export function activationType({ dtype, isPacked }: Tensor): DType {
  return isPacked ? "f32" : dtype;
}

/** Rows of a matrix. */
interface Rows {
  readonly address: Address;
  readonly stride: number;
  /** How many. */
  readonly rows: number;
}

/** Where a product goes: C = alpha x op(W) + beta C. */
interface Into {
  readonly address: Address;
  readonly stride: number;
  readonly alpha?: number;
  readonly beta?: number;
}

/** Rows of a tensor from `start` on; all by default. */
export function rowsOf(tensor: Tensor, start = 0, rows: number = tensor.rows): Rows {
  return { address: plus(tensor.address, start * tensor.rowStride * DTYPE_BYTES[tensor.dtype]), stride: tensor.rowStride, rows };
}

/**
 * Computes x W^T, or with `turned` x W.
 *
 * @param weight [out, in].
 * @param product `cDtype`: of the result; default: the activations' type.
 */
export function multiply(
  device: Device,
  weight: Tensor,
  product: { x: Rows; into: Into; turned?: boolean; cDtype?: DType },
): void {
  const { x, into: { address: c, stride: ldc, alpha = 1, beta = 0 }, turned = false } = product, { rows: out, cols: input } = weight;
  if (weight.isPacked) {
    device.host.bf16Gemm(c, ldc, x.address, x.stride, weight.packedAddress, Number(turned), x.rows, out, input, alpha, beta);
    return;
  }
  const { dtype, address: b, rowStride: ldb } = weight, cDtype = product.cDtype ?? dtype;
  const [n, k] = turned ? [input, out] : [out, input];
  device.gemm({ dtype, cDtype, a: x.address, lda: x.stride, b, ldb, transB: !turned, c, ldc, m: x.rows, n, k, alpha, beta });
}

/** Writes rows of a table by their indices, i32 [count], behind one another in the activations' type. */
export function lookUp(device: Device, table: Tensor, { into, index, count }: { into: Address; index: Address; count: number }): void {
  const { rows, cols, dtypeCode } = table;
  if (table.isPacked) device.host.bf16Rows(into, DTYPES.f32, cols, table.packedAddress, rows, cols, index, 0, count);
  else device.ops.gatherRows(dtypeCode, into, cols, table.address, table.rowStride, index, count, rows, cols, 0);
}
