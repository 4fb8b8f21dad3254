import type { PixelBounds } from "./messages.ts";
import type { VideoRule, VideoSettings } from "./video_sampling.ts";

/** Three numbers: for red, green, blue. */
export type Colours = readonly [number, number, number];

/** Options of `ImageProcessor`; defaults: those of transformers' Qwen2VLImageProcessor (5.17). */
export interface ImageProcessorOptions extends PixelBounds {
  /** Fewest pixels of a resized picture. Default 56 * 56. */
  readonly minPixels?: number;
  /** The maximum number of pixels of a resized picture. Default 28 * 28 * 1280. */
  readonly maxPixels?: number;
  /** Subtracted from colours in [0, 1]. Default: CLIP's. */
  readonly mean?: Colours;
  /** Divides them after that. Default: CLIP's. */
  readonly std?: Colours;
  /** Pixels of a patch's side. Default 14. */
  readonly patchSize?: number;
  /** Patches of a merged token's side. Default 2. */
  readonly mergeSize?: number;
  /** Frames of a patch. Default 2. */
  readonly temporalPatchSize?: number;
  /** Settings for videos. */
  readonly video?: Partial<VideoSettings>;
  /** How frames of videos are sampled and sized. Default: as for Qwen2-VL. */
  readonly videoRule?: VideoRule;
  /** Threads that resize. Default: the cores that this process may use. Results do not depend on it. */
  readonly threads?: number;
}
