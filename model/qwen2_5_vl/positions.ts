/**
 * Positions of tokens for the decoder's rotary embedding (M-RoPE; Qwen2-VL, arXiv 2409.12191, section 2.1): each token has one in time, one by row and
 * one by column.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import type { ModelConfig, TextConfig } from "../config/config.ts";
import { type Prompt, type Visual, visualTokens } from "../prompt.ts";
import { checkGrid } from "./vision_layout.ts";

/** Where a visual's placeholders are. */
export interface VisualSpan {
  readonly visual: Visual;
  /** The first placeholder's index in the prompt. */
  readonly start: number;
  /** One after the last. */
  readonly end: number;
}

/** Positions of a prompt's tokens. */
export interface PromptPositions {
  /** Time, row, column; each [tokens]. */
  readonly axes: [Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>];
  /** The position of the first token of a response, on all three axes; those of the next follow one by one. */
  readonly next: number;
}

/**
 * Finds the placeholders of each visual, in order.
 *
 * @throws {KedgeError} `BadData` where placeholders and visuals do not fit, naming which and how many; {RangeError} for an impossible grid.
 */
export function visualSpans(prompt: Prompt, config: ModelConfig): VisualSpan[] {
  const { tokens, visuals } = prompt;
  const { image, video } = config.tokens;
  const { mergeSize } = config.vision;
  const bad = (words: string, details: Record<string, unknown>) => {
    const counts = `The prompt holds ${count(tokens, image)} image and ${count(tokens, video)} video placeholders`;
    const wanted = visuals.map((visual) => `${visual.kind} ${visualTokens(visual.grid, mergeSize)}`).join(", ") || "none";
    return new KedgeError("BadData", `Cannot place visuals in a prompt: ${words}. ${counts}; its visuals need: ${wanted}`, details);
  };
  const spans: VisualSpan[] = [];
  let at = 0;
  const next = () => {
    while (at < tokens.length && tokens[at] !== image && tokens[at] !== video) at++;
    return at;
  };
  for (const [i, visual] of visuals.entries()) {
    const what = `visual ${i} (${visual.kind})`;
    checkGrid(visual.grid, { mergeSize, what });
    const [start, needed] = [next(), visualTokens(visual.grid, mergeSize)];
    const wanted = visual.kind === "image" ? image : video;
    if (start === tokens.length) throw bad(`${what} has no placeholder left`, { visual: i });
    if (tokens[start] !== wanted) throw bad(`token ${start} is a placeholder of the other kind than ${what}`, { visual: i, token: start });
    while (at < start + needed && tokens[at] === wanted) at++;
    if (at < start + needed) throw bad(`${what} needs ${needed} placeholders, ${at - start} are at token ${start}`, { visual: i });
    spans.push({ visual, start, end: at });
  }
  if (next() < tokens.length) throw bad(`token ${at} is a placeholder that belongs to no visual`, { token: at });
  return spans;
}

/**
 * Positions of a prompt. Text counts on, the same on all axes. A visual that starts at p has time p + t * step, rows from p and columns from p; step is
 * tokensPerSecond times the whole seconds of `secondsPerGrid` (fractions cut off; default 1) for a video, 1 for an image. After it text goes on at
 * p + max(rows, columns) of its merged grid, however far its time went. So does transformers 5.17; older releases of it kept fractions of seconds, and
 * went on after the last time where that was further.
 *
 * @throws {KedgeError} `BadData` where placeholders and visuals do not fit; {RangeError} for an impossible grid or time.
 *
 * @example
 * ```ts
 * import { promptPositions } from "./positions.ts";
 * import type { ModelConfig } from "../config/config.ts";
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
 * Which axis turns each frequency of half a head, and the frequencies: ropeTheta^(-2i / headDim). For {@linkcode RopeTable}.
 *
 * @example
 * ```ts
 * import { textRope } from "./positions.ts";
 * import type { TextConfig } from "../config/config.ts";
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

/** base^(-2i / dim), i < count. Su et al., arXiv 2104.09864. */
export function frequencies(dim: number, options: { base: number; count: number }): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: options.count }, (_, i) => options.base ** (-2 * i / dim));
}

function count(tokens: Int32Array, token: number): number {
  let found = 0;
  for (const each of tokens) if (each === token) found++;
  return found;
}
