import { KedgeError } from "../../ffi/errors.ts";
import { roundHalfEven } from "./smart_resize.ts";

/** Number and size of the frames that the model sees. Defaults: those of transformers' Qwen2VLVideoProcessor (5.17), with Qwen's 2 frames per second. */
export interface VideoSettings {
  /** Fewest pixels of a resized frame. Default 128 * 28 * 28. */
  readonly minPixels: number;
  /** The maximum number of pixels of a resized frame. Default 768 * 28 * 28. */
  readonly maxPixels: number;
  /** Frames sampled per second. Default 2. */
  readonly fps: number;
  /** Frames sampled from the whole video, instead of `fps`. Default undefined. */
  readonly numFrames: number | undefined;
  /** The fewest frames that `fps` may give, if the video has as many. Default 4. */
  readonly minFrames: number;
  /** The maximum number of frames that `fps` may give. Default 768. */
  readonly maxFrames: number;
  /** Whether all frames together are bounded too: a frame then has at most its share of 0.9 * `maxVideoTokens` merged patches. Default false. */
  readonly capPixelsPerFrame: boolean;
  /** The bound of `capPixelsPerFrame`. Default 128000. */
  readonly maxVideoTokens: number;
}

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

/** A video before sampling. */
export interface VideoLength {
  /** Number of frames. */
  readonly total: number;
  /** Frames per second. */
  readonly fps: number;
}

/** Options of {@linkcode sampleFrames}. */
interface SampleOptions extends Pick<VideoSettings, "fps" | "numFrames" | "minFrames" | "maxFrames"> {
  /** The number of frames becomes a multiple of it. */
  readonly temporalPatchSize: number;
  /** The video's name in errors. Default "the video". */
  readonly name?: string;
}

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
 * import { sampleFrames, VIDEO_DEFAULTS } from "./video_sampling.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const indices = sampleFrames({ total: 75, fps: 25 }, { ...VIDEO_DEFAULTS, temporalPatchSize: 2 });
 * assertEquals(indices, [0, 12, 25, 37, 50, 62]); // 3 seconds, 2 frames of each
 * ```
 */
export function sampleFrames({ total, fps }: VideoLength, options: SampleOptions): number[] {
  const { temporalPatchSize: group, name = "the video", numFrames, minFrames, maxFrames } = options;
  for (const [key, value] of Object.entries({ total, group, minFrames, maxFrames, numFrames: numFrames ?? 1 })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`Cannot sample ${name}: ${key} ${value} is not a positive integer`);
  }
  for (const [key, value] of Object.entries({ "its fps": fps, fps: options.fps })) {
    if (!(value > 0 && value < Infinity)) throw new RangeError(`Cannot sample ${name}: ${key} ${value} is not a positive number`);
  }
  if (total < group) return Array.from({ length: total }, (_, k) => k);
  const n = numFrames === undefined ? framesOf({ total, fps }, options) : Math.max(group, roundHalfEven(numFrames / group) * group);
  if (n > total) {
    const message = `Cannot sample ${name}: ${n} frames are asked for (numFrames), and it has ${total}. Lower numFrames, or leave it out.`;
    throw new KedgeError("BadData", message, { name, asked: n, total });
  }
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
