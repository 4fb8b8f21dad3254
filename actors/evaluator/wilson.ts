/**
 * A share with its 95 % interval: Wilson, "Probable inference", JASA 1927.
 *
 * @param right How many are right; a fraction where some are partly so.
 * @param n Of how many, 1 or more.
 *
 * @example
 * ```ts
 * import { wilson } from "@kedge/kedge/actors";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const { low, high } = wilson(8, 10);
 * assertAlmostEquals(low, 0.4901, 1e-3);
 * assertAlmostEquals(high, 0.9433, 1e-3);
 * ```
 */
export function wilson(right: number, n: number): { value: number; low: number; high: number } {
  const value = right / n, z = 1.959964, z2 = z * z / n;
  const middle = (value + z2 / 2) / (1 + z2), half = z / (1 + z2) * Math.sqrt(value * (1 - value) / n + z2 / (4 * n));
  return { value, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}
