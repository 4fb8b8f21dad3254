/**
 * Intervals and tests by Student's t.
 *
 * @module
 */
import jstat from "jstat";

const { studentt } = jstat as { studentt: { inv(p: number, freedom: number): number; cdf(t: number, freedom: number): number } };

/** The mean of numbers, with its interval and the test that it is 0. */
export interface MeanInterval {
  /** NaN if there are no numbers. */
  readonly mean: number;
  /** Half the width of the interval; NaN for fewer than two numbers, and for equal numbers other than 0. */
  readonly half: number;
  /** The two-sided p-value of mean 0; NaN where `half` is. */
  readonly p: number;
  /** The count of the numbers. */
  readonly n: number;
}

/** Accuracies do not differ by less. */
const ROUNDING = 1e-12;

/** Returns the p-quantile of Student's t. */
export function tQuantile(p: number, freedom: number): number {
  return studentt.inv(p, freedom);
}

/** Returns the mean of numbers. It is NaN if there are none. */
export function meanOf(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Returns the unbiased variance of numbers. It is NaN for fewer than two. */
export function varianceOf(values: readonly number[]): number {
  if (values.length < 2) return NaN;
  const mean = meanOf(values);
  return values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
}

/**
 * Returns the mean of independent numbers with its interval.
 *
 * @param options `level`: the probability that the interval holds the mean, default 0.95.
 *
 * @example
 * ```ts
 * import { meanInterval } from "./student.ts";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const { mean, half } = meanInterval([1, 2, 3]);
 * assertAlmostEquals(mean, 2);
 * assertAlmostEquals(half, 4.3026527 / Math.sqrt(3), 1e-6);
 * ```
 */
export function meanInterval(values: readonly number[], { level = 0.95 }: { level?: number } = {}): MeanInterval {
  const n = values.length, mean = meanOf(values), error = Math.sqrt(varianceOf(values) / n);
  if (n < 2) return { mean, half: NaN, p: NaN, n };
  // Numbers that are all alike by chance, as of few coarse ones, tell nothing of their spread. Where all are 0, nothing differs.
  if (error < ROUNDING) return Math.abs(mean) < ROUNDING ? { mean, half: 0, p: 1, n } : { mean, half: NaN, p: NaN, n };
  return { mean, half: tQuantile((1 + level) / 2, n - 1) * error, p: 2 * studentt.cdf(-Math.abs(mean / error), n - 1), n };
}

/**
 * Adjusts p-values for their number, as Holm does. NaN stays, and does not count.
 *
 * @example
 * ```ts
 * import { holm } from "./student.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
 * ```
 */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((p, i) => [p, i] as const).filter(([p]) => !Number.isNaN(p)).sort(([a], [b]) => a - b);
  const adjusted = ps.map(() => NaN);
  let least = 0;
  for (const [rank, [p, i]] of order.entries()) adjusted[i] = least = Math.max(least, Math.min(1, (order.length - rank) * p));
  return adjusted;
}
