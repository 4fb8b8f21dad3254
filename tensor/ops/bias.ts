import { describe } from "../tensor.ts";
import type { Value } from "../value.ts";
import { type Weight, weightOf } from "./weight.ts";
import { emptyLike, inPlace } from "./place.ts";

/**
 * Computes y[r, :] = x[r, :] + bias.
 *
 * @param x [rows, dim].
 * @param bias [dim].
 * @param options `inPlace`: y uses the memory of x, which then holds the numbers of y.
 * @example
 * ```ts
 * import { addBias, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const x = tape.constant(Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] })), bias = tape.constant(Tensor.from(device, [10, 20]));
 * assertEquals([...addBias(x, bias).tensor.toFloats()], [11, 22, 13, 24]);
 * ```
 */
export function addBias(x: Value, bias: Weight, options: { inPlace?: boolean } = {}): Value {
  const b = weightOf(x, bias);
  if (b.size !== x.cols || b.dtype !== x.dtype) {
    throw new RangeError(`Cannot add bias ${describe(b)} to ${describe(x)}: it needs ${x.cols} elements`);
  }
  const { device } = x;
  const source = x.tensor;
  const y = options.inPlace ? inPlace(x) : emptyLike(x);
  device.ops.biasAdd(y.dtypeCode, y.address, y.rowStride, source.address, source.rowStride, b.tensor.address, x.rows, x.cols);
  const [out] = x.tape.record({
    name: "addBias",
    inputs: [x, b],
    outputs: [y],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const db = run.weightSlot(b, { add: true, f32: true });
      if (db) device.ops.biasGrad(dy.dtypeCode, db.address, dy.address, dy.rowStride, dy.rows, dy.cols);
      run.hand(x, dy);
    },
  });
  return out!;
}
