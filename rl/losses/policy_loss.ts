import { dense } from "../../tensor/ops/place.ts";
import { describe, Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import type { PolicyMetrics } from "./metrics.ts";

/**
 * The loss of a policy update at one token. r = policy / old policy at the sampled token, A the advantage. Names and defaults are EasyR1's.
 *
 * - `ppo`: max(-A r, -A clip(r, 1 - clipRatioLow, 1 + clipRatioHigh)), and at most -A clipRatioDual where A < 0 (dual clip; null: none).
 *   Schulman et al., arXiv 1707.06347; Ye et al., arXiv 1912.09729; clip-higher: Yu et al., arXiv 2503.14476.
 * - `gspo`: the same with one ratio for a sequence, exp of its mean log-ratio. Zheng et al., arXiv 2507.18071. Advantages that differ by token cancel in its
 *   gradient; `gspo_token` has the same value and lets every token's advantage act on that token.
 * - `cispo`: -A sg[clip(r)] log policy. `clipRatioCap` replaces both bounds, and bounds r from above alone. MiniMax-M1, arXiv 2506.13585.
 * - `sapo`: -A (4 / tau) sigmoid(tau (r - 1)), tau by the sign of A. Gao et al., arXiv 2511.20347.
 * - `reinforce`: -A log policy.
 */
export type PolicyLoss =
  | { kind: "ppo" | "gspo" | "gspo_token"; clipRatioLow?: number; clipRatioHigh?: number; clipRatioDual?: number | null }
  | { kind: "cispo"; clipRatioLow?: number; clipRatioHigh?: number; clipRatioCap?: undefined }
  | { kind: "cispo"; clipRatioCap: number; clipRatioLow?: undefined; clipRatioHigh?: undefined }
  | { kind: "sapo"; tauPositive?: number; tauNegative?: number }
  | { kind: "reinforce" };

/** The defaults of the losses. */
export const POLICY_LOSS_DEFAULTS = {
  ppo: { clipRatioLow: 0.2, clipRatioHigh: 0.3, clipRatioDual: 3 },
  gspo: { clipRatioLow: 3e-4, clipRatioHigh: 4e-4, clipRatioDual: 3 },
  "gspo_token": { clipRatioLow: 3e-4, clipRatioHigh: 4e-4, clipRatioDual: 3 },
  cispo: { clipRatioLow: 0.2, clipRatioHigh: 0.3 },
  sapo: { tauPositive: 1, tauNegative: 1.05 },
  reinforce: {},
  /** The bound of |log r| in every loss. */
  logRatioMax: 20,
} as const;

const CODES = { ppo: 0, gspo: 1, "gspo_token": 2, cispo: 3, sapo: 4, reinforce: 5 } as const;

/**
 * The inputs of a policy loss for a micro-batch of packed sequences, n tokens in all. A token of weight 0 is masked: its other numbers are
 * not read.
 */
export interface PolicyBatch {
  /** f32 [n]: log-probs of the policy that the ratios refer to. */
  old: Tensor;
  /** f32 [n]: advantages after credit assignment. */
  advantages: Tensor;
  /** f32 [n]: from `aggregationWeights`. */
  weights: Tensor;
  /** i32 [sequences + 1]: the start of each sequence, and n. */
  offsets: Tensor;
  /** f32 [n]: detached factors from `importanceWeights`. */
  correction?: Tensor;
}

/** Further inputs of a policy loss. */
export interface PolicyLossOptions {
  /** The kind of loss, with its bounds. */
  loss: PolicyLoss;
  /** f32 [n]: the true entropies from `linearLogProb`, for the bonus and the metrics. */
  entropy?: Value;
  /** The factor of the entropy bonus: this times the weighted sum of the entropies is subtracted from the loss. Default 0. */
  entropyCoefficient?: number;
  /** Receives the statistics of the tokens. */
  metrics?: PolicyMetrics;
}

/**
 * Computes the policy loss of a micro-batch: f32 [1], the sum over its tokens of weight * correction * token loss, less the entropy bonus.
 * Its gradient flows into `logprob` and `entropy`. A NaN at a token that counts makes it NaN.
 *
 * @param logprob f32 [n]: log-probs of the sampled tokens under the policy that is trained.
 * @throws {RangeError} if shapes or types do not fit, or the loss's bounds are not valid.
 * @example
 * ```ts
 * import { aggregationWeights, policyLoss } from "@kedge/kedge/rl";
 * import { openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using logprobs = Tensor.from(device, [-1, -2, -3]);
 * using advantages = Tensor.from(device, [1, 1, -1]);
 * using weights = Tensor.from(device, aggregationWeights({ kind: "token" }, { lengths: [2, 1] }));
 * using offsets = Tensor.from(device, Int32Array.of(0, 2, 3));
 * using tape = new Tape(device);
 * const input = tape.input(logprobs);
 * const loss = policyLoss(input, { old: logprobs, advantages, weights, offsets }, { loss: { kind: "ppo" } });
 * tape.backward(loss);
 * assertEquals([...input.gradient!.toFloats()], [-1, -1, 1].map((x) => Math.fround(x / 3)));
 * ```
 */
export function policyLoss(logprob: Value, batch: PolicyBatch, options: PolicyLossOptions): Value {
  const x = dense(logprob), entropy = options.entropy && dense(options.entropy), { device, size: n } = x;
  const { old, advantages, weights, offsets, correction } = batch;
  const { low, high, dual, tauPositive, tauNegative, logRatioMax } = lossBounds(options.loss);
  const coefficient = checkPolicyBatch(x, batch, { ...options, entropy });
  if (entropy) options.metrics?.sawEntropy();
  const loss = x.tape.empty([1], "f32");
  using gradient = Tensor.empty(device, [n]);
  device.ops.policyLoss(
    ...[loss.address, gradient.address, 0, options.metrics?.address ?? 0, x.tensor.address, old.address, advantages.address] as const,
    ...[weights.address, correction?.address ?? 0, entropy?.tensor.address ?? 0, offsets.address, n, offsets.size - 1] as const,
    ...[CODES[options.loss.kind], low, high, dual, tauPositive, tauNegative, logRatioMax, coefficient] as const,
  );
  return recordPolicyLoss(x, { loss, gradient, weights, entropy, coefficient });
}

/** Checks the shapes of a micro-batch. @returns The coefficient of the entropy bonus. @throws {RangeError} */
export function checkPolicyBatch(
  x: Value,
  { old, advantages, weights, offsets, correction }: PolicyBatch,
  { entropy, entropyCoefficient: coefficient = 0 }: { entropy?: Value | undefined; entropyCoefficient?: number | undefined },
): number {
  const arrays = { logprob: x.tensor, old, advantages, weights, correction, entropy: entropy?.tensor };
  for (const [name, tensor] of Object.entries(arrays)) {
    if (tensor && (tensor.dtype !== "f32" || tensor.size !== x.size || !tensor.contiguous)) {
      throw new RangeError(`Cannot take ${describe(tensor)} as ${name}: it needs f32[${x.size}]`);
    }
  }
  if (offsets.dtype !== "i32" || offsets.size < 1) {
    throw new RangeError(`Cannot take ${describe(offsets)} as offsets: it needs i32[sequences + 1]`);
  }
  if (!Number.isFinite(coefficient)) throw new RangeError(`Cannot scale an entropy bonus by ${coefficient}`);
  if (coefficient !== 0 && !entropy) throw new RangeError("Cannot give an entropy bonus: the entropies are missing");
  return coefficient;
}

/** Records a policy loss with a known gradient on the tape: `gradient` by the log-probs, -coefficient * `weights` by the entropies. */
export function recordPolicyLoss(
  x: Value,
  given: { loss: Tensor; gradient: Tensor; weights: Tensor; entropy: Value | undefined; coefficient: number },
): Value {
  const { loss, gradient, weights, entropy, coefficient } = given, { device, size: n } = x;
  const [out] = x.tape.record({
    name: "policyLoss",
    inputs: entropy ? [x, entropy] : [x],
    outputs: [loss],
    save: [gradient, weights],
    backward: (run) => {
      const factor = run.upstream(0)!.address;
      const slot = run.slot(x);
      if (slot) device.ops.scaleAdd(0, slot.address, run.saved(0).address, n, 1, factor, Number(slot.accumulate));
      if (!entropy || coefficient === 0) return;
      const other = run.slot(entropy);
      if (other) device.ops.scaleAdd(0, other.address, run.saved(1).address, n, -coefficient, factor, Number(other.accumulate));
    },
  });
  return out!;
}

/** The bounds of a loss, or their defaults. */
export interface LossBounds {
  /** The least ratio. */
  readonly low: number;
  /** The largest ratio. */
  readonly high: number;
  /** The bound of the ratio where the advantage is negative; 0: none. */
  readonly dual: number;
  /** The temperature of `sapo` at advantages of 0 or more. */
  readonly tauPositive: number;
  /** The temperature of `sapo` at negative advantages. */
  readonly tauNegative: number;
  /** The bound of |log r|. */
  readonly logRatioMax: number;
}

/**
 * Returns the bounds of a loss, with defaults for those that are not given.
 *
 * @throws {RangeError} if they are not valid.
 * @example
 * ```ts
 * import { lossBounds } from "@kedge/kedge/rl";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const { low, high, dual } = lossBounds({ kind: "ppo" });
 * assertEquals([low, high, dual], [0.8, 1.3, 3]);
 * assertThrows(() => lossBounds({ kind: "ppo", clipRatioDual: 1 }), RangeError, "clipRatioDual 1");
 * ```
 */
export function lossBounds(loss: PolicyLoss): LossBounds {
  const all = { low: 1, high: 1, dual: 0, tauPositive: 1, tauNegative: 1, logRatioMax: POLICY_LOSS_DEFAULTS.logRatioMax };
  switch (loss.kind) {
    case "reinforce":
      return all;
    case "sapo": {
      const { tauPositive, tauNegative } = { ...POLICY_LOSS_DEFAULTS.sapo, ...defined(loss) };
      if (!(tauPositive > 0 && tauNegative > 0)) {
        throw new RangeError(`Cannot take the temperatures ${tauPositive}, ${tauNegative}: they must be above 0`);
      }
      return { ...all, tauPositive, tauNegative };
    }
    case "cispo":
      if (loss.clipRatioCap !== undefined) {
        if (loss.clipRatioLow !== undefined || loss.clipRatioHigh !== undefined) {
          throw new RangeError("Cannot use clipRatioCap with clipRatioLow or clipRatioHigh: the cap replaces both");
        }
        if (!(loss.clipRatioCap > 0)) throw new RangeError(`Cannot cap ratios at ${loss.clipRatioCap}`);
        return { ...all, low: 0, high: loss.clipRatioCap };
      }
  }
  const { clipRatioLow, clipRatioHigh, clipRatioDual = null } = { ...POLICY_LOSS_DEFAULTS[loss.kind], ...defined(loss) } as {
    clipRatioLow: number;
    clipRatioHigh: number;
    clipRatioDual?: number | null;
  };
  if (!(clipRatioLow >= 0 && clipRatioLow <= 1 && clipRatioHigh >= 0)) {
    throw new RangeError(`Cannot clip ratios to [1 - ${clipRatioLow}, 1 + ${clipRatioHigh}]: the first is in [0, 1], the second 0 or more`);
  }
  if (clipRatioDual !== null && !(clipRatioDual > 1)) {
    throw new RangeError(`Cannot clip at clipRatioDual ${clipRatioDual}: it is above 1, or null`);
  }
  return { ...all, low: 1 - clipRatioLow, high: 1 + clipRatioHigh, dual: clipRatioDual ?? 0 };
}

/** Removes the keys that are undefined, which would hide a default. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
