import { describe } from "../tensor.ts";
import type { Value } from "../value.ts";
import { addBias } from "./bias.ts";
import { activationType, multiply, rowsOf } from "./product.ts";
import { type Weight, weightOf } from "./weight.ts";

/**
 * Computes y = x W^T + bias with the device's fastest GEMM.
 *
 * @param x [rows, in]; may be a column range.
 * @param weight [out, in]. On a CPU it may be packed bf16 while x is f32; it then gets no gradient.
 * @param options `bias`: [out].
 * @returns [rows, out].
 *
 * @example
 * ```ts
 * import { linear, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const x = tape.constant(Tensor.from(device, [1, 2], { shape: [1, 2] })); // [1, 2]
 * const weight = tape.constant(Tensor.from(device, [1, 0, 0, 1, 1, 1], { shape: [3, 2] })); // [3, 2]
 * const bias = tape.constant(Tensor.from(device, [0, 0, 10]));
 * assertEquals([...linear(x, weight, { bias }).tensor.toFloats()], [1, 2, 13]);
 * ```
 */
export function linear(x: Value, weight: Weight, options: { bias?: Weight | null } = {}): Value {
  const product = matmul(x, weightOf(x, weight), { transB: true });
  if (!options.bias) return product;
  const y = addBias(product, options.bias, { inPlace: true });
  product[Symbol.dispose](); // y shares the memory
  return y;
}

/**
 * Computes alpha op(a) op(b): [m, k] x [k, n]. With `transA`, a is stored [k, m]; with `transB`, b is stored [n, k]. The gradient of a
 * parameter is accumulated in f32. On a CPU, b may be packed bf16 while a is f32 and not transposed.
 *
 * @returns [m, n], of the inputs' type.
 *
 * @example
 * ```ts
 * import { matmul, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const a = tape.constant(Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] }));
 * assertEquals([...matmul(a, a).tensor.toFloats()], [7, 10, 15, 22]);
 * assertEquals([...matmul(a, a, { transB: true }).tensor.toFloats()], [5, 11, 11, 25]);
 * ```
 */
export function matmul(a: Value, b: Value, options: { transA?: boolean; transB?: boolean; alpha?: number } = {}): Value {
  const { transA = false, transB = false, alpha = 1 } = options;
  const [m, k] = transA ? [a.cols, a.rows] : [a.rows, a.cols];
  const [inner, n] = transB ? [b.cols, b.rows] : [b.rows, b.cols];
  const packed = b.tensor.isPacked;
  if (k !== inner || a.dtype !== activationType(b.tensor) || (packed && transA)) {
    throw new RangeError(
      `Cannot multiply ${describe(a)}${transA ? "^T" : ""} by ${describe(b)}${transB ? "^T" : ""}: sizes or types do not fit`,
    );
  }
  const { dtype, device } = a;
  const y = a.tape.empty([m, n], dtype);
  const [ta, tb] = [a.tensor, b.tensor];
  if (packed) multiply(device, tb, { x: rowsOf(ta), into: { address: y.address, stride: n, alpha }, turned: !transB });
  else {
    const [left, right] = [{ a: ta.address, lda: ta.rowStride, transA }, { b: tb.address, ldb: tb.rowStride, transB }];
    device.gemm({ dtype, ...left, ...right, c: y.address, ldc: n, m, n, k, alpha });
  }
  const [out] = a.tape.record({
    name: "matmul",
    inputs: [a, b],
    outputs: [y],
    // Each factor is kept for the gradient of the other: the input of a frozen matrix is freed.
    save: [b.requiresGrad ? ta : tb, a.requiresGrad ? tb : ta],
    backward: (run) => {
      const dy = { a: run.upstream(0)!.address, lda: n };
      const [sa, sb] = [run.saved(0), run.saved(1)];
      const wantedB = run.weightSlot(b);
      if (wantedB) {
        // db = op(a)^T dy, or its transpose if b is stored transposed.
        const c = { dtype, cDtype: wantedB.dtype, c: wantedB.address, ldc: wantedB.stride, alpha, beta: wantedB.accumulate ? 1 : 0 };
        const x = { address: sa.address, ld: sa.rowStride };
        if (transB) device.gemm({ ...c, ...dy, transA: true, b: x.address, ldb: x.ld, transB: transA, m: n, n: k, k: m });
        else device.gemm({ ...c, a: x.address, lda: x.ld, transA: !transA, b: dy.a, ldb: n, m: k, n, k: m });
      }
      const wantedA = run.weightSlot(a);
      if (wantedA && packed) {
        const into = { address: wantedA.address, stride: wantedA.stride, alpha, beta: wantedA.accumulate ? 1 : 0 };
        multiply(device, sb, { x: { address: dy.a, stride: n, rows: m }, into, turned: transB });
      } else if (wantedA) {
        const c = { dtype, cDtype: wantedA.dtype, c: wantedA.address, ldc: wantedA.stride, alpha, beta: wantedA.accumulate ? 1 : 0 };
        const w = { address: sb.address, ld: sb.rowStride };
        if (transA) device.gemm({ ...c, a: w.address, lda: w.ld, transA: transB, b: dy.a, ldb: n, transB: true, m: k, n: m, k: n });
        else device.gemm({ ...c, ...dy, b: w.address, ldb: w.ld, transB: !transB, m, n: k, k: n });
      }
    },
  });
  return out!;
}
