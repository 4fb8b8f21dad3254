import { type Fields, numberOf } from "./read.ts";

/** Counts of tokens by connectivity. */
export interface Histogram {
  readonly step: number | null;
  readonly width: number; // of a bin
  readonly starts: readonly number[]; // [bins], the lower edges
  readonly all: readonly number[]; // [bins], tokens
  readonly anchors: readonly number[]; // [bins], those of them that are anchors
  /** The lowest connectivity of an anchor; null where there is none. */
  readonly threshold: number | null;
}

/**
 * Bins of equal width from 0, or the lowest connectivity if that is below, to the highest. A value on an edge counts in the upper bin, the highest in the last.
 *
 * @returns undefined where no token has a connectivity.
 */
export function histogramOf(lines: readonly Fields[], bins = 40): Histogram | undefined {
  const tokens = lines.flatMap(({ connectivity, anchor }) =>
    listOf(connectivity).map((value, i) => ({ value: numberOf(value), anchor: listOf(anchor)[i] === 1 }))
  ).filter((token): token is { value: number; anchor: boolean } => token.value !== null);
  if (tokens.length === 0) return undefined;
  const [low, high] = tokens.reduce(([a, b], { value }) => [Math.min(a, value), Math.max(b, value)], [0, -Infinity]);
  const width = (high! - low! || 1) / bins, all = new Array<number>(bins).fill(0), anchors = [...all];
  let threshold: number | null = null;
  for (const { value, anchor } of tokens) {
    const bin = Math.min(bins - 1, Math.floor((value - low!) / width));
    all[bin]!++;
    if (!anchor) continue;
    anchors[bin]!++;
    threshold = Math.min(threshold ?? Infinity, value);
  }
  return { step: numberOf(lines[0]?.step), width, starts: all.map((_, i) => low! + i * width), all, anchors, threshold };
}

/** A list as it is; an empty one for anything else. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
