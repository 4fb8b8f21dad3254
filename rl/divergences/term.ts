import type { CoefficientConfig } from "./coefficient.ts";
import type { Divergence } from "./divergence.ts";

/**
 * The use of a divergence in training. Default: no divergence, and then no reference model is loaded.
 *
 * - `where: "loss"`: coefficient * divergence is added to the loss.
 * - `where: "reward"`: -coefficient * divergence is added to the reward of every token; its gradient is not used.
 *
 * `full`: KL over the whole vocabulary (`linearKl`), exact at each position, at the cost of a second product with the output matrix.
 */
export type DivergenceTerm = (Divergence | { kind: "full" }) & { where: "loss" | "reward"; coefficient: CoefficientConfig };

/**
 * Whether the reference model is needed.
 *
 * @example
 * ```ts
 * import { needsReference } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const term = (coefficient: number) => ({ kind: "k3", where: "loss", coefficient: { kind: "fixed", coefficient } } as const);
 * assertEquals([needsReference(term(0.01)), needsReference(term(0)), needsReference(undefined)], [true, false, false]);
 * ```
 */
export function needsReference(term: DivergenceTerm | undefined): boolean {
  return term !== undefined && term.coefficient.coefficient > 0;
}

/**
 * Computes the divergence's rewards of tokens, -coefficient * value: the `tokenRewards` of an estimator's batch.
 *
 * @param values Packed [tokens], from `divergenceValues` or `linearKl`.
 * @example
 * ```ts
 * import { divergenceRewards } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...divergenceRewards([1, 0.5], 0.5)], [-0.5, -0.25]);
 * ```
 */
export function divergenceRewards(values: ArrayLike<number>, coefficient: number): Float64Array {
  return Float64Array.from(values, (k) => -coefficient * k);
}
