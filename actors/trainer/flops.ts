/** Peak of dense bf16 tensor cores by device name, in FLOP/s: NVIDIA's data sheets. The first that fits counts. */
const PEAKS: readonly (readonly [RegExp, number])[] = [
  [/H200|H100|H800|GH200/, 989e12],
  [/A100|A800/, 312e12],
  [/L40S/, 362e12],
  [/RTX 4090/, 165e12],
];

/**
 * Operations of a training pass: 6 for each parameter and token (Kaplan et al., arXiv 2001.08361), and of attention 12 s^2 headDim heads layers for each sequence of s
 * tokens, as EasyR1 counts them. The vision tower is counted as its parameters alone.
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
  work: { parameters: number; sequences: readonly number[]; headDim: number; heads: number; layers: number },
): number {
  const { parameters, sequences, headDim, heads, layers } = work;
  const tokens = sequences.reduce((a, b) => a + b, 0), squares = sequences.reduce((sum, s) => sum + s * s, 0);
  return 6 * parameters * tokens + 12 * squares * headDim * heads * layers;
}

/** The peak of a device by its description; undefined for one that is not listed, such as a processor. */
export function peakFlops(description: string): number | undefined {
  return PEAKS.find(([name]) => name.test(description))?.[1];
}
