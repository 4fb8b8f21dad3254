/**
 * Positions of tokens for the decoder's rotary embedding (M-RoPE; Qwen2-VL, arXiv 2409.12191, section 2.1): each token has one in time, one by row and
 * one by column.
 *
 * @module
 */
import type { ModelConfig, TextConfig } from "../config/types.ts";
import type { PromptPositions } from "../family.ts";
import type { Prompt } from "../prompt.ts";
import { frequencies } from "../transformer/rotary.ts";
import { visualSpans } from "../visual_spans.ts";

/**
 * Computes the positions of a prompt. Text tokens count up, equally on all axes. A visual that starts at p has time p + t * step, rows from p and columns
 * from p. `step` is 1 for an image; for a video it is tokensPerSecond times the whole seconds of `secondsPerGrid` (fractions cut off; default 1). After the
 * visual, text continues at p + max(rows, columns) of its merged grid, however far its time went. So does transformers 5.17. Older releases kept fractions
 * of seconds, and continued after the last time if that was further.
 *
 * @throws {KedgeError} `BadData` if placeholders and visuals do not match; {RangeError} for an impossible grid or time.
 *
 * @example
 * ```ts
 * import { promptPositions } from "./positions.ts";
 * import type { ModelConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const config = { tokens: { image: 90, video: 91 }, vision: { mergeSize: 2, tokensPerSecond: 2 } } as ModelConfig;
 * const visual = { kind: "image" as const, grid: { t: 1, h: 2, w: 4 }, pixels: { patches: new Float32Array() } };
 * const { axes, next } = promptPositions({ tokens: Int32Array.of(5, 90, 90, 6), visuals: [visual] }, config);
 * assertEquals(axes.map((axis) => [...axis]), [[0, 1, 1, 3], [0, 1, 1, 3], [0, 1, 2, 3]]);
 * assertEquals(next, 4);
 * ```
 */
export function promptPositions(prompt: Prompt, config: ModelConfig): PromptPositions {
  const { mergeSize, tokensPerSecond } = config.vision;
  const n = prompt.tokens.length;
  const axes: PromptPositions["axes"] = [new Int32Array(n), new Int32Array(n), new Int32Array(n)];
  const [time, row, col] = axes;
  let position = 0, token = 0;
  const text = (end: number) => {
    for (; token < end; token++) time[token] = row[token] = col[token] = position++;
  };
  for (const [i, { visual, start, end }] of visualSpans(prompt, config).entries()) {
    text(start);
    const [height, width] = [visual.grid.h / mergeSize, visual.grid.w / mergeSize];
    const seconds = visual.kind === "video" ? visual.secondsPerGrid ?? 1 : undefined;
    if (seconds !== undefined && !(Number.isFinite(seconds) && seconds >= 0)) {
      throw new RangeError(`Cannot place visual ${i} (video) in time: secondsPerGrid is ${seconds}`);
    }
    const step = seconds === undefined ? 1 : Math.trunc(Math.fround(seconds)) * tokensPerSecond;
    for (; token < end; token++) {
      const place = token - start;
      time[token] = Math.trunc(position + Math.floor(place / (height * width)) * step);
      row[token] = position + Math.floor(place / width) % height;
      col[token] = position + place % width;
    }
    position += Math.max(height, width);
  }
  text(n);
  return { axes, next: position };
}

/**
 * The axis of each frequency of half a head, and the frequencies, ropeTheta^(-2i / headDim), for {@linkcode RopeTable}.
 *
 * @example
 * ```ts
 * import { textRope } from "./positions.ts";
 * import type { TextConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const { axis, invFreq } = textRope({ headDim: 8, mropeSection: [2, 1, 1], ropeTheta: 10000 } as unknown as TextConfig);
 * assertEquals(axis, [0, 0, 1, 2]);
 * assertEquals(invFreq[2], 10000 ** -0.5);
 * ```
 */
export function textRope(config: TextConfig): { axis: number[]; invFreq: Float64Array<ArrayBuffer> } {
  const { headDim, mropeSection, ropeTheta } = config;
  const axis = mropeSection.flatMap((size, i) => new Array<number>(size).fill(i));
  return { axis, invFreq: frequencies(headDim, { base: ropeTheta, count: headDim / 2 }) };
}
