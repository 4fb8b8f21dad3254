/**
 * The definition of every policy loss, in float64 and without any kernel, with its gradient: docs/algorithms.md, section Loss. The kernels (`policyLoss`) are
 * the default and compute the same; tests hold them to this page. A loss module of a user has the signature of {@linkcode plainPolicyLoss}.
 *
 * The sources are named at the type `PolicyLoss`. Symbols: A the advantage of a token, after credit; d = log policy - log old policy; r = exp(d).
 *
 * @module
 */
import { lossBounds, type PolicyLoss } from "./policy_loss.ts";

/** The inputs of a policy loss for one response of T tokens. */
export interface LossInput {
  /** [T]: log-probs of the tokens under the policy that is trained. */
  readonly logprobs: ArrayLike<number>;
  /** [T]: their log-probs under the old policy. */
  readonly old: ArrayLike<number>;
  /** [T]: their advantages, after credit. */
  readonly advantages: ArrayLike<number>;
  /** [T]: 1 for a token that counts. 0 for a masked token: its other numbers must be ignored. */
  readonly mask: ArrayLike<number>;
  /** [T]: the factor of the token's loss: its share in the mean over the batch, times its importance correction. */
  readonly weights: ArrayLike<number>;
}

/** The loss of one response. */
export interface LossOutput {
  /** The sum over the tokens that count of weight * token loss. */
  readonly loss: number;
  /** [T]: its derivative by each log-prob, which training follows; 0 where masked. */
  readonly gradient: ArrayLike<number>;
}

/** A token's loss, and its derivative by the log-ratio that it was computed from (by the log-prob for `cispo` and `reinforce`). */
interface TokenLoss {
  readonly loss: number;
  readonly slope: number;
}

/**
 * Computes the policy loss of one response.
 *
 * @throws {RangeError} if bounds are not valid.
 * @example
 * ```ts
 * import { plainPolicyLoss } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const response = { logprobs: [-1, -1], old: [-1, -1], advantages: [2, -1], mask: [1, 1], weights: [0.5, 0.5] };
 * const { loss, gradient } = plainPolicyLoss(response, { kind: "ppo" });
 * assertEquals([loss, ...Array.from(gradient)], [-0.5, -1, 0.5]);
 * ```
 */
export function plainPolicyLoss(response: LossInput, options: PolicyLoss): LossOutput & { readonly gradient: Float64Array<ArrayBuffer> } {
  const { logprobs, old, advantages, mask, weights } = response, { kind } = options, bounds = lossBounds(options);
  const gradient = new Float64Array(logprobs.length), counted = [...gradient.keys()].filter((t) => mask[t] !== 0);
  const logRatio = (t: number) => finite(logprobs[t]! - old[t]!);
  // gspo and gspo_token: one ratio for the response, from the mean of its log-ratios.
  const bySequence = kind === "gspo" || kind === "gspo_token";
  const mean = bySequence ? counted.reduce((sum, t) => sum + logRatio(t), 0) / counted.length : 0;
  let loss = 0;
  for (const t of counted) {
    const A = advantages[t]!, d = bySequence ? mean : logRatio(t);
    const token = tokenLoss(kind, { A, d, logprob: finite(logprobs[t]!) }, bounds);
    loss += weights[t]! * token.loss;
    gradient[t] = weights[t]! * token.slope;
  }
  // gspo: every log-prob moves the mean by 1 / n, so that all tokens have the same gradient. gspo_token keeps each token's own.
  if (kind === "gspo") {
    const shared = counted.reduce((sum, t) => sum + gradient[t]!, 0) / counted.length;
    for (const t of counted) gradient[t] = shared;
  }
  return { loss, gradient };
}

/** Computes the loss of a token: the table of docs/algorithms.md, one row for each kind. */
function tokenLoss(
  kind: PolicyLoss["kind"],
  { A, d, logprob }: { A: number; d: number; logprob: number },
  { low, high, dual, tauPositive, tauNegative, logRatioMax }: ReturnType<typeof lossBounds>,
): TokenLoss {
  const r = Math.exp(clamp(d, -logRatioMax, logRatioMax)), clipped = clamp(r, low, high);
  const dr = Math.abs(d) > logRatioMax ? 0 : r; // the derivative of r by d; where d is clamped, r is constant
  switch (kind) {
    case "reinforce": // -A log policy
      return { loss: -A * logprob, slope: -A };
    case "cispo": // -A sg[clip(r)] log policy
      return { loss: -A * clipped * logprob, slope: -A * clipped };
    case "sapo": { // -A (4 / tau) sigmoid(tau (r - 1)), tau by the sign of A
      const tau = A < 0 ? tauNegative : tauPositive, gate = 1 / (1 + Math.exp(-tau * (r - 1)));
      return { loss: -A * (4 / tau) * gate, slope: -A * 4 * gate * (1 - gate) * dr };
    }
    case "ppo":
    case "gspo":
    case "gspo_token": { // max(-A r, -A clip(r)); where A < 0, at most -A dual. Where a bound acts, the loss is constant.
      const most = -A * dual, plain = { loss: -A * r, slope: -A * dr };
      const bounded = plain.loss < -A * clipped ? { loss: -A * clipped, slope: 0 } : plain;
      return dual > 0 && A < 0 && bounded.loss > most ? { loss: most, slope: 0 } : bounded;
    }
  }
}

function clamp(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}

/** Returns NaN for a number that is not finite, so that no clamp makes a number of it. */
function finite(x: number): number {
  return Number.isFinite(x) ? x : NaN;
}
