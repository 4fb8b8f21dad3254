/** Patches along time, height and width, before merging. */
export interface Grid {
  /** Groups of `temporalPatchSize` frames. */
  readonly t: number;
  /** Rows of patches, a multiple of the merge size. */
  readonly h: number;
  /** Columns of patches, a multiple of the merge size. */
  readonly w: number;
}

/** The pixels of a picture: resized frames, which the vision tower's device cuts into patches, or patches already. */
export type Pixels =
  | {
    /** u8 [count, h * patchSize, w * patchSize, 3], RGB. */
    readonly frames: Uint8Array<ArrayBuffer>;
    /** Frames; an image is one. */
    readonly count: number;
    /** Subtracted from each colour, which is in [0, 1]. */
    readonly mean: readonly [number, number, number];
    /** Divides each colour after that. */
    readonly std: readonly [number, number, number];
  }
  | {
    /** f32 [t * h * w, channels * temporalPatchSize * patchSize^2], in the order of kedge_image_patches. */
    readonly patches: Float32Array<ArrayBuffer>;
  };

/** An image or a video as the model takes it. */
export interface Visual {
  /** A picture, or frames of one after the other. */
  readonly kind: "image" | "video";
  /** Its grid of patches. */
  readonly grid: Grid;
  /** Its pixels. */
  readonly pixels: Pixels;
  /** Seconds between two time steps of a video's grid. */
  readonly secondsPerGrid?: number;
  /** The second of each time step of a video's grid, in the middle between its first and its last frame. Its prompt may name it. */
  readonly seconds?: readonly number[];
}

/** The input of the model: tokens and visuals. */
export interface Prompt {
  /** Token ids; every merged patch of a visual has one placeholder. */
  readonly tokens: Int32Array<ArrayBuffer>;
  /** The visuals, in the order of their placeholders. */
  readonly visuals: readonly Visual[];
}

/**
 * Merged tokens of a visual: its placeholders.
 *
 * @example
 * ```ts
 * import { visualTokens } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(visualTokens({ t: 1, h: 4, w: 6 }, 2), 6);
 * ```
 */
export function visualTokens(grid: Grid, mergeSize: number): number {
  return grid.t * grid.h * grid.w / mergeSize ** 2;
}

/** Checks that a grid holds whole merged tokens, one at least. @throws {RangeError} that names `what`. */
export function checkGrid({ t, h, w }: Grid, options: { mergeSize: number; what: string }): void {
  const { mergeSize, what } = options;
  const good = (size: number, multiple: number) => Number.isSafeInteger(size) && size > 0 && size % multiple === 0;
  if (good(t, 1) && good(h, mergeSize) && good(w, mergeSize)) return;
  throw new RangeError(
    `Cannot use the grid ${t} x ${h} x ${w} of ${what}: it needs a positive time, and rows and columns that are multiples of ${mergeSize}`,
  );
}
