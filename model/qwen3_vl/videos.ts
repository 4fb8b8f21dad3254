/**
 * Videos as Qwen3-VL sees them.
 *
 * @module
 */
import { checkAspect, fitted, roundHalfEven } from "../processor/smart_resize.ts";
import {
  checkAsked,
  checkSampling,
  type FrameChoice,
  type FrameSizeOptions,
  type SampleOptions,
  type VideoLength,
  type VideoRule,
  type VideoSettings,
} from "../processor/video_sampling.ts";

const DEFAULTS: VideoSettings = {
  minPixels: 1,
  maxPixels: 2 ** 26, // no file has more
  minVideoPixels: 128 * 32 * 32,
  maxVideoPixels: 768 * 32 * 32,
  fps: 2,
  numFrames: undefined,
  minFrames: 4,
  maxFrames: 768,
  capPixelsPerFrame: false,
  maxVideoTokens: 768,
};

/**
 * Chooses frames as transformers' Qwen3VLVideoProcessor.sample_frames does: n frames from the first to the last, as far apart as possible, rounded to whole
 * frames. n is `numFrames`, or what `fps` gives, between `minFrames` and `maxFrames`, at most all. It need not be a multiple of the temporal patch size.
 */
function choose(length: VideoLength, options: SampleOptions): FrameChoice {
  checkSampling(length, options);
  const { total, fps } = length, { numFrames, minFrames, maxFrames } = options;
  const n = numFrames ?? Math.min(Math.max(Math.trunc(total / fps * options.fps), minFrames), maxFrames, total);
  checkAsked(n, length, options.name);
  if (n === 1) return { indices: [0], select: "eq(n,0)" };
  const step = (total - 1) / (n - 1);
  // Frame n is the nearest to k steps for the one k that is possible; in the middle between two, the even one is taken.
  const away = `abs(round(n*${n - 1}/${total - 1})*(${total - 1}/${n - 1})-n)`;
  return {
    indices: Array.from({ length: n }, (_, k) => k === n - 1 ? total - 1 : roundHalfEven(k * step)),
    select: `lt(${away},0.5)+eq(${away},0.5)*not(mod(n,2))`,
  };
}

/** The bounds of all frames together, of which a bound of one frame is one too. */
function videoBounds({ settings, count, factor }: FrameSizeOptions): { minPixels: number; maxPixels: number } {
  const { minVideoPixels = 1, maxVideoPixels = Infinity, capPixelsPerFrame, maxVideoTokens } = settings;
  let most = maxVideoPixels;
  if (capPixelsPerFrame) {
    const share = Math.min(maxVideoTokens * factor * factor, Math.floor(maxVideoPixels / count));
    most = Math.max(share, Math.trunc(minVideoPixels * 1.05)) * count;
  }
  const maxPixels = Math.min(most, settings.maxPixels * count);
  return { minPixels: Math.min(maxPixels, Math.max(minVideoPixels, settings.minPixels * count)), maxPixels }; // the bound from above counts
}

/**
 * The size by transformers' smart_resize of Qwen3-VL: pixels are those of all frames together. The frames whose rounded size is compared with the bounds are a
 * multiple of the temporal patch size, rounded to the nearest. A frame with a side below the factor is enlarged first. (The public code refuses a video
 * with fewer frames than a patch; here it counts as one patch.)
 */
function frameSize(frame: { height: number; width: number }, options: FrameSizeOptions): { height: number; width: number } {
  const { factor, temporalPatchSize: group, name } = options;
  const enlarge = Math.max(1, factor / frame.height, factor / frame.width);
  const size = { height: Math.trunc(frame.height * enlarge), width: Math.trunc(frame.width * enlarge) };
  checkAspect(size, name);
  const all = Math.max(group, options.count), counted = roundHalfEven(all / group) * group;
  return fitted(size, { ...videoBounds(options), factor }, { counted, all });
}

/** The rule of transformers' Qwen3VLVideoProcessor. */
export const qwen3Videos: VideoRule = { defaults: DEFAULTS, boundsOf: "video", choose, frameSize };
