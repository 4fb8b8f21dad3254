/**
 * The definition of every divergence's estimate, in float64 and without any kernel: the table of docs/algorithms.md, section Divergences. The kernels
 * (`divergence`, `linearKl`) are the default and compute the same; tests hold them to this page.
 *
 * Sources: Schulman, "Approximating KL divergence", 2020 (k1 to k3); Tang and Munos, arXiv 2506.09477 (their gradients); Csiszar, 1967 (f-divergences).
 *
 * @module
 */
import { type Divergence, DIVERGENCE_DEFAULTS, divergenceClamp, type DivergenceKind } from "./divergence.ts";

/** An estimate at one token. */
export interface DivergenceEstimate {
  /** The estimate of the divergence at this position. */
  readonly value: number;
  /** The number that training follows in place of the derivative by the token's log-prob. */
  readonly slope: number;
}

/**
 * Estimates the divergence at one sampled token y.
 *
 * @param x log reference(y) - log policy(y).
 * @param logRatio log policy(y) - log old policy(y). Only `importance` reads it.
 *
 * @example
 * ```ts
 * import { plainDivergence } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(plainDivergence(-2, { kind: "k2" }), { value: 2, slope: 2 });
 * assertEquals(plainDivergence(3, { kind: "k3" }).value, 10); // e^3 - 4 = 16.1, clamped
 * ```
 */
export function plainDivergence(x: number, options: Divergence, logRatio = 0): DivergenceEstimate {
  const { kind, alpha = DIVERGENCE_DEFAULTS.alpha, importance = DIVERGENCE_DEFAULTS.importance } = options;
  const limit = DIVERGENCE_DEFAULTS.logRatioMax, bound = divergenceClamp(options) ?? Infinity;
  const isDerivative = ["k1", "abs", "k2", "k3"].includes(kind); // the slope is the derivative of the value
  let { value, slope } = estimate(kind, finite(x), { alpha, limit });
  if (isDerivative && Math.abs(value) > bound) slope = 0;
  value = clamp(value, bound);
  if (!isDerivative) slope = clamp(slope, bound);
  if (!importance) return { value, slope };
  // r * value, with r = policy / old. d r / d log-prob = r, unless the log-ratio is clamped.
  const d = finite(logRatio), r = Math.exp(clamp(d, limit));
  return { value: r * value, slope: r * (isDerivative && Math.abs(d) <= limit ? slope + value : slope) };
}

/** The table, a row for each kind; u = e^x = reference / policy. Where u enters, |x| is at most `limit`. */
function estimate(kind: DivergenceKind, x: number, { alpha: a, limit }: { alpha: number; limit: number }): DivergenceEstimate {
  switch (kind) { // without u
    case "k1":
      return { value: -x, slope: 1 };
    case "abs":
      return { value: Math.abs(x), slope: -Math.sign(x) };
    case "k2":
      return { value: x ** 2 / 2, slope: -x };
    case "k1+":
      return { value: -x, slope: -x };
  }
  const beyond = Math.abs(x) > limit;
  x = clamp(x, limit);
  const e = Math.expm1(x), u = 1 + e; // e = u - 1, exact also where u is near 1
  switch (kind) {
    case "k3":
      return { value: e - x, slope: beyond ? 0 : -e };
    case "k3+":
      return { value: e - x, slope: -x };
    case "forward_kl": // u log u - u + 1
      return { value: u * x - e, slope: -e };
    case "jensen_shannon": { // (u log u - (1 + u) log((1 + u) / 2)) / 2
      const middle = Math.log1p(e / 2);
      return { value: (u * x - (1 + u) * middle) / 2, slope: -middle / 2 };
    }
    case "chi_square": // (1 - u)^2 / u
      return { value: e * -Math.expm1(-x), slope: 2 * Math.expm1(-x) };
    case "total_variation": // |1 - u| / 2
      return { value: Math.abs(e) / 2, slope: -Math.sign(x) / 2 };
    case "alpha": { // (u^(1-a) - 1) / (a (a - 1)) + (u - 1) / a, and its limits at 1 and 0
      if (a === 1) return { value: e - x, slope: -x };
      if (a === 0) return { value: u * x - e, slope: -e };
      const power = Math.expm1((1 - a) * x);
      return { value: power / (a * (a - 1)) + e / a, slope: power / (a - 1) };
    }
  }
}

/**
 * Computes kind "full": KL(policy, reference) over the whole vocabulary at one position, sum over y of p(y) (log p(y) - log q(y)), p and q
 * the softmax of the logits.
 *
 * @param logits [vocabulary]: of the policy.
 * @param reference [vocabulary]: of the reference.
 * @returns `value`: the divergence. `gradient`: [vocabulary], its derivative by each of the policy's logits, p(y) (log p(y) - log q(y) - value).
 *
 * @example
 * ```ts
 * import { plainFullKl } from "@kedge/kedge/rl";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * assertAlmostEquals(plainFullKl([1, 2], [0, 1]).value, 0, 1e-12); // the same distribution
 * assertAlmostEquals(plainFullKl([0, 0], [0, Math.log(3)]).value, Math.log(2) - Math.log(3) / 2);
 * ```
 */
export function plainFullKl(
  logits: ArrayLike<number>,
  reference: ArrayLike<number>,
): { value: number; gradient: Float64Array<ArrayBuffer> } {
  const p = logSoftmax(logits), q = logSoftmax(reference);
  const value = p.reduce((sum, log, y) => sum + Math.exp(log) * (log - q[y]!), 0);
  return { value, gradient: p.map((log, y) => Math.exp(log) * (log - q[y]! - value)) };
}

function logSoftmax(logits: ArrayLike<number>): Float64Array<ArrayBuffer> {
  const x = Float64Array.from(logits), most = x.reduce((a, b) => Math.max(a, b), -Infinity);
  const logSum = most + Math.log(x.reduce((sum, z) => sum + Math.exp(z - most), 0));
  return x.map((z) => z - logSum);
}

/** Clamps x to +-bound; NaN stays NaN. */
function clamp(x: number, bound: number): number {
  return Math.min(Math.max(x, -bound), bound);
}

/** Returns NaN for a number that is not finite, so that no clamp makes a number of it. */
function finite(x: number): number {
  return Number.isFinite(x) ? x : NaN;
}
