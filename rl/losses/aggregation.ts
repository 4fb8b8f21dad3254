/**
 * Defines how token losses become one number: each token gets a weight, from counts of the whole batch of an optimizer step. Sums over
 * micro-batches are then exact for every division of the batch.
 *
 * @module
 */

/**
 * - `token`: the mean over all tokens of the batch.
 * - `seq`: the mean over the sequences of the mean over their tokens.
 * - `seq_sum_norm`: the sum over a sequence's tokens divided by the constant `length` (the longest response allowed, say), averaged over the sequences
 *   (Dr. GRPO, arXiv 2503.20783).
 */
export type Aggregation = { kind: "token" } | { kind: "seq" } | { kind: "seq_sum_norm"; length: number };

/** Packed sequences. */
export interface TokenLayout {
  /** The number of tokens of each sequence. */
  lengths: ArrayLike<number>;
  /** Packed [tokens]: 0 excludes a token from the loss and the counts. Default: all count. */
  mask?: ArrayLike<number>;
}

/** The counts that an optimizer step averages over. A sequence without a token that counts is not counted. */
export interface BatchSize {
  /** The number of tokens that count. */
  tokens: number;
  /** The number of sequences with such a token. */
  sequences: number;
}

/** Returns the number of tokens that count, by sequence. */
function counts({ lengths, mask }: TokenLayout): number[] {
  let at = 0;
  const tokens = Array.from(lengths).reduce((a, b) => a + b, 0);
  if (mask && mask.length !== tokens) throw new RangeError(`Cannot count ${tokens} tokens: the mask has ${mask.length} entries`);
  return Array.from(lengths, (length) => {
    let count = 0;
    for (const end = at + length; at < end; at++) if (mask?.[at] !== 0) count++;
    return count;
  });
}

/**
 * Counts a batch. The sizes of its parts add up to its size.
 *
 * @example
 * ```ts
 * import { batchSize } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(batchSize({ lengths: [2, 3, 1], mask: [1, 1, 1, 0, 1, 0] }), { tokens: 4, sequences: 2 });
 * ```
 */
export function batchSize(layout: TokenLayout): BatchSize {
  const active = counts(layout);
  return { tokens: active.reduce((a, b) => a + b, 0), sequences: active.filter((n) => n > 0).length };
}

/**
 * Computes the weight of every token of a micro-batch, packed [tokens], 0 where masked.
 *
 * @param layout The layout of the micro-batch.
 * @param batch The size of the whole batch of the optimizer step. Default: that of `layout`.
 * @throws {RangeError} for a `length` that is not above 0, or a batch smaller than this part of it.
 * @example A mean over sequences, in two micro-batches
 * ```ts
 * import { aggregationWeights } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const batch = { tokens: 5, sequences: 2 };
 * const weights = [[4], [1]].map((lengths) => aggregationWeights({ kind: "seq" }, { lengths }, batch));
 * assertEquals(weights.map((w) => [...w]), [[0.125, 0.125, 0.125, 0.125], [0.5]]);
 * ```
 */
export function aggregationWeights(
  aggregation: Aggregation,
  layout: TokenLayout,
  batch: BatchSize = batchSize(layout),
): Float32Array<ArrayBuffer> {
  const active = counts(layout), part = batchSize(layout);
  if (part.tokens > batch.tokens || part.sequences > batch.sequences) {
    throw new RangeError(
      `Cannot weight ${part.tokens} tokens in ${part.sequences} sequences: the whole batch has ${batch.tokens} in ${batch.sequences}`,
    );
  }
  if (aggregation.kind === "seq_sum_norm" && !(aggregation.length > 0)) {
    throw new RangeError(`Cannot divide sums by a length of ${aggregation.length}`);
  }
  const weight = (tokens: number) => {
    if (aggregation.kind === "token") return 1 / batch.tokens;
    return 1 / batch.sequences / (aggregation.kind === "seq" ? tokens : aggregation.length);
  };
  const weights = new Float32Array(Array.from(layout.lengths).reduce((a, b) => a + b, 0));
  let at = 0;
  for (const [s, tokens] of active.entries()) {
    for (const end = at + layout.lengths[s]!; at < end; at++) if (layout.mask?.[at] !== 0) weights[at] = weight(tokens);
  }
  return weights;
}

/**
 * Masks all tokens of the sequences that reached the length limit, so that they are in no mean.
 *
 * @param truncated Whether each sequence was truncated.
 * @throws {RangeError} if there are more or fewer of these, or a mask for a different number of tokens.
 * @example
 * ```ts
 * import { batchSize, maskTruncated } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const layout = maskTruncated({ lengths: [2, 3] }, [false, true]);
 * assertEquals(batchSize(layout), { tokens: 2, sequences: 1 });
 * ```
 */
export function maskTruncated(layout: TokenLayout, truncated: ArrayLike<boolean | number>): TokenLayout {
  if (truncated.length !== layout.lengths.length) {
    throw new RangeError(`Cannot mask ${layout.lengths.length} sequences: truncated has ${truncated.length} entries`);
  }
  counts(layout); // checks the mask
  let at = 0;
  const mask = new Uint8Array(Array.from(layout.lengths).reduce((a, b) => a + b, 0));
  for (let s = 0; s < layout.lengths.length; s++) {
    for (const end = at + layout.lengths[s]!; at < end; at++) mask[at] = truncated[s] || layout.mask?.[at] === 0 ? 0 : 1;
  }
  return { lengths: layout.lengths, mask };
}
