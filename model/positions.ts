/**
 * Positions of tokens for the decoder's rotary embedding (M-RoPE; Qwen2-VL, arXiv 2409.12191, section 2.1): each token has one in time, one by row and
 * one by column.
 *
 * @module
 */
import type { TextConfig } from "./config/types.ts";
import type { Prompt, Visual } from "./prompt.ts";
import { frequencies } from "./transformer/rotary.ts";
import type { VisualSpan } from "./visual_spans.ts";

/** Positions of a prompt's tokens. */
export interface PromptPositions {
  /** Time, row, column; each [tokens]. */
  readonly axes: [Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>];
  /** The position of the first token of a response, on all three axes; those of the next follow one by one. */
  readonly next: number;
}

/**
 * Computes the positions of a prompt. Text tokens count up, equally on all axes. A run of a visual's tokens that starts at p has time p + t * step for its
 * t-th time step, rows from p and columns from p. After it, text continues at p + max(rows, columns) of the merged grid, however far its time went. So does
 * transformers 5.17; older releases continued after the last time if that was further.
 *
 * @param options `spans`: the runs of placeholders, in order. `step`: positions between two time steps of a visual; default 1.
 *
 * @example
 * ```ts
 * import { placeSpans } from "./positions.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const visual = { kind: "image" as const, grid: { t: 1, h: 2, w: 4 }, pixels: { patches: new Float32Array() } };
 * const prompt = { tokens: Int32Array.of(5, 90, 90, 6), visuals: [visual] };
 * const { axes, next } = placeSpans(prompt, { spans: [{ visual, index: 0, frame: 0, start: 1, end: 3 }], mergeSize: 2 });
 * assertEquals(axes.map((axis) => [...axis]), [[0, 1, 1, 3], [0, 1, 1, 3], [0, 1, 2, 3]]);
 * assertEquals(next, 4);
 * ```
 */
export function placeSpans(
  prompt: Prompt,
  options: { spans: readonly VisualSpan[]; mergeSize: number; step?: (visual: Visual, index: number) => number },
): PromptPositions {
  const { spans, mergeSize, step = () => 1 } = options;
  const n = prompt.tokens.length;
  const axes: PromptPositions["axes"] = [new Int32Array(n), new Int32Array(n), new Int32Array(n)];
  const [time, row, col] = axes;
  let position = 0, token = 0;
  const text = (end: number) => {
    for (; token < end; token++) time[token] = row[token] = col[token] = position++;
  };
  for (const { visual, index, start, end } of spans) {
    text(start);
    const [height, width] = [visual.grid.h / mergeSize, visual.grid.w / mergeSize], between = step(visual, index);
    for (; token < end; token++) {
      const place = token - start;
      time[token] = Math.trunc(position + Math.floor(place / (height * width)) * between);
      row[token] = position + Math.floor(place / width) % height;
      col[token] = position + place % width;
    }
    position += Math.max(height, width);
  }
  text(n);
  return { axes, next: position };
}

/** The axis of each frequency of half a head, and the frequencies, ropeTheta^(-2i / headDim), for {@linkcode RopeTable}. */
export interface Rope {
  readonly axis: number[];
  readonly invFreq: Float64Array<ArrayBuffer>;
}

/**
 * Frequencies of which each axis turns a range: first time, then rows, then columns.
 *
 * @example
 * ```ts
 * import { sectionedRope } from "./positions.ts";
 * import type { TextConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const { axis, invFreq } = sectionedRope({ headDim: 8, mropeSection: [2, 1, 1], ropeTheta: 10000 } as unknown as TextConfig);
 * assertEquals(axis, [0, 0, 1, 2]);
 * assertEquals(invFreq[2], 10000 ** -0.5);
 * ```
 */
export function sectionedRope({ headDim, mropeSection, ropeTheta }: TextConfig): Rope {
  const axis = mropeSection.flatMap((size, i) => new Array<number>(size).fill(i));
  return { axis, invFreq: frequencies(headDim, { base: ropeTheta, count: headDim / 2 }) };
}

/**
 * Frequencies of which neighbours turn by different axes: time, row, column, and so on, as long as the sections of row and column reach; the others by time.
 *
 * @example
 * ```ts
 * import { interleavedRope } from "./positions.ts";
 * import type { TextConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const { axis } = interleavedRope({ headDim: 16, mropeSection: [4, 2, 2], ropeTheta: 10000 } as unknown as TextConfig);
 * assertEquals(axis, [0, 1, 2, 0, 1, 2, 0, 0]);
 * ```
 */
export function interleavedRope({ headDim, mropeSection, ropeTheta }: TextConfig): Rope {
  const axis = Array.from({ length: headDim / 2 }, (_, i) => i < 3 * mropeSection[i % 3 as 0 | 1 | 2] ? i % 3 : 0);
  return { axis, invFreq: frequencies(headDim, { base: ropeTheta, count: headDim / 2 }) };
}
