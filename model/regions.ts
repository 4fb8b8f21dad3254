import type { ModelConfig } from "./config/config.ts";
import { familyOf } from "./families.ts";
import type { Prompt } from "./prompt.ts";

/** Options of {@linkcode regionMap}. */
export interface RegionOptions {
  /** First positions that count as sinks. Default 1. */
  sinkTokens?: number;
  /** Regions of the profile, at most. Default 64. */
  profileRegions?: number;
  /** Visual tokens (counted over the prompt's visual tokens from 0) that are sinks too: of {@linkcode visualSinks}. */
  visualSinks?: Iterable<number>;
}

/** A box of merged tokens that belongs to a region. */
export interface RegionBox {
  /** The region. */
  readonly region: number;
  /** Index of the visual in the prompt. */
  readonly visual: number;
  /** Time steps [first, end). */
  readonly frames: readonly [number, number];
  /** Rows of merged tokens [first, end). */
  readonly rows: readonly [number, number];
  /** Columns of merged tokens [first, end). */
  readonly cols: readonly [number, number];
}

/** The region that each token of a prompt belongs to. */
export interface RegionMap {
  /** Regions; 0 for a prompt without visuals. */
  readonly regions: number;
  /** For each prompt token: the region of a visual token (0 or more), -1 for another token, -2 for a sink. */
  readonly region: Int32Array<ArrayBuffer>;
  /** The boxes of the regions, for drawing. Each region has one, except where a prompt has more visuals than regions. */
  readonly boxes: readonly RegionBox[];
}

/**
 * Cuts the visuals of a prompt into regions. A region is a square of f x f merged tokens, with the smallest integer f that gives at most `profileRegions`
 * regions over all images and frames. If one region for each frame is still too many, j consecutive frames of a visual share one, with the smallest integer j
 * that suffices. If one region for each visual is too many, consecutive visuals share one, as few as suffice.
 *
 * @throws {RangeError} for options out of range; {KedgeError} `BadData` if placeholders and visuals do not fit.
 *
 * @example
 * ```ts
 * import { type ModelConfig, regionMap } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const config = { modelType: "qwen2_5_vl", tokens: { image: 90, video: 91 }, vision: { mergeSize: 2 } } as ModelConfig;
 * const visual = { kind: "image" as const, grid: { t: 1, h: 4, w: 6 }, pixels: { patches: new Float32Array() } };
 * const prompt = { tokens: Int32Array.of(1, 90, 90, 90, 90, 90, 90, 2), visuals: [visual] };
 * assertEquals([...regionMap(prompt, config, { profileRegions: 3 }).region], [-2, 0, 0, 1, 0, 0, 1, -1]);
 * ```
 */
export function regionMap(prompt: Prompt, config: ModelConfig, options: RegionOptions = {}): RegionMap {
  const { sinkTokens = 1, profileRegions = 64 } = options;
  if (!Number.isSafeInteger(profileRegions) || profileRegions < 1) {
    throw new RangeError(`Cannot make ${profileRegions} regions: it takes an integer of 1 or more`);
  }
  if (!Number.isSafeInteger(sinkTokens) || sinkTokens < 0) {
    throw new RangeError(`Cannot take ${sinkTokens} tokens as sinks: it takes 0 or more`);
  }
  const spans = familyOf(config).visualSpans(prompt, config), { mergeSize } = config.vision;
  const sizes = prompt.visuals.map(({ grid: { t, h, w } }) => ({ frames: t, height: h / mergeSize, width: w / mergeSize }));
  const { regions, boxes, regionOf } = cutVisuals(sizes, profileRegions);
  const region = new Int32Array(prompt.tokens.length).fill(-1);
  const visualRows: number[] = [];
  for (const { index, frame, start, end } of spans) {
    const { height, width } = sizes[index]!, size = height * width;
    for (let token = start; token < end; token++) {
      const i = token - start, inFrame = i % size;
      region[token] = regionOf(index, { frame: frame + Math.floor(i / size), row: Math.floor(inFrame / width), col: inFrame % width });
      visualRows.push(token);
    }
  }
  region.fill(-2, 0, Math.min(sinkTokens, region.length));
  for (const sink of options.visualSinks ?? []) {
    const token = visualRows[sink];
    if (token === undefined) throw new RangeError(`Cannot take visual token ${sink} as a sink: the prompt has ${visualRows.length}`);
    region[token] = -2;
  }
  return { regions, region, boxes };
}

interface Size {
  frames: number;
  height: number;
  width: number;
}

/** The regions of visuals of these sizes: their boxes, and the region of each merged token. */
function cutVisuals(sizes: readonly Size[], limit: number) {
  const { side, joined, shared } = coarseness(sizes, limit);
  const boxes: RegionBox[] = [], firsts: number[] = [];
  let regions = 0;
  for (const [visual, { frames, height, width }] of sizes.entries()) {
    const [down, across] = [Math.ceil(height / side), Math.ceil(width / side)];
    const first = shared > 1 ? Math.floor(visual / shared) : regions;
    firsts.push(first);
    for (let frame = 0; frame < frames; frame += joined) {
      for (let i = 0; i < down * across; i++) {
        const [row, col] = [Math.floor(i / across) * side, i % across * side];
        boxes.push({
          region: shared > 1 ? first : regions++,
          visual,
          frames: [frame, Math.min(frames, frame + joined)],
          rows: [row, Math.min(height, row + side)],
          cols: [col, Math.min(width, col + side)],
        });
      }
    }
    if (shared > 1) regions = first + 1;
  }
  const regionOf = (visual: number, { frame, row, col }: { frame: number; row: number; col: number }) => {
    if (shared > 1) return firsts[visual]!;
    const { height, width } = sizes[visual]!, [down, across] = [Math.ceil(height / side), Math.ceil(width / side)];
    return firsts[visual]! + Math.floor(frame / joined) * down * across + Math.floor(row / side) * across + Math.floor(col / side);
  };
  return { regions, boxes, regionOf };
}

/** How coarse the regions must be: merged tokens a side, frames in one, visuals in one. */
function coarseness(sizes: readonly Size[], limit: number): { side: number; joined: number; shared: number } {
  const sum = (count: (size: Size) => number) => sizes.reduce((total, size) => total + count(size), 0);
  const longest = sizes.reduce((most, { height, width }) => Math.max(most, height, width), 1);
  for (let side = 1; side <= longest; side++) {
    if (sum(({ frames, height, width }) => frames * Math.ceil(height / side) * Math.ceil(width / side)) <= limit) {
      return { side, joined: 1, shared: 1 };
    }
  }
  const frames = sizes.reduce((most, size) => Math.max(most, size.frames), 1);
  for (let joined = 2; joined <= frames; joined++) {
    if (sum((size) => Math.ceil(size.frames / joined)) <= limit) return { side: longest, joined, shared: 1 };
  }
  return { side: longest, joined: frames, shared: Math.ceil(sizes.length / limit) };
}

/** Attention of the rows after a prompt's last visual token, from which visual sinks are found. */
export interface SinkEvidence {
  /** [rows, visual tokens]: attention probabilities, averaged over all layers and heads. */
  readonly attention: ArrayLike<number>;
  /** Number of rows. */
  readonly rows: number;
  /** Visual tokens of the prompt. */
  readonly tokens: number;
  /** 0: no visual sinks. */
  readonly factor: number;
}

/** The fewest rows and visual tokens from which sinks can be found. */
export const SINK_LIMITS = { rows: 8, tokens: 64 } as const;

/**
 * Finds visual tokens that every row attends to. A token is one if the 10th percentile of its attention over the rows (linear between order statistics)
 * exceeds `factor` times the median of these percentiles. With a mean instead of a percentile, a token that one row attends to strongly would be a sink.
 *
 * @returns Their indices among the visual tokens, in rising order. There are none below 8 rows or 64 tokens, or with factor 0.
 *
 * @example
 * ```ts
 * import { visualSinks } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const attention = new Float64Array(8 * 64).fill(0.001).map((x, i) => i % 64 === 5 ? 0.1 : x);
 * assertEquals([...visualSinks({ attention, rows: 8, tokens: 64, factor: 10 })], [5]);
 * ```
 */
export function visualSinks(evidence: SinkEvidence): Int32Array<ArrayBuffer> {
  const { attention, rows, tokens, factor } = evidence;
  if (attention.length !== rows * tokens) {
    throw new RangeError(`Cannot find visual sinks: ${attention.length} numbers for ${rows} rows of ${tokens} visual tokens`);
  }
  if (!(factor >= 0)) throw new RangeError(`Cannot find visual sinks: the factor is ${factor}, it takes 0 or more`);
  if (factor === 0 || rows < SINK_LIMITS.rows || tokens < SINK_LIMITS.tokens) return new Int32Array();
  const column = new Float64Array(rows);
  const low = Float64Array.from({ length: tokens }, (_, token) => {
    for (let row = 0; row < rows; row++) column[row] = attention[row * tokens + token]!;
    return quantile(column.sort(), 0.1);
  });
  const threshold = factor * quantile(low.toSorted(), 0.5);
  return Int32Array.from([...low.keys()].filter((token) => low[token]! > threshold));
}

/** The quantile of sorted numbers, linear between two of them. */
function quantile(sorted: Float64Array, p: number): number {
  const at = p * (sorted.length - 1), below = Math.floor(at);
  return sorted[below]! + (at - below) * ((sorted[below + 1] ?? sorted[below]!) - sorted[below]!);
}

/**
 * The layers whose attention counts.
 *
 * @param layers "all"; "last-half": from floor(count / 2) on; or their indices.
 * @param count Layers of the model.
 * @returns By layer.
 * @throws {RangeError} for an index that is no layer, or none at all.
 *
 * @example
 * ```ts
 * import { chosenLayers } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(chosenLayers("last-half", 4), [false, false, true, true]);
 * ```
 */
export function chosenLayers(layers: "all" | "last-half" | readonly number[], count: number): boolean[] {
  const every = Array.from({ length: count }, (_, i) => i);
  if (layers === "all") return every.map(() => true);
  if (layers === "last-half") return every.map((i) => i >= Math.floor(count / 2));
  const strange = layers.find((layer) => !every.includes(layer));
  if (strange !== undefined || layers.length === 0) {
    throw new RangeError(
      `Cannot choose layers [${layers.join(", ")}]: the model has layers 0 to ${count - 1}, and one at least must be chosen`,
    );
  }
  return every.map((i) => layers.includes(i));
}

/** A choice of attention heads, by layer and query head. */
export interface HeadChoice {
  /** See {@linkcode chosenLayers}. Default "all". */
  layers?: "all" | "last-half" | readonly number[] | undefined;
  /** Query heads of these layers that count. Default "all". */
  heads?: "all" | readonly (readonly [layer: number, head: number])[] | undefined;
}

/** Query heads of a layer that do not count, as the kernels take them (kedge.h, skip_low and skip_high): bit h of the two words stands for head h. */
export type SkippedHeads = readonly [low: number, high: number];

/** All heads count. */
export const NO_HEADS_SKIPPED: SkippedHeads = [0, 0];

/**
 * The query heads that do not count, by layer.
 *
 * @param choice A head counts if it is in `heads` and its layer is in `layers`.
 * @param sizes The layers of the model and the query heads of a layer.
 * @returns By layer; undefined for a layer of which no head counts.
 * @throws {RangeError} for a layer or head that the model lacks, for a list of more than 64 heads a layer, or where no head counts.
 *
 * @example
 * ```ts
 * import { skippedHeads } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(skippedHeads({ heads: [[1, 0], [1, 2]] }, { layers: 2, heads: 4 }), [undefined, [0b1010, 0]]);
 * assertEquals(skippedHeads({ layers: "last-half" }, { layers: 2, heads: 4 }), [undefined, [0, 0]]);
 * ```
 */
export function skippedHeads(
  { layers = "all", heads = "all" }: HeadChoice,
  sizes: { layers: number; heads: number },
): (SkippedHeads | undefined)[] {
  const chosen = chosenLayers(layers, sizes.layers);
  if (heads === "all") return chosen.map((counts) => counts ? NO_HEADS_SKIPPED : undefined);
  const refuse = (why: string): never => {
    throw new RangeError(`Cannot choose heads [${heads.map((head) => `[${head.join(", ")}]`).join(", ")}]: ${why}`);
  };
  if (sizes.heads > 64) refuse(`the model has ${sizes.heads} heads a layer, and heads can be chosen among 64 at most`);
  const index = (x: number | undefined, count: number) => Number.isInteger(x) && x! >= 0 && x! < count;
  const strange = heads.find((head) => head.length !== 2 || !index(head[0], sizes.layers) || !index(head[1], sizes.heads));
  if (strange) refuse(`a head is [layer, head], with layers 0 to ${sizes.layers - 1} and heads 0 to ${sizes.heads - 1}`);
  const counting = chosen.map(() => new Set<number>());
  for (const [layer, head] of heads) if (chosen[layer]) counting[layer]!.add(head);
  if (counting.every(({ size }) => size === 0)) refuse("no head would count; one at least must be chosen, of a layer that counts");
  return counting.map((kept) => {
    if (kept.size === 0) return undefined;
    const words = [0, 0] as [number, number];
    for (let head = 0; head < sizes.heads; head++) if (!kept.has(head)) words[head >> 5]! += 2 ** (head & 31);
    return words;
  });
}
