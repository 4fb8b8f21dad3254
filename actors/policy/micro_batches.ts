/** The size of a group in packed tokens. The prompt counts once for all of its answers. */
export interface GroupSize {
  readonly prompt: number;
  readonly lengths: readonly number[];
}

/** Returns the packed tokens of a group. */
export function packedTokens({ prompt, lengths }: GroupSize): number {
  return prompt + lengths.reduce((a, b) => a + b, 0);
}

/**
 * Cuts groups, in their order, into micro-batches of at most `budget` packed tokens. A prompt's group stays whole, so that its prompt is
 * computed once; a group above the budget is a micro-batch alone.
 *
 * @returns The range of groups [start, end) of each micro-batch.
 *
 * @example
 * ```ts
 * import { microBatches } from "./micro_batches.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const group = { prompt: 4, lengths: [3, 3] };
 * assertEquals(microBatches([group, group, group], 20), [[0, 2], [2, 3]]);
 * ```
 */
export function microBatches(groups: readonly GroupSize[], budget: number): [start: number, end: number][] {
  const cuts: [number, number][] = [];
  let start = 0, tokens = 0;
  for (const [i, group] of groups.entries()) {
    const size = packedTokens(group);
    if (i > start && tokens + size > budget) {
      cuts.push([start, i]);
      [start, tokens] = [i, 0];
    }
    tokens += size;
  }
  if (start < groups.length) cuts.push([start, groups.length]);
  return cuts;
}
