import type { Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { linearDistribution } from "./linear_distribution.ts";
import type { Weight } from "./weight.ts";

/** The reference and the distributions of {@linkcode linearKl}. */
export interface LinearKlOptions {
  /** The reference's hidden states [n, refDim] and output matrix [vocab, refDim], of one type. No gradient flows into them. */
  reference: { hidden: Tensor; weight: Tensor };
  /**
   * i32 [n]. -1 skips the row: its KL and the gradient of its hidden state are 0, whatever the row contains. Default: no row is skipped.
   */
  target?: Tensor;
  /** Divides the logits of both. Default: 1. */
  temperature?: number;
  /** u8 [vocab]: tokens with a nonzero mark are removed from both distributions. */
  suppress?: Tensor;
  /** The number of rows at a time. Default: that of `linearLogProb`. */
  chunk?: number;
}

/**
 * Computes KL(softmax(hidden weight^T / t) || softmax(reference / t)) over the whole vocabulary, in nats: f32 [n]. It works on a few rows
 * at a time, so that [n, vocab] never exists. The backward recomputes the logits.
 *
 * @param hidden [n, dim].
 * @param weight [vocab, dim].
 * @throws {RangeError} if sizes or types do not fit.
 * @example
 * ```ts
 * import { linearKl, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const rows = (numbers: number[], cols: number) => Tensor.from(device, numbers, { shape: [numbers.length / cols, cols] });
 * const hidden = tape.constant(rows([1], 1)), weight = tape.constant(rows([Math.log(3), 0], 1)); // 3/4 and 1/4
 * using theirs = rows([1], 1);
 * using uniform = rows([0, 0], 1);
 * const kl = linearKl(hidden, weight, { reference: { hidden: theirs, weight: uniform } }).tensor.item();
 * assertAlmostEquals(kl, 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), 1e-6);
 * ```
 */
export function linearKl(hidden: Value, weight: Weight, options: LinearKlOptions): Value {
  const { reference, target, temperature = 1, suppress, chunk } = options;
  return linearDistribution(hidden, weight, { target, temperature, suppress, chunk, reference, logprobs: false }).kl!;
}
