/** Computes the distribution of connectivity. */
import { listOf, numberOf } from "./fields.js";

/**
 * Counts tokens by connectivity in bins of equal width. The bins go from 0, or the lowest connectivity if it is negative, to the highest. A
 * value on an edge counts in the upper bin, and the highest value in the last.
 *
 * @param {readonly Readonly<Record<string, unknown>>[]} lines Lines of rollouts.jsonl.
 * @returns The bins' width and lower edges, the tokens and anchors in each, and the lowest connectivity of an anchor, or null if there are
 * no anchors. Undefined if no token has a connectivity.
 */
export const histogramOf = (lines, bins = 40) => {
  const tokens = lines.flatMap(({ connectivity, anchor }) =>
    listOf(connectivity).map((value, i) => ({ value: numberOf(value), anchor: listOf(anchor)[i] === 1 }))
  ).filter(({ value }) => value !== null);
  if (tokens.length === 0) return undefined;
  const [low, high] = tokens.reduce(([a, b], { value }) => [Math.min(a, value), Math.max(b, value)], [0, -Infinity]);
  const width = (high - low || 1) / bins, all = new Array(bins).fill(0), anchors = [...all];
  let threshold = null;
  for (const { value, anchor } of tokens) {
    const bin = Math.min(bins - 1, Math.floor((value - low) / width));
    all[bin]++;
    if (!anchor) continue;
    anchors[bin]++;
    threshold = Math.min(threshold ?? Infinity, value);
  }
  return { step: numberOf(lines[0]?.step), width, starts: all.map((_, i) => low + i * width), all, anchors, threshold };
};
