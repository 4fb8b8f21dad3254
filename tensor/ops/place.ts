import { describe, type Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";

/**
 * Returns the memory of `x` for an op that writes its result over it. `x` then holds the result's numbers. The backward of an op that needs
 * the old numbers throws.
 *
 * @throws {RangeError} for a parameter, a constant or an input, because their memory does not belong to the tape.
 */
export function inPlace(x: Value): Tensor {
  if (x.foreign) throw new RangeError(`Cannot change ${describe(x)} in place: its memory is not the tape's`);
  const tensor = x.tensor.view();
  tensor.storage.version++;
  return tensor;
}

/** Returns a value without gaps between its rows: the value itself, or a copy that passes the gradient on. */
export function dense(x: Value): Value {
  if (x.tensor.contiguous) return x;
  const [out] = x.tape.record({
    name: "copy",
    inputs: [x],
    outputs: [x.tensor.copy()],
    backward: (run) => run.hand(x, run.upstream(0)!),
  });
  return out!;
}

/** Makes a contiguous result of the shape and type of `x`. */
export function emptyLike(x: Value): Tensor {
  return x.tape.empty(x.shape, x.dtype);
}

/** @throws {RangeError} if the two differ in shape or type. */
export function checkAlike(action: string, a: Value, b: Value): void {
  if (a.dtype === b.dtype && a.shape.length === b.shape.length && a.shape.every((size, i) => size === b.shape[i])) return;
  throw new RangeError(`Cannot ${action} ${describe(a)} and ${describe(b)}: they differ`);
}
