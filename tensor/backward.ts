import type { Device, DType } from "../ffi/device.ts";
import { addRows, type Gradient, overlaps, type Region, type Slot } from "./gradient.ts";
import type { Parameter } from "./parameter.ts";
import { Tensor, type TensorOptions } from "./tensor.ts";

/** The recording of an op, for its backward. */
export interface Recording {
  /** The op's name in messages. */
  readonly name: string;
  /** Tensors that the backward reads. */
  readonly saved: readonly Tensor[];
  /** The version of each saved tensor when it was saved. */
  readonly versions: readonly number[];
}

/** A value as a backward sees it: a target for gradients. */
export interface GradientTarget {
  /** Whether a backward computes its gradient. */
  readonly requiresGrad: boolean;
  /** The element type. */
  readonly dtype: DType;
  /** The first axis. */
  readonly rows: number;
  /** The product of the other axes. */
  readonly cols: number;
  /** The parameter that the value stands for. */
  readonly parameter: Parameter | undefined;
  /** The value whose gradient holds this one's. */
  readonly root: GradientTarget;
  /**
   * The value's rectangle in the root.
   *
   * @internal
   */
  readonly region: Region;
  /**
   * For a root: the gradient that is being accumulated.
   *
   * @internal
   */
  readonly pending: Gradient;
}

/**
 * The backward of one op: it receives the gradients of the outputs and writes those of the inputs. Everything it makes is freed afterwards.
 * An op asks for a slot right before the kernel that fills it, because the second use of a value adds to the first.
 *
 * @example
 * ```ts
 * import { openDevice, sum, Tape, Tensor, type Value } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * // An op of one's own: x^2.
 * function square(x: Value): Value {
 *   const { device, size } = x, y = x.tape.empty(x.shape, x.dtype);
 *   device.ops.mul(y.dtypeCode, y.address, x.tensor.address, x.tensor.address, size, 0);
 *   const [out] = x.tape.record({
 *     name: "square",
 *     inputs: [x],
 *     outputs: [y],
 *     save: [x.tensor],
 *     backward: (run) => {
 *       const dy = run.upstream(0)!, slot = run.slot(x)!, twice = run.temporary(x.shape);
 *       device.ops.scaleAdd(dy.dtypeCode, twice.address, run.saved(0).address, size, 2, 0, 0);
 *       device.ops.mul(dy.dtypeCode, slot.address, dy.address, twice.address, size, Number(slot.accumulate));
 *     },
 *   });
 *   return out!;
 * }
 *
 * using device = openDevice("cpu");
 * using numbers = Tensor.from(device, [1, -3]);
 * using tape = new Tape(device);
 * const x = tape.input(numbers);
 * tape.backward(sum(square(x)));
 * assertEquals([...x.gradient!.toFloats()], [2, -6]);
 * ```
 */
export class Backward implements Disposable {
  /** The device on which it runs. */
  readonly device: Device;
  readonly #op: Recording;
  readonly #upstream: (Tensor | undefined)[];
  readonly #temporaries: Tensor[] = [];
  readonly #after: (() => void)[] = [];

  /** Called by the tape; takes over the gradients. */
  constructor(device: Device, op: Recording, upstream: (Tensor | undefined)[]) {
    this.device = device;
    this.#op = op;
    this.#upstream = upstream;
    for (const [i, tensor] of op.saved.entries()) {
      if (tensor.live && tensor.storage.version !== op.versions[i]) {
        throw new RangeError(`Cannot run the backward of ${op.name}: a tensor that it saved was changed in place since`);
      }
    }
  }

  /** Returns the i-th saved tensor. */
  saved(i: number): Tensor {
    return this.#op.saved[i]!;
  }

  /**
   * Returns the gradient of the i-th output, contiguous and in its shape; undefined if none reached it. The gradient belongs to this
   * backward.
   */
  upstream(i: number): Tensor | undefined {
    return this.#upstream[i];
  }

  /** Tells whether nobody else uses the gradient of the i-th output, so that it may be overwritten. */
  exclusive(i: number): boolean {
    return this.#upstream[i]?.storage.references === 1;
  }

  /** Makes a tensor that is freed after this backward. */
  temporary(shape: readonly number[], options: TensorOptions = {}): Tensor {
    const tensor = Tensor.empty(this.device, shape, options);
    this.#temporaries.push(tensor);
    return tensor;
  }

  /** Room for the gradient of an input, in the input's type; undefined if it needs none. */
  slot(value: GradientTarget, options: { add?: boolean } = {}): Slot | undefined {
    if (!value.requiresGrad) return undefined;
    const { parameter } = value.root;
    if (parameter && value.dtype === "f32") return parameter.slot(value.region, options);
    return value.root.pending.slot(value.region, options);
  }

  /**
   * Returns slots for a kernel that writes several gradients at once and needs all of them. An input that needs none, or whose gradient
   * overlaps an earlier one, gets a temporary, which is added after the kernel has run.
   */
  slots(values: readonly GradientTarget[]): Slot[] {
    return values.map((value, i) => {
      const clash = values.slice(0, i).some((v) => v.root === value.root && overlaps(v.region, value.region));
      const slot = clash ? undefined : this.slot(value);
      if (slot) return slot;
      const tensor = this.temporary([value.rows, value.cols], { dtype: value.dtype });
      if (value.requiresGrad) this.#after.push(() => this.hand(value, tensor));
      return { address: tensor.address, stride: value.cols, dtype: value.dtype, accumulate: false };
    });
  }

  /** Room for the gradient of a weight: f32 for a parameter, whatever its type. `add`: the kernel can only add. `f32`: it can only write f32. */
  weightSlot(value: GradientTarget, options: { add?: boolean; f32?: boolean } = {}): Slot | undefined {
    if (!value.requiresGrad) return undefined;
    const { parameter } = value.root;
    if (parameter) return parameter.slot(value.region, options);
    if (value.dtype === "f32" || !options.f32) return this.slot(value, options);
    const wide = this.temporary([value.rows, value.cols]);
    wide.fill(0);
    this.#after.push(() => {
      using narrow = wide.cast(value.dtype);
      this.hand(value, narrow);
    });
    return { address: wide.address, stride: value.cols, dtype: "f32", accumulate: true };
  }

  /** Gives an input a finished gradient. The tensor may still be read; it is copied before anyone writes to it. */
  hand(value: GradientTarget, gradient: Tensor): void {
    if (!value.requiresGrad) return;
    const { parameter } = value.root;
    if (!parameter || value.dtype !== "f32") return value.root.pending.hand(value.region, gradient);
    using matrix = gradient.reshape([value.rows, value.cols]);
    addRows(this.device, parameter.slot(value.region, { add: true }), matrix);
  }

  /** Ends the backward of the op. */
  finish(): void {
    for (const run of this.#after) run();
  }

  /** Frees what this backward made. */
  [Symbol.dispose](): void {
    for (const tensor of this.#temporaries) tensor[Symbol.dispose]();
    for (const tensor of this.#upstream) tensor?.[Symbol.dispose]();
  }
}
