import { CARDS } from "../config/cards.ts";

/**
 * Returns the operations of a training pass, as EasyR1 counts them: 6 for each parameter and token (Kaplan et al., arXiv 2001.08361), and
 * 12 s^2 headDim heads layers for the attention of each sequence of s tokens. Of the vision tower only the parameters are counted. A frozen
 * parameter takes 4 operations, because the product that gives its gradient is not computed. `trained`: default all.
 *
 * @example
 * ```ts
 * import { trainingFlops } from "./flops.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(trainingFlops({ parameters: 10, sequences: [2, 3], headDim: 1, heads: 1, layers: 1 }), 6 * 10 * 5 + 12 * 13);
 * ```
 */
export function trainingFlops(
  work: { parameters: number; trained?: number; sequences: readonly number[]; headDim: number; heads: number; layers: number },
): number {
  const { parameters, trained = parameters, sequences, headDim, heads, layers } = work;
  const tokens = sequences.reduce((a, b) => a + b, 0), squares = sequences.reduce((sum, s) => sum + s * s, 0);
  return (4 * parameters + 2 * trained) * tokens + 12 * squares * headDim * heads * layers;
}

/** Returns the peak of dense products in bf16 of a device by its description, in operations a second; undefined for a device that is not listed, such as a CPU. */
export function peakFlops(description: string): number | undefined {
  return CARDS.find(({ pattern }) => pattern.test(description))?.flops;
}
