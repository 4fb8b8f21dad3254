import { DTYPES } from "../../ffi/device.ts";
import type { DType } from "../../ffi/device.ts";
import type { Value } from "../value.ts";
import { checkAlike, dense, emptyLike } from "./place.ts";

/**
 * Computes a + b for equal shapes.
 *
 * @example
 * ```ts
 * import { add, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const a = tape.constant(Tensor.from(device, [1, 2])), b = tape.constant(Tensor.from(device, [3, 5]));
 * assertEquals([...add(a, b).tensor.toFloats()], [4, 7]);
 * ```
 */
export function add(a: Value, b: Value): Value {
  checkAlike("add", a, b);
  const [x, y] = [dense(a), dense(b)];
  const out = emptyLike(x);
  x.device.ops.add(out.dtypeCode, out.address, x.tensor.address, y.tensor.address, x.size);
  const [sum] = a.tape.record({
    name: "add",
    inputs: [x, y],
    outputs: [out],
    backward: (run) => {
      const dy = run.upstream(0)!;
      run.hand(x, dy);
      run.hand(y, dy);
    },
  });
  return sum!;
}

/**
 * Computes a * b elementwise for equal shapes.
 *
 * @example
 * ```ts
 * import { mul, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const a = tape.constant(Tensor.from(device, [1, 2])), b = tape.constant(Tensor.from(device, [3, 5]));
 * assertEquals([...mul(a, b).tensor.toFloats()], [3, 10]);
 * ```
 */
export function mul(a: Value, b: Value): Value {
  checkAlike("multiply", a, b);
  const [x, y] = [dense(a), dense(b)];
  const { device } = x;
  const out = emptyLike(x);
  device.ops.mul(out.dtypeCode, out.address, x.tensor.address, y.tensor.address, x.size, 0);
  const [product] = a.tape.record({
    name: "mul",
    inputs: [x, y],
    outputs: [out],
    save: [x.tensor, y.tensor],
    backward: (run) => {
      const dy = run.upstream(0)!;
      for (const [value, other] of [[x, run.saved(1)], [y, run.saved(0)]] as const) {
        const slot = run.slot(value);
        if (slot) device.ops.mul(dy.dtypeCode, slot.address, dy.address, other.address, dy.size, Number(slot.accumulate));
      }
    },
  });
  return product!;
}

/**
 * Computes factor * x.
 *
 * @example
 * ```ts
 * import { openDevice, scale, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * assertEquals([...scale(tape.constant(Tensor.from(device, [1, 2])), -2).tensor.toFloats()], [-2, -4]);
 * ```
 */
export function scale(x: Value, factor: number): Value {
  const input = dense(x);
  const { device } = x;
  const out = emptyLike(input);
  device.ops.scaleAdd(out.dtypeCode, out.address, input.tensor.address, input.size, factor, 0, 0);
  const [scaled] = x.tape.record({
    name: "scale",
    inputs: [input],
    outputs: [out],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const slot = run.slot(input)!;
      device.ops.scaleAdd(dy.dtypeCode, slot.address, dy.address, dy.size, factor, 0, Number(slot.accumulate));
    },
  });
  return scaled!;
}

/**
 * Converts x to another floating type. The gradient is converted back to the type of x.
 *
 * @example
 * ```ts
 * import { cast, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const rounded = cast(tape.constant(Tensor.from(device, [1.001, 2])), "bf16");
 * assertEquals([rounded.dtype, ...rounded.tensor.toFloats()], ["bf16", 1, 2]);
 * ```
 */
export function cast(x: Value, dtype: DType): Value {
  if (dtype === x.dtype) return x;
  const input = dense(x);
  const { device } = x;
  const [out] = x.tape.record({
    name: "cast",
    inputs: [input],
    outputs: [input.tensor.cast(dtype)],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const back = run.temporary(dy.shape, { dtype: input.dtype });
      device.ops.cast(back.address, DTYPES[input.dtype], dy.address, dy.dtypeCode, dy.size);
      run.hand(input, back);
    },
  });
  return out!;
}
