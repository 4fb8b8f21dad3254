import type { Address } from "../../ffi/address.ts";
import type { Device } from "../../ffi/device.ts";
import { describe, Tensor } from "../../tensor/tensor.ts";

/**
 * The importance correction of tokens that were drawn from another policy than the loss's old policy: from an older policy, or by an engine that rounds
 * differently. w = exp(log old - log rollout), with the logarithm clamped to +-20.
 *
 * - `truncate`: the factor is w within [low, high]. Ionides, "Truncated importance sampling", 2008.
 * - `mask`: the factor is w, and 0 outside [low, high] (IcePop).
 *
 * `level`: w of each token; of the whole sequence, exp of the sum of its log-ratios; or exp of its mean log-ratio.
 */
export interface Correction {
  /** The treatment of a factor outside the bounds. */
  kind: "truncate" | "mask";
  /** Default: "token". */
  level?: "token" | "sequence" | "sequence_mean";
  /** Default: 0 for truncate, 0.5 for mask. */
  low?: number;
  /** Default: 2 for truncate, 5 for mask. */
  high?: number;
}

/** The defaults of {@linkcode Correction}. */
export const CORRECTION_DEFAULTS = {
  truncate: { level: "token", low: 0, high: 2 },
  mask: { level: "token", low: 0.5, high: 5 },
  logRatioMax: 20,
} as const;

const LEVELS = { token: 0, sequence: 1, "sequence_mean": 2 } as const;

/** The inputs of {@linkcode importanceWeights}: packed sequences, n tokens. A token of weight 0 is masked. */
export interface CorrectionBatch {
  /** f32 [n]: log-probs under the policy that the loss calls old. */
  old: Tensor;
  /** f32 [n]: log-probs that were recorded during sampling. */
  rollout: Tensor;
  /** f32 [n]: from `aggregationWeights`. */
  weights: Tensor;
  /** i32 [sequences + 1]: the start of each sequence, and n. */
  offsets: Tensor;
}

/** The differences between the log-probs of rollout and training. */
export interface CorrectionReport {
  /** The mean of |log old - log rollout|. */
  "actor/logprob_gap": number;
  /** The largest |log old - log rollout|. */
  "actor/logprob_gap_max": number;
  /** The mean of log rollout - log old. */
  "actor/rollout_kl": number;
  /** The mean factor. */
  "actor/importance_mean": number;
  /** The standard deviation of the factors. */
  "actor/importance_std": number;
  /** (sum w)^2 / (n sum w^2): the effective sample size, as a share of the tokens. */
  "actor/importance_ess": number;
  /** The share of tokens with w outside [low, high]. */
  "actor/importance_outside": number;
}

/** The place of the sums that is a maximum. */
const LARGEST_GAP = 5;

/**
 * Sums over the micro-batches of a step, on the device.
 *
 * @example
 * ```ts
 * import { CorrectionMetrics, importanceWeights } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using metrics = new CorrectionMetrics(device);
 * using old = Tensor.from(device, [-1, -1]);
 * using rollout = Tensor.from(device, [-1, -3]);
 * using weights = Tensor.from(device, [0.5, 0.5]);
 * using offsets = Tensor.from(device, Int32Array.of(0, 2));
 * using _factors = importanceWeights({ old, rollout, weights, offsets }, { kind: "truncate" }, metrics);
 * const report = metrics.read()!;
 * assertEquals([report["actor/logprob_gap"], report["actor/logprob_gap_max"], report["actor/importance_outside"]], [1, 2, 0.5]);
 * ```
 */
export class CorrectionMetrics implements Disposable {
  readonly #sums: Tensor;

  /** Starts with sums of 0. */
  constructor(device: Device) {
    this.#sums = Tensor.zeros(device, [7], { dtype: "f64" });
  }

  /** The address of the sums, for the op: f64 [7], see kedge.h. */
  get address(): Address {
    return this.#sums.address;
  }

  /** Returns the sums, which `add` takes, and sets them to 0. */
  take(): number[] {
    const taken = Array.from(this.#sums.toArray() as Float64Array);
    this.#sums.write(new Float64Array(7));
    return taken;
  }

  /** Adds sums of other tokens, in the order of kedge.h. */
  add(sums: ArrayLike<number>): void {
    const now = this.#sums.toArray() as Float64Array<ArrayBuffer>;
    this.#sums.write(now.map((sum, k) => k === LARGEST_GAP ? Math.max(sum, sums[k]!) : sum + sums[k]!));
  }

  /** Waits for the work before, returns the means and sets the sums to 0. Returns undefined if no token was counted. */
  read(): CorrectionReport | undefined {
    const [n, sum, squares, outside, gap, largest, kl] = this.#sums.toArray() as unknown as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    this.#sums.write(new Float64Array(7));
    if (n === 0) return undefined;
    return {
      "actor/logprob_gap": gap / n,
      "actor/logprob_gap_max": largest,
      "actor/rollout_kl": kl / n,
      "actor/importance_mean": sum / n,
      "actor/importance_std": Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)),
      "actor/importance_ess": squares === 0 ? 0 : sum * sum / (n * squares),
      "actor/importance_outside": outside / n,
    };
  }

  /** Frees the sums. */
  [Symbol.dispose](): void {
    this.#sums[Symbol.dispose]();
  }
}

/**
 * Computes the factors of the policy loss for data from another policy: f32 [n], which the caller owns. No gradient flows through them.
 * They are 0 at masked tokens, and NaN if a log-prob that counts is not finite.
 *
 * @throws {RangeError} if shapes or types do not fit, or the bounds are not valid.
 * @example
 * ```ts
 * import { importanceWeights } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using old = Tensor.from(device, [-1, -1]);
 * using rollout = Tensor.from(device, [-1, -3]);
 * using weights = Tensor.from(device, [0.5, 0.5]);
 * using offsets = Tensor.from(device, Int32Array.of(0, 2));
 * using factors = importanceWeights({ old, rollout, weights, offsets }, { kind: "truncate" });
 * assertEquals([...factors.toFloats()], [1, 2]);
 * ```
 */
export function importanceWeights(batch: CorrectionBatch, correction: Correction, metrics?: CorrectionMetrics): Tensor {
  const { old, rollout, weights, offsets } = batch, n = old.size;
  for (const [name, tensor] of Object.entries({ old, rollout, weights })) {
    if (tensor.dtype !== "f32" || tensor.size !== n || !tensor.contiguous) {
      throw new RangeError(`Cannot take ${describe(tensor)} as ${name}: it needs f32[${n}]`);
    }
  }
  if (offsets.dtype !== "i32" || offsets.size < 1) {
    throw new RangeError(`Cannot take ${describe(offsets)} as offsets: it needs i32[sequences + 1]`);
  }
  const defaults = CORRECTION_DEFAULTS[correction.kind];
  const { level = defaults.level, low = defaults.low, high = defaults.high } = correction;
  if (!(low >= 0 && high >= low)) throw new RangeError(`Cannot bound importance weights to [${low}, ${high}]`);
  const out = Tensor.empty(old.device, [n]);
  try {
    old.device.ops.importanceWeights(
      ...[out.address, metrics?.address ?? 0, old.address, rollout.address, weights.address, offsets.address, n] as const,
      ...[offsets.size - 1, LEVELS[level], Number(correction.kind === "mask"), low, high, CORRECTION_DEFAULTS.logRatioMax] as const,
    );
  } catch (error) {
    out.free();
    throw error;
  }
  return out;
}
