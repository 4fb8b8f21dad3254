import { describe } from "../tensor.ts";
import type { Value } from "../value.ts";
import { checkAlike, dense } from "./place.ts";

/**
 * Sums all elements: f32 [1], accumulated in f64.
 *
 * @example
 * ```ts
 * import { openDevice, sum, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * assertEquals(sum(tape.constant(Tensor.from(device, [1, 2, 4]))).tensor.item(), 7);
 * ```
 */
export function sum(x: Value): Value {
  const input = dense(x);
  const { device, size } = x;
  const total = x.tape.empty([1], "f32");
  device.ops.dot(input.tensor.dtypeCode, total.address, input.tensor.address, 0, size, 0);
  const [out] = x.tape.record({
    name: "sum",
    inputs: [input],
    outputs: [total],
    backward: (run) => {
      const factor = run.upstream(0)!.address;
      const ones = run.temporary(input.shape, { dtype: input.dtype });
      ones.fill(1);
      const slot = run.slot(input)!;
      device.ops.scaleAdd(ones.dtypeCode, slot.address, ones.address, size, 1, factor, Number(slot.accumulate));
    },
  });
  return out!;
}

/**
 * Computes the sum of a[i] b[i]: f32 [1], accumulated in f64. With constant weights this is the weighted sum of a loss.
 *
 * @example
 * ```ts
 * import { dot, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const a = tape.constant(Tensor.from(device, [1, 2])), b = tape.constant(Tensor.from(device, [3, 5]));
 * assertEquals(dot(a, b).tensor.item(), 13);
 * ```
 */
export function dot(a: Value, b: Value): Value {
  checkAlike("multiply", a, b);
  if (a.dtype !== "f32" && a.dtype !== "bf16") throw new TypeError(`Cannot take the dot product of ${describe(a)}: it holds no floats`);
  const [x, y] = [dense(a), dense(b)];
  const { device, size } = x;
  const total = a.tape.empty([1], "f32");
  device.ops.dot(x.tensor.dtypeCode, total.address, x.tensor.address, y.tensor.address, size, 0);
  const [out] = a.tape.record({
    name: "dot",
    inputs: [x, y],
    outputs: [total],
    save: [x.tensor, y.tensor],
    backward: (run) => {
      const factor = run.upstream(0)!.address;
      for (const [value, other] of [[x, run.saved(1)], [y, run.saved(0)]] as const) {
        const slot = run.slot(value);
        if (slot) device.ops.scaleAdd(other.dtypeCode, slot.address, other.address, size, 1, factor, Number(slot.accumulate));
      }
    },
  });
  return out!;
}
