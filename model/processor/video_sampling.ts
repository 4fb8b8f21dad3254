/**
 * What is common to the ways in which families sample and size the frames of a video.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";

/** Number and size of the frames that the model sees. The defaults are those of the family, as in transformers (5.17), with Qwen's 2 frames per second. */
export interface VideoSettings {
  /** Fewest pixels of a resized frame. Default 128 * 28 * 28; Qwen3-VL: 1. */
  readonly minPixels: number;
  /** The maximum number of pixels of a resized frame. Default 768 * 28 * 28; Qwen3-VL: no bound. */
  readonly maxPixels: number;
  /** Fewest pixels of all resized frames together. Default: no bound; Qwen3-VL: 128 * 32 * 32. */
  readonly minVideoPixels?: number | undefined;
  /** The maximum number of pixels of all resized frames together. Default: no bound; Qwen3-VL: 768 * 32 * 32. */
  readonly maxVideoPixels?: number | undefined;
  /** Frames sampled per second. Default 2. */
  readonly fps: number;
  /** Frames sampled from the whole video, instead of `fps`. Default undefined. */
  readonly numFrames: number | undefined;
  /** The fewest frames that `fps` may give, if the video has as many. Default 4. */
  readonly minFrames: number;
  /** The maximum number of frames that `fps` may give. Default 768. */
  readonly maxFrames: number;
  /**
   * Whether a frame has at most a share of a budget, which `maxVideoTokens` gives: 0.9 times so many merged patches for all frames together; Qwen3-VL: so many
   * merged patches for each, and its share of `maxVideoPixels`. Default false.
   */
  readonly capPixelsPerFrame: boolean;
  /** The budget of `capPixelsPerFrame`. Default 128000; Qwen3-VL: 768. */
  readonly maxVideoTokens: number;
}

/** A video before sampling. */
export interface VideoLength {
  /** Number of frames. */
  readonly total: number;
  /** Frames per second. */
  readonly fps: number;
}

/** How frames are sampled. */
export interface SampleOptions extends Pick<VideoSettings, "fps" | "numFrames" | "minFrames" | "maxFrames"> {
  /** Frames of a patch. */
  readonly temporalPatchSize: number;
  /** The video's name in errors. Default "the video". */
  readonly name?: string;
}

/** The frames of a video that the model sees. */
export interface FrameChoice {
  /** Their numbers, from 0, ascending. */
  readonly indices: readonly number[];
  /** An expression of ffmpeg that is not 0 for the number `n` of each of these frames, and 0 for the others. A list of all would be too long for its parser. */
  readonly select: string;
}

/** What the size of a video's frames depends on. */
export interface FrameSizeOptions {
  /** How many frames there are. */
  readonly count: number;
  /** Bounds and caps. */
  readonly settings: VideoSettings;
  /** Both sides become a multiple of this: patch size times merge size. */
  readonly factor: number;
  /** Frames of a patch. */
  readonly temporalPatchSize: number;
  /** The video's name in errors. */
  readonly name: string;
}

/** How a family samples the frames of a video, and to which size it resizes them. */
export interface VideoRule {
  /** The settings that neither a folder nor a caller gives. */
  readonly defaults: VideoSettings;
  /** What the pixel bounds in a folder's files are of: each frame, or all frames together. */
  readonly boundsOf: "frame" | "video";
  /** The frames to take. @throws The errors of {@linkcode checkSampling}. */
  choose(length: VideoLength, options: SampleOptions): FrameChoice;
  /** The size of a resized frame. @throws {KedgeError} `BadData` if one side is more than 200 times the other. */
  frameSize(frame: { height: number; width: number }, options: FrameSizeOptions): { height: number; width: number };
}

/** All frames of a video. */
export const allFrames = ({ total }: VideoLength): FrameChoice => ({
  indices: Array.from({ length: total }, (_, k) => k),
  select: "1",
});

/** @throws {RangeError} for settings or lengths that are not positive. */
export function checkSampling({ total, fps }: VideoLength, options: SampleOptions): void {
  const { temporalPatchSize: group, name = "the video", numFrames, minFrames, maxFrames } = options;
  for (const [key, value] of Object.entries({ total, group, minFrames, maxFrames, numFrames: numFrames ?? 1 })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`Cannot sample ${name}: ${key} ${value} is not a positive integer`);
  }
  for (const [key, value] of Object.entries({ "its fps": fps, fps: options.fps })) {
    if (!(value > 0 && value < Infinity)) throw new RangeError(`Cannot sample ${name}: ${key} ${value} is not a positive number`);
  }
}

/** @throws {KedgeError} `BadData` if more frames are asked for than the video has. */
export function checkAsked(asked: number, { total }: VideoLength, name = "the video"): void {
  if (asked <= total) return;
  const message =
    `Cannot sample ${name}: ${asked} frames are asked for (numFrames), and it has ${total}. Lower numFrames, or leave it out.`;
  throw new KedgeError("BadData", message, { name, asked, total });
}
