import type { Address } from "../../ffi/address.ts";
import type { Device } from "../../ffi/device.ts";
import { dense } from "../../tensor/ops/place.ts";
import { describe, Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";

/**
 * The kind of estimate of the policy's distance from the reference, at one sampled token y. x = log reference(y) - log policy(y), u = exp(x). An estimate is
 * unbiased if its mean over tokens drawn from the policy is the divergence at that position. The same holds for its gradient.
 *
 * | kind | value | slope by log policy(y) | value unbiased for | gradient unbiased for |
 * |---|---|---|---|---|
 * | `k1` (`kl`) | -x | 1 | KL(policy, reference) | nothing: its mean is 0 |
 * | `abs` | abs(x) | -sign x | - | - |
 * | `k2` (`mse`) | x^2 / 2 | -x | - | KL(policy, reference) |
 * | `k3` (`low_var_kl`) | e^x - x - 1 | 1 - u | KL(policy, reference) | KL(reference, policy) |
 * | `k1+` | -x | -x | KL(policy, reference) | the same |
 * | `k3+` | e^x - x - 1 | -x | KL(policy, reference) | the same |
 * | `forward_kl` | u x - u + 1 | 1 - u | KL(reference, policy) | the same |
 * | `jensen_shannon` | (u x - (1 + u) log((1 + u) / 2)) / 2 | log(2 / (1 + u)) / 2 | Jensen-Shannon | the same |
 * | `chi_square` | (1 - u)^2 / u | 2 (1 / u - 1) | sum (policy - reference)^2 / reference | the same |
 * | `total_variation` | abs(1 - u) / 2 | -sign(x) / 2 | total variation | the same |
 * | `alpha` | (u^(1-a) - 1) / (a (a - 1)) + (u - 1) / a | (u^(1-a) - 1) / (a - 1) | (sum policy^a reference^(1-a) - 1) / (a (a - 1)) | the same |
 *
 * From `forward_kl` on, a divergence sum policy g(reference / policy) has value g(u), with the multiple of u - 1 (mean 0) that makes g'(1) = 0, and slope
 * g(u) - u g'(u): the derivative of sum policy g is that mean of slope times d log policy. k1 to k3: Schulman, "Approximating KL divergence", 2020; their
 * gradients: Tang & Munos, arXiv 2506.09477. f-divergences: Csiszar 1967. Clamps, and tokens of an older policy without `importance`, bias all of them.
 */
export type DivergenceKind =
  | "k1"
  | "abs"
  | "k2"
  | "k3"
  | "k1+"
  | "k3+"
  | "forward_kl"
  | "jensen_shannon"
  | "chi_square"
  | "total_variation"
  | "alpha";

/** A divergence by its estimate at sampled tokens. KL over the whole vocabulary is the op `linearKl`. */
export interface Divergence {
  /** The estimate. */
  kind: DivergenceKind;
  /** The order of `alpha`: 1 is KL(policy, reference), 0 KL(reference, policy), 2 half of chi-square. Default 0.5. */
  alpha?: number;
  /** The bound of the value, and of the slope from `k1+` on (below, the slope is then 0); null: none. Default 10 where the estimate has an exponential, else none. */
  clamp?: number | null;
  /** Multiplies by policy / old, through which the gradient flows: unbiased for tokens of the old policy. Default false. */
  importance?: boolean;
}

/** The defaults of {@linkcode Divergence}. `logRatioMax`: bound of |x| where it is exponentiated. */
export const DIVERGENCE_DEFAULTS = { alpha: 0.5, clamp: 10, logRatioMax: 20, importance: false } as const;

const CODES: Readonly<Record<DivergenceKind, number>> = {
  "k1": 0,
  "abs": 1,
  "k2": 2,
  "k3": 3,
  "k1+": 4,
  "k3+": 5,
  "forward_kl": 6,
  "jensen_shannon": 7,
  "chi_square": 8,
  "total_variation": 9,
  "alpha": 10,
};
const WITHOUT_EXPONENTIAL: readonly DivergenceKind[] = ["k1", "abs", "k2", "k1+"];

/**
 * Returns the bound of a divergence's value and slope, with the default of its kind; null: none.
 *
 * @throws {RangeError} unless it is above 0, or null.
 *
 * @example
 * ```ts
 * import { divergenceClamp } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([divergenceClamp({ kind: "k3" }), divergenceClamp({ kind: "k1" }), divergenceClamp({ kind: "k1", clamp: 5 })], [10, null, 5]);
 * ```
 */
export function divergenceClamp({ kind, clamp }: Divergence): number | null {
  const bound = clamp === undefined ? (WITHOUT_EXPONENTIAL.includes(kind) ? null : DIVERGENCE_DEFAULTS.clamp) : clamp;
  if (bound !== null && !(bound > 0)) throw new RangeError(`Cannot clamp a divergence to ${bound}: it is above 0, or null`);
  return bound;
}

/** The inputs of a divergence, n tokens. A token of weight 0 is masked: its other numbers are not read. */
export interface DivergenceBatch {
  /** f32 [n]: log-probs under the reference. */
  reference: Tensor;
  /** f32 [n]: from `aggregationWeights`. */
  weights: Tensor;
  /** f32 [n]: for `importance`. */
  old?: Tensor;
}

/**
 * Sums over the micro-batches of a step, on the device.
 *
 * @example
 * ```ts
 * import { DivergenceMetrics, divergenceValues } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using metrics = new DivergenceMetrics(device);
 * using logprobs = Tensor.from(device, [-1, -2]);
 * using reference = Tensor.from(device, [-2, -2]);
 * using weights = Tensor.from(device, [0.5, 0.5]);
 * using values = divergenceValues(logprobs, { reference, weights }, { kind: "k1", metrics });
 * assertEquals(metrics.read(), { loss: 0.5, mean: 0.5, sum: values.toFloats()[0]!, tokens: 2 });
 * assertEquals(metrics.read(), undefined); // it starts anew
 * ```
 */
export class DivergenceMetrics implements Disposable {
  readonly #sums: Tensor;

  /** Starts with sums of 0. */
  constructor(device: Device) {
    this.#sums = Tensor.zeros(device, [3], { dtype: "f64" });
  }

  /** The address of the sums, for the op: f64 [3], see kedge.h. */
  get address(): Address {
    return this.#sums.address;
  }

  /** Returns the sums, which `add` takes, and sets them to 0. */
  take(): number[] {
    const taken = Array.from(this.#sums.toArray() as Float64Array);
    this.#sums.write(new Float64Array(3));
    return taken;
  }

  /** Adds sums of other tokens, in the order of kedge.h. */
  add(sums: ArrayLike<number>): void {
    const now = this.#sums.toArray() as Float64Array<ArrayBuffer>;
    this.#sums.write(now.map((sum, k) => sum + sums[k]!));
  }

  /**
   * Waits for the work before, returns the means and sets the sums to 0. `loss`: aggregated like the loss (EasyR1's actor/kl_loss); `mean`
   * and `sum`: over the tokens. Returns undefined if no token was counted.
   *
   * @param updates Optimizer steps since the last read.
   */
  read(updates = 1): { loss: number; mean: number; sum: number; tokens: number } | undefined {
    const [weighted, sum, tokens] = this.#sums.toArray() as unknown as [number, number, number];
    this.#sums.write(new Float64Array(3));
    return tokens === 0 ? undefined : { loss: weighted / updates, mean: sum / tokens, sum, tokens };
  }

  /** Frees the sums. */
  [Symbol.dispose](): void {
    this.#sums[Symbol.dispose]();
  }
}

/**
 * Computes the divergence of a micro-batch, which the caller scales by its coefficient and adds to the loss: f32 [1], the weighted sum over
 * its tokens.
 *
 * @param logprob f32 [n]: log-probs of the sampled tokens under the policy that is trained.
 * @throws {RangeError} if shapes or types do not fit, or options are not valid.
 * @example
 * ```ts
 * import { divergence } from "@kedge/kedge/rl";
 * import { openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using logprobs = Tensor.from(device, [-1, -2]);
 * using reference = Tensor.from(device, [-2, -1]);
 * using weights = Tensor.from(device, [0.5, 0.5]);
 * using tape = new Tape(device);
 * const input = tape.input(logprobs);
 * const kl = divergence(input, { reference, weights }, { kind: "k2" });
 * tape.backward(kl);
 * assertEquals([kl.tensor.item(), ...input.gradient!.toFloats()], [0.5, 0.5, -0.5]);
 * ```
 */
export function divergence(logprob: Value, batch: DivergenceBatch, options: Divergence & { metrics?: DivergenceMetrics }): Value {
  const x = dense(logprob), { device, size: n } = x;
  const loss = x.tape.empty([1], "f32");
  using gradient = Tensor.empty(device, [n]);
  run({ loss, gradient, logprob: x.tensor, batch, options, metrics: options.metrics });
  const [out] = x.tape.record({
    name: "divergence",
    inputs: [x],
    outputs: [loss],
    save: [gradient],
    backward: (run) => {
      const slot = run.slot(x)!;
      device.ops.scaleAdd(0, slot.address, run.saved(0).address, n, 1, run.upstream(0)!.address, Number(slot.accumulate));
    },
  });
  return out!;
}

/**
 * Computes the divergence of every token, for the reward: f32 [n], which the caller owns; 0 where masked.
 *
 * @param logprob f32 [n].
 *
 * @example
 * ```ts
 * import { divergenceValues } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using logprobs = Tensor.from(device, [-1, -2]);
 * using reference = Tensor.from(device, [-2, -2]);
 * using weights = Tensor.from(device, [0.5, 0.5]);
 * using values = divergenceValues(logprobs, { reference, weights }, { kind: "k2" });
 * assertEquals([...values.toFloats()], [0.5, 0]);
 * ```
 */
export function divergenceValues(logprob: Tensor, batch: DivergenceBatch, options: Divergence & { metrics?: DivergenceMetrics }): Tensor {
  const value = Tensor.empty(logprob.device, [logprob.size]);
  try {
    run({ value, logprob, batch, options, metrics: options.metrics });
  } catch (error) {
    value.free();
    throw error;
  }
  return value;
}

interface Call {
  loss?: Tensor;
  gradient?: Tensor;
  value?: Tensor;
  logprob: Tensor;
  batch: DivergenceBatch;
  options: Divergence;
  metrics?: DivergenceMetrics | undefined;
}

function run({ loss, gradient, value, logprob, batch, options, metrics }: Call): void {
  const { reference, weights, old } = batch, n = logprob.size;
  for (const [name, tensor] of Object.entries({ logprob, reference, weights, old })) {
    if (tensor && (tensor.dtype !== "f32" || tensor.size !== n || !tensor.contiguous)) {
      throw new RangeError(`Cannot take ${describe(tensor)} as ${name}: it needs f32[${n}]`);
    }
  }
  const { kind, alpha = DIVERGENCE_DEFAULTS.alpha, importance = DIVERGENCE_DEFAULTS.importance } = options;
  const clamp = divergenceClamp(options);
  if (importance && !old) throw new RangeError("Cannot weight a divergence by policy / old: the old log-probs are missing");
  const outputs = [loss?.address ?? 0, gradient?.address ?? 0, value?.address ?? 0, metrics?.address ?? 0] as const;
  logprob.device.ops.divergence(
    ...[...outputs, logprob.address, reference.address, importance ? old!.address : 0, weights.address, n] as const,
    ...[CODES[kind], alpha, DIVERGENCE_DEFAULTS.logRatioMax, clamp ?? 0] as const,
  );
}
