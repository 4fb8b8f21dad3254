/**
 * Videos as Qwen2-VL and Qwen2.5-VL see them.
 *
 * @module
 */
import { roundHalfEven, smartResize } from "./smart_resize.ts";
import {
  checkAsked,
  checkSampling,
  type FrameSizeOptions,
  type SampleOptions,
  type VideoLength,
  type VideoRule,
  type VideoSettings,
} from "./video_sampling.ts";

/** The defaults. */
export const VIDEO_DEFAULTS: VideoSettings = {
  minPixels: 128 * 28 * 28,
  maxPixels: 768 * 28 * 28,
  fps: 2,
  numFrames: undefined,
  minFrames: 4,
  maxFrames: 768,
  capPixelsPerFrame: false,
  maxVideoTokens: 128_000,
};

/**
 * Chooses the frames that the model sees, by the rule of transformers' Qwen2VLVideoProcessor.sample_frames: n frames, n a multiple of the temporal patch size. The
 * k-th is frame floor(k total / n). n is `numFrames` rounded, or what `fps` gives, between `minFrames` and `maxFrames`, at most all, rounded down. A video
 * with fewer frames than the temporal patch size is taken whole.
 *
 * (The public code computes k (total / n). In one case of twenty-five that gives one index past the end, and fails. Its other results are equal.)
 *
 * @throws {RangeError} For settings or lengths that are not positive.
 * @throws {KedgeError} `BadData` if `numFrames` is more than the video has.
 *
 * @example
 * ```ts
 * import { sampleFrames, VIDEO_DEFAULTS } from "./qwen2_videos.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const indices = sampleFrames({ total: 75, fps: 25 }, { ...VIDEO_DEFAULTS, temporalPatchSize: 2 });
 * assertEquals(indices, [0, 12, 25, 37, 50, 62]); // 3 seconds, 2 frames of each
 * ```
 */
export function sampleFrames({ total, fps }: VideoLength, options: SampleOptions): number[] {
  const { temporalPatchSize: group, numFrames } = options;
  checkSampling({ total, fps }, options);
  if (total < group) return Array.from({ length: total }, (_, k) => k);
  const n = numFrames === undefined ? framesOf({ total, fps }, options) : Math.max(group, roundHalfEven(numFrames / group) * group);
  checkAsked(n, { total, fps }, options.name);
  return Array.from({ length: n }, (_, k) => Math.floor(k * total / n));
}

function framesOf({ total, fps }: VideoLength, options: SampleOptions): number {
  const { temporalPatchSize: group, minFrames, maxFrames } = options;
  const most = Math.floor(Math.min(maxFrames, total) / group) * group;
  const wanted = Math.min(Math.max(total / fps * options.fps, minFrames), most, total);
  return Math.max(group, Math.floor(wanted / group) * group);
}

/** The most pixels of a frame, for a video of `frames` sampled frames. `factor`: patch size times merge size. */
export function mostFramePixels(settings: VideoSettings, { frames, factor, temporalPatchSize }: {
  frames: number;
  factor: number;
  temporalPatchSize: number;
}): number {
  const { minPixels, maxPixels, capPixelsPerFrame, maxVideoTokens } = settings;
  if (!capPixelsPerFrame) return maxPixels;
  const share = Math.floor(Math.trunc(maxVideoTokens * factor * factor * 0.9) * temporalPatchSize / frames);
  return Math.max(Math.min(maxPixels, share), Math.trunc(minPixels * 1.05));
}

/** The bounds of a frame, of which a bound of all frames together is one too. */
function frameBounds(options: FrameSizeOptions): { minPixels: number; maxPixels: number } {
  const { settings, count } = options, { minVideoPixels = 0, maxVideoPixels = Infinity } = settings;
  const maxPixels = Math.min(mostFramePixels(settings, { ...options, frames: count }), maxVideoPixels / count);
  return { minPixels: Math.max(settings.minPixels, Math.min(maxPixels, minVideoPixels / count)), maxPixels };
}

/** The rule of transformers' Qwen2VLVideoProcessor. */
export const qwen2Videos: VideoRule = {
  defaults: VIDEO_DEFAULTS,
  boundsOf: "frame",
  choose(length, options) {
    const indices = sampleFrames(length, options), ratio = `${indices.length}/${length.total}`;
    return { indices, select: `eq(n,floor(ceil(n*${ratio})*${length.total}/${indices.length}))` };
  },
  frameSize: ({ height, width }, options) =>
    smartResize(height, width, { ...frameBounds(options), factor: options.factor, name: options.name }),
};
