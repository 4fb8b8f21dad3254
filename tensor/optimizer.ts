import { plus } from "../ffi/address.ts";
import type { Device } from "../ffi/device.ts";
import type { Parameter } from "./parameter.ts";
import { Tensor, type TensorOptions } from "./tensor.ts";

/** Parameters that are trained in the same way. */
export interface AdamWGroup {
  /** The parameters. They still belong to the caller. */
  parameters: readonly Parameter[];
  /** The weight decay. Default: that of the optimizer. It is usually 0 for norms and biases. */
  weightDecay?: number;
  /** The factor on the learning rate. Default: 1. */
  lrScale?: number;
}

/** How bf16 state is rounded: see `kedge_adamw`. */
export type Rounding = "nearest" | "stochastic" | "kahan";
const ROUNDINGS: Readonly<Record<Rounding, number>> = { nearest: 0, stochastic: 1, kahan: 2 };

/** Options for {@linkcode AdamW}. */
export interface AdamWOptions {
  /** The decay of the first moment. Default: 0.9. */
  beta1?: number;
  /** The decay of the second moment. Default: 0.999. */
  beta2?: number;
  /** The term that avoids a division by zero. Default: 1e-8. */
  eps?: number;
  /** The weight decay. Default: 0.01. */
  weightDecay?: number;
  /** The maximum norm of the gradient over all parameters. Larger gradients are scaled down. 0 (default) sets no limit. */
  maxNorm?: number;
  /** The type of the two moments. Default: "f32". */
  moments?: "f32" | "bf16";
  /** Rounding of bf16 moments, and of bf16 weights without a master. Default "nearest"; "stochastic" with bf16 moments or without masters. */
  rounding?: Rounding;
  /** Whether bf16 weights get an f32 master copy. Default: true. */
  master?: boolean;
  /** Whether moments and masters are in page-locked host memory instead of device memory. Default: false. */
  pinned?: boolean;
  /** Seed of stochastic rounding. Default 0. */
  seed?: number;
}

/** The result of a step. */
export interface StepReport {
  /** The gradient's norm over all parameters, scaled, before clipping. */
  norm: number;
  /** The factor by which the gradients were multiplied. */
  coefficient: number;
  /** Whether the norm was not finite, so that the step changed nothing. */
  skipped: boolean;
}

/** The counters of an optimizer, for a checkpoint. */
export interface AdamWState {
  /** The number of steps that changed the parameters. */
  applied: number;
  /** The number of steps that were skipped because the norm was not finite. */
  skipped: number;
  /** The number of the last steps that were skipped in a row. */
  skippedInRow: number;
  /** The number of updates of each parameter, by name. They determine the bias corrections. */
  steps: Record<string, number>;
}

/** How the state of an optimizer is divided among ranks. Each parameter belongs to one rank, which alone has its state and changes it. */
export interface OptimizerShares {
  /** Whether a parameter belongs to this rank. */
  owns(parameter: Parameter): boolean;
  /** Adds up numbers over the ranks, in place. Of each number, all ranks but one have 0. */
  join(numbers: Float64Array<ArrayBuffer>): void;
  /** Copies the weights of parameters from their owners to the other ranks. */
  tell(parameters: readonly Parameter[]): void;
}

interface Slot {
  parameter: Parameter;
  weightDecay: number;
  lrScale: number;
  /** Undefined where the state is that of another rank. */
  state: SlotState | undefined;
  steps: number;
}

interface SlotState {
  m: Tensor;
  v: Tensor;
  mLost: Tensor | undefined;
  vLost: Tensor | undefined;
  pLost: Tensor | undefined;
}

/**
 * AdamW with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101), as in torch.optim.AdamW.
 *
 * The global norm, clipping and the check for non-finite gradients run on the device, so that a step waits for nothing. A parameter without
 * a gradient is not changed, nor are its moments.
 *
 * @example
 * ```ts
 * import { AdamW, openDevice, Parameter, sum, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using weight = new Parameter("w", Tensor.from(device, [1]));
 * using optimizer = new AdamW(device, [{ parameters: [weight], weightDecay: 0 }]);
 * {
 *   using tape = new Tape(device);
 *   tape.backward(sum(tape.param(weight)));
 * }
 * optimizer.step({ lr: 0.1 });
 * assertAlmostEquals(weight.tensor.item(), 0.9, 1e-6);
 * ```
 */
export class AdamW implements Disposable {
  readonly #device: Device;
  readonly #options: Required<AdamWOptions>;
  readonly #shares: OptimizerShares | undefined;
  /** f64 [parameters]: the squares of each gradient, where the state is divided. */
  readonly #parts: Tensor | undefined;
  readonly #slots: Slot[] = [];
  readonly #owned: Tensor[] = [];
  readonly #squares: Tensor;
  readonly #clip: Tensor;
  #pending: Slot[] | undefined;
  #last: StepReport | undefined;
  #applied = 0;
  #skipped = 0;
  #skippedInRow = 0;

  /**
   * Allocates the state of every parameter.
   *
   * @param shares Where several ranks divide the state: that of the others is not allocated.
   * @throws {RangeError} if two parameters have the same name.
   */
  constructor(device: Device, groups: readonly AdamWGroup[], options: AdamWOptions = {}, shares?: OptimizerShares) {
    const moments = options.moments ?? "f32";
    const fallback = moments === "bf16" || options.master === false ? "stochastic" : "nearest";
    const defaults = {
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weightDecay: 0.01,
      maxNorm: 0,
      rounding: fallback,
      master: true,
      pinned: false,
      seed: 0,
    } as const;
    this.#device = device;
    this.#shares = shares;
    this.#options = { ...defaults, ...options, moments };
    const all = groups.flatMap(({ parameters, ...options }) => parameters.map((parameter) => ({ parameter, ...options })));
    const twin = all.find(({ parameter: { name } }, i) => all.findIndex((other) => other.parameter.name === name) < i);
    if (twin) throw new RangeError(`Cannot optimize two parameters named ${twin.parameter.name}`);
    this.#squares = Tensor.empty(device, [1], { dtype: "f64" });
    this.#clip = Tensor.empty(device, [4]);
    this.#parts = shares && Tensor.zeros(device, [Math.max(1, all.length)], { dtype: "f64" });
    try {
      for (const { parameter, weightDecay = this.#options.weightDecay, lrScale = 1 } of all) {
        const state = shares && !shares.owns(parameter) ? undefined : this.#stateOf(parameter);
        this.#slots.push({ parameter, weightDecay, lrScale, state, steps: 0 });
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #stateOf(parameter: Parameter): SlotState {
    const { moments, rounding, master, pinned } = this.#options;
    const { shape, dtype } = parameter.tensor;
    const zeros = (options: TensorOptions) => {
      const tensor = Tensor.zeros(this.#device, shape, { ...options, pinned });
      this.#owned.push(tensor);
      return tensor;
    };
    const kahan = rounding === "kahan";
    if (dtype !== "f32" && master) {
      parameter.master?.free();
      parameter.master = Tensor.empty(this.#device, shape, { pinned });
      refreshMaster(parameter);
    }
    const lost = kahan && moments === "bf16";
    return {
      m: zeros({ dtype: moments }),
      v: zeros({ dtype: moments }),
      mLost: lost ? zeros({ dtype: "bf16" }) : undefined,
      vLost: lost ? zeros({ dtype: "bf16" }) : undefined,
      pLost: kahan && dtype === "bf16" && !master ? zeros({ dtype: "bf16" }) : undefined,
    };
  }

  /**
   * Updates every parameter that has a gradient.
   *
   * @param options `gradScale`: the factor on the gradients before norm and clipping, such as 1 / tokens of the accumulated micro-batches.
   * Default: 1.
   * @throws {RangeError} if no parameter has a gradient.
   */
  step(options: { lr: number; gradScale?: number }): void {
    this.#settle();
    const { lr, gradScale = 1 } = options;
    const { ops } = this.#device;
    const { beta1, beta2, eps, maxNorm, rounding, seed, moments } = this.#options;
    const slots = this.#slots.filter((slot) => slot.parameter.grad !== undefined);
    if (slots.length === 0) throw new RangeError("Cannot step: no parameter has a gradient");
    if (this.#shares) this.#joinSquares(slots, this.#shares);
    else {
      for (const [i, { parameter }] of slots.entries()) {
        const grad = parameter.grad!;
        ops.sumSquares(grad.dtypeCode, this.#squares.address, grad.address, grad.size, Number(i > 0));
      }
    }
    ops.clipCoefficient(this.#clip.address, this.#squares.address, maxNorm, gradScale);
    for (const slot of slots) {
      const { parameter, state } = slot;
      const { tensor, master } = parameter;
      const step = ++slot.steps;
      if (!state) continue; // another rank's
      const { m, v, mLost, vLost, pLost } = state;
      ops.adamw(
        tensor.address,
        tensor.dtypeCode,
        master?.address ?? 0,
        m.address,
        v.address,
        moments === "f32" ? 0 : 1,
        mLost?.address ?? 0,
        vLost?.address ?? 0,
        pLost?.address ?? 0,
        parameter.grad!.address,
        this.#clip.address,
        tensor.size,
        lr * slot.lrScale,
        beta1,
        beta2,
        eps,
        slot.weightDecay,
        1 - beta1 ** step,
        1 - beta2 ** step,
        ROUNDINGS[rounding],
        seed * 65536 + this.#slots.indexOf(slot),
        step,
      );
      tensor.storage.version++;
    }
    this.#shares?.tell(slots.map(({ parameter }) => parameter));
    this.#pending = slots;
  }

  /** Computes the sum of all squares from those of each parameter, which its owner computes. They are added in one order on every rank. */
  #joinSquares(slots: readonly Slot[], shares: OptimizerShares): void {
    const parts = this.#parts!;
    parts.fill(0);
    for (const [i, { parameter, state }] of slots.entries()) {
      const grad = parameter.grad!;
      if (state) this.#device.ops.sumSquares(grad.dtypeCode, plus(parts.address, 8 * i), grad.address, grad.size, 0);
    }
    const squares = parts.toArray() as Float64Array<ArrayBuffer>;
    shares.join(squares);
    this.#squares.write(Float64Array.of(squares.reduce((a, b) => a + b, 0)));
  }

  /** Reads the result of the last step. A skipped step counts as if it had not happened. */
  #settle(): void {
    if (!this.#pending) return;
    const [norm, coefficient, nonfinite] = this.#clip.toFloats();
    const skipped = nonfinite !== 0;
    this.#last = { norm: norm!, coefficient: coefficient!, skipped };
    if (skipped) {
      for (const slot of this.#pending) slot.steps--;
      this.#skipped++;
      this.#skippedInRow++;
    } else {
      this.#applied++;
      this.#skippedInRow = 0;
    }
    this.#pending = undefined;
  }

  /** The result of the last step, for which it waits. Undefined before the first. */
  report(): StepReport | undefined {
    this.#settle();
    return this.#last;
  }

  /** Discards all gradients. With `free` their memory is freed too. */
  zeroGrad(options: { free?: boolean } = {}): void {
    for (const { parameter } of this.#slots) parameter.zeroGrad(options);
  }

  /** Returns the counters, and waits for the last step. */
  state(): AdamWState {
    this.#settle();
    const steps = Object.fromEntries(this.#slots.map(({ parameter, steps }) => [parameter.name, steps]));
    return { applied: this.#applied, skipped: this.#skipped, skippedInRow: this.#skippedInRow, steps };
  }

  /** Sets the counters to those of `state`. Load the numbers into `tensors`. @throws {RangeError} if a parameter is missing. */
  restore(state: AdamWState): void {
    const missing = this.#slots.filter(({ parameter }) => !(parameter.name in state.steps)).map(({ parameter }) => parameter.name);
    if (missing.length > 0) throw new RangeError(`Cannot restore the optimizer: no steps for ${missing.join(", ")}`);
    this.#pending = undefined;
    this.#last = undefined;
    this.#applied = state.applied;
    this.#skipped = state.skipped;
    this.#skippedInRow = state.skippedInRow;
    for (const slot of this.#slots) slot.steps = state.steps[slot.parameter.name]!;
  }

  /**
   * Returns the optimizer's tensors that this rank has, by name, to be read or written in place: `<parameter>.m`, `.v`, and if they exist `.master`, `.m_lost`,
   * `.v_lost`, `.p_lost`. They still belong to the optimizer.
   */
  tensors(): Record<string, Tensor> {
    const named: Record<string, Tensor> = {};
    for (const { parameter, state } of this.#slots) {
      if (!state) continue; // another rank's
      const { m, v, mLost, vLost, pLost } = state;
      const parts = { m, v, master: parameter.master, "m_lost": mLost, "v_lost": vLost, "p_lost": pLost };
      for (const [part, tensor] of Object.entries(parts)) if (tensor) named[`${parameter.name}.${part}`] = tensor;
    }
    return named;
  }

  /** Frees the moments. The masters stay with their parameters. */
  [Symbol.dispose](): void {
    for (const tensor of [...this.#owned, this.#squares, this.#clip]) tensor[Symbol.dispose]();
    this.#parts?.[Symbol.dispose]();
  }
}

/** Sets a parameter's master to its weight, for example after loading other weights. It does nothing without a master. */
export function refreshMaster(parameter: Parameter): void {
  const { master, tensor, device } = parameter;
  if (master) device.ops.cast(master.address, master.dtypeCode, tensor.address, tensor.dtypeCode, tensor.size);
}
