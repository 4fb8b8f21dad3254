import { plus } from "../ffi/address.ts";
import type { Device } from "../ffi/device.ts";
import { DTYPE_BYTES } from "../ffi/device.ts";
import type { Region, Slot } from "./gradient.ts";
import { Tensor } from "./tensor.ts";

/** Parameters by name, in the spelling of model folders. */
export type Parameters = Readonly<Record<string, Parameter>>;

/**
 * A weight with its tensor and the data that training keeps for it.
 *
 * The gradient is f32 for any type of the weight. It is created by the first backward and accumulates over backwards until `zeroGrad`.
 * `zeroGrad` costs nothing, because the next product writes instead of adding.
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
  /** The f32 master copy of a bf16 weight, if an optimizer keeps one. It is freed with the parameter. */
  master: Tensor | undefined;
  #requiresGrad = false;
  #grad: Tensor | undefined;
  #fresh = true;

  /** Takes over `tensor`, which must be contiguous or packed. `requiresGrad`: default true, or false for a packed tensor. */
  constructor(readonly name: string, readonly tensor: Tensor, options: { requiresGrad?: boolean } = {}) {
    if (!tensor.contiguous && !tensor.isPacked) throw new RangeError(`Cannot make parameter ${name}: its tensor is a view with gaps`);
    this.requiresGrad = options.requiresGrad ?? !tensor.isPacked;
  }

  /** Whether a tape computes its gradient; false freezes it. @throws {RangeError} if it is set to true and the weight is packed. */
  get requiresGrad(): boolean {
    return this.#requiresGrad;
  }

  set requiresGrad(wanted: boolean) {
    if (wanted && this.tensor.isPacked) {
      throw new RangeError(`Cannot train parameter ${this.name}: it is packed in bf16, as frozen weights are on a CPU; load it as f32`);
    }
    this.#requiresGrad = wanted;
  }

  /** The device that holds it. */
  get device(): Device {
    return this.tensor.device;
  }

  /** The gradient since the last `zeroGrad`, f32 in the weight's shape; undefined if there is none. It still belongs to the parameter. */
  get grad(): Tensor | undefined {
    return this.#fresh ? undefined : this.#grad;
  }

  /**
   * For the tape: returns where to write the gradient of a part. `add`: the op can only add.
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

  /** Discards the gradient. With `free` its memory is freed too. */
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
