/**
 * What the card can do at most: bytes that a copy moves, and products of large matrices.
 *
 *   deno run -A bench/gpu/ceilings.ts [--fake]
 *
 * @module
 */
import type { CudaDevice } from "../../ffi/cuda_device.ts";
import type { DType } from "../../ffi/device.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { say } from "./lines.ts";
import { isFake, openGpu, timed } from "./open.ts";

using device = await openGpu();
const bytes = isFake() ? 2 ** 22 : 2 ** 31, side = isFake() ? 256 : 8192;

/** Bytes a second that a copy on the device reads and writes. */
function copy(): number {
  using from = Tensor.full(device, [bytes / 4], { value: 1 });
  using to = Tensor.empty(device, [bytes / 4]);
  return 2 * bytes / timed(device, () => device.ops.copy(to.address, from.address, bytes), { calls: 4 });
}

/** Multiplications and additions a second of a product of two square matrices. */
function product(of: CudaDevice, dtype: DType): number {
  using a = Tensor.full(of, [side, side], { value: 0.5, dtype });
  using b = Tensor.full(of, [side, side], { value: 0.25, dtype });
  using c = Tensor.empty(of, [side, side], { dtype });
  const gemm = {
    dtype,
    a: a.address,
    lda: side,
    b: b.address,
    ldb: side,
    transB: true,
    c: c.address,
    ldc: side,
    m: side,
    n: side,
    k: side,
  };
  return 2 * side ** 3 / timed(of, () => of.gemm(gemm), { calls: dtype === "bf16" ? 4 : 1 });
}

say({ name: "copy on the device", value: copy() / 1e9, unit: "GB/s", ceiling: "bytes" });
for (const dtype of isFake() ? ["f32"] as const : ["bf16", "f32"] as const) {
  const value = product(device, dtype) / 1e12, ceiling = dtype === "f32" && !isFake() ? {} : { ceiling: "operations" as const };
  say({ name: `product of ${side} x ${side} in ${dtype} (${device.blas.name})`, value, unit: "TFLOP/s", ...ceiling });
}
