import { plus } from "../../ffi/address.ts";
import { DTYPE_BYTES } from "../../ffi/device.ts";
import { describe } from "../tensor.ts";
import type { Value } from "../value.ts";
import { inPlace } from "./place.ts";
import { type Weight, weightOf } from "./weight.ts";

/**
 * Adds alpha x W^T to columns [column, column + out) of a matrix. The other columns stay as they are. It adds a low-rank product to the part of a fused
 * product that it belongs to.
 *
 * @param base [rows, n].
 * @param options `x`: [rows, in]; may be a column range. `weight`: [out, in]. `column`: default 0. `alpha`: default 1. `inPlace`: writes into the memory of
 *   `base`.
 * @returns [rows, n].
 * @throws {RangeError} if sizes or types do not fit.
 *
 * @example
 * ```ts
 * import { addProduct, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const row = (...numbers: number[]) => tape.constant(Tensor.from(device, numbers, { shape: [1, numbers.length] }));
 * const base = row(10, 20, 30), x = row(1, 2), weight = row(3, 4); // x W^T = 11
 * assertEquals([...addProduct(base, { x, weight, column: 1, alpha: 2 }).tensor.toFloats()], [10, 42, 30]);
 * ```
 */
export function addProduct(
  base: Value,
  options: { x: Value; weight: Weight; column?: number; alpha?: number; inPlace?: boolean },
): Value {
  const { x, column = 0, alpha = 1 } = options, w = weightOf(base, options.weight);
  const [m, n, k, width] = [x.rows, w.rows, x.cols, base.cols];
  if (m !== base.rows || w.cols !== k || column < 0 || column + n > width || x.dtype !== base.dtype || w.dtype !== base.dtype) {
    const product = `${describe(x)} by ${describe(w)}^T`;
    throw new RangeError(`Cannot add the product of ${product} to ${describe(base)} at column ${column}: sizes or types do not fit`);
  }
  const { device, dtype } = base, at = column * DTYPE_BYTES[dtype];
  const y = options.inPlace ? inPlace(base) : base.tensor.copy(), [tx, tw] = [x.tensor, w.tensor];
  const into = { c: plus(y.address, at), ldc: y.rowStride, beta: 1 };
  device.gemm({ dtype, a: tx.address, lda: tx.rowStride, b: tw.address, ldb: tw.rowStride, transB: true, ...into, m, n, k, alpha });
  const [out] = base.tape.record({
    name: "addProduct",
    inputs: [base, x, w],
    outputs: [y],
    save: [w.requiresGrad ? tx : tw, x.requiresGrad ? tw : tx],
    backward: (run) => {
      const dy = run.upstream(0)!, part = plus(dy.address, at), [sx, sw] = [run.saved(0), run.saved(1)];
      const dw = run.weightSlot(w);
      if (dw) {
        const c = { cDtype: dw.dtype, c: dw.address, ldc: dw.stride, beta: Number(dw.accumulate) };
        device.gemm({ dtype, a: part, lda: width, transA: true, b: sx.address, ldb: sx.rowStride, ...c, m: n, n: k, k: m, alpha });
      }
      const dx = run.weightSlot(x);
      if (dx) {
        const c = { cDtype: dx.dtype, c: dx.address, ldc: dx.stride, beta: Number(dx.accumulate) };
        device.gemm({ dtype, a: part, lda: width, b: sw.address, ldb: sw.rowStride, ...c, m, n: k, k: n, alpha });
      }
      run.hand(base, dy);
    },
  });
  return out!;
}
