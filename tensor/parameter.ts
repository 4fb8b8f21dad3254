import { plus } from "../ffi/address.ts";
import type { Device } from "../ffi/device.ts";
import { DTYPE_BYTES } from "../ffi/device.ts";
import type { Region, Slot } from "./gradient.ts";
import { Tensor } from "./tensor.ts";

/** Parameters by name, as a model folder spells them. */
export type Parameters = Readonly<Record<string, Parameter>>;

/**
 * A weight: its tensor, and what training keeps beside it. The gradient is f32 whatever the weight's type, appears with the first backward, and adds
 * up over backwards until `zeroGrad`, which costs nothing: the next product writes instead of adding.
 *
 * @example
 * ```ts
 * import { dot, openDevice, Parameter, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using weight = new Parameter("w", Tensor.from(device, [1, 2, 3]));
 * using x = Tensor.from(device, [4, 5, 6]);
 * for (let batch = 0; batch < 2; batch++) {
 *   using tape = new Tape(device);
 *   tape.backward(dot(tape.param(weight), tape.constant(x)));
 * }
 * assertEquals([...weight.grad!.toArray()], [8, 10, 12]);
 * ```
 */
export class Parameter implements Disposable {
  /** Whether a tape computes its gradient; false freezes it. */
  requiresGrad: boolean;
  /** The f32 truth behind a bf16 weight, where an optimizer keeps one; freed with the parameter. */
  master: Tensor | undefined;
  #grad: Tensor | undefined;
  #fresh = true;

  /** Takes `tensor` over; it must be contiguous. */
  constructor(readonly name: string, readonly tensor: Tensor, options: { requiresGrad?: boolean } = {}) {
    if (!tensor.contiguous) throw new RangeError(`Cannot make parameter ${name}: its tensor is a view with gaps`);
    this.requiresGrad = options.requiresGrad ?? true;
  }

  /** The device that holds it. */
  get device(): Device {
    return this.tensor.device;
  }

  /** The gradient since the last `zeroGrad`, f32 of the weight's shape; undefined where none came. It stays the parameter's. */
  get grad(): Tensor | undefined {
    return this.#fresh ? undefined : this.#grad;
  }

  /**
   * For the tape: where to write the gradient of a part. `add`: the op can only add.
   *
   * @internal
   */
  slot(region: Region, options: { add?: boolean } = {}): Slot {
    const { rows, cols } = this.tensor;
    this.#grad ??= Tensor.empty(this.device, this.tensor.shape);
    const whole = region.rows * region.cols === rows * cols;
    const accumulate = !this.#fresh || !whole || (options.add ?? false);
    if (this.#fresh && accumulate) this.#grad.fill(0);
    this.#fresh = false;
    const address = plus(this.#grad.address, (region.row * cols + region.col) * DTYPE_BYTES.f32);
    return { address, stride: cols, dtype: "f32", accumulate };
  }

  /** Forgets the gradient. `free`: gives its memory back too. */
  zeroGrad(options: { free?: boolean } = {}): void {
    this.#fresh = true;
    if (!options.free) return;
    this.#grad?.free();
    this.#grad = undefined;
  }

  /** Frees the weight, its gradient and its master. */
  [Symbol.dispose](): void {
    this.tensor[Symbol.dispose]();
    this.#grad?.[Symbol.dispose]();
    this.master?.[Symbol.dispose]();
    this.#grad = this.master = undefined;
    this.#fresh = true;
  }
}
