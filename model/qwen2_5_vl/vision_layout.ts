import { type Grid, visualTokens } from "../prompt.ts";
import { type RasterLayout, rasterLayout } from "../vision/raster_layout.ts";
import type { WindowedVision } from "./config_file.ts";

/** The order in which the vision tower takes the patches of packed pictures, and which patches attend to one another. `rows` and `cols` are in window order. */
export interface VisionLayout extends RasterLayout {
  /** [merged tokens]: element i of the window order is merged token order[i] of the raster order (pictures, time, rows, columns). */
  readonly order: Int32Array<ArrayBuffer>;
  /** [merged tokens]: merged token i of the raster order is element inverse[i] of the window order. */
  readonly inverse: Int32Array<ArrayBuffer>;
  /** Patches of each attention window, one behind the other. */
  readonly windows: number[];
}

/**
 * Computes the window order of packed pictures: within each frame, windows row by row; within each window, merged tokens row by row; within each merged token,
 * its patches row by row. A window is floor(windowSize / (patchSize * mergeSize)) merged tokens a side, less at the lower and right edges. (Qwen2.5-VL technical
 * report, arXiv 2502.13923, section 2.1.1.)
 *
 * @throws {RangeError} for a grid that is empty or no multiple of the merge size, named by its index.
 *
 * @example
 * ```ts
 * import { visionLayout } from "./vision_layout.ts";
 * import type { WindowedVision } from "./config_file.ts";
 * import { assertEquals } from "@std/assert";
 *
 * // Windows of 2 x 2 merged tokens over a picture of 1 x 3.
 * const config = { patchSize: 14, mergeSize: 2, windowSize: 56 } as WindowedVision;
 * const layout = visionLayout([{ t: 1, h: 2, w: 6 }], config);
 * assertEquals(layout.windows, [8, 4]);
 * assertEquals(layout.frames, [12]);
 * assertEquals([...layout.cols], [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5]);
 * ```
 */
export function visionLayout(grids: readonly Grid[], config: WindowedVision): VisionLayout {
  const { mergeSize, patchSize, windowSize } = config;
  const side = Math.floor(windowSize / (patchSize * mergeSize));
  if (!(side >= 1)) throw new RangeError(`Cannot lay out windows of ${windowSize} pixels: a merged token has ${patchSize * mergeSize}`);
  const raster = rasterLayout(grids, mergeSize);
  const tokens = grids.reduce((sum, grid) => sum + visualTokens(grid, mergeSize), 0), unit = mergeSize ** 2;
  const order = new Int32Array(tokens), inverse = new Int32Array(tokens);
  const rows = new Int32Array(tokens * unit), cols = new Int32Array(tokens * unit), windows: number[] = [];
  let at = 0, frameStart = 0;
  const take = (token: number) => {
    order[at] = token;
    inverse[token] = at;
    rows.set(raster.rows.subarray(token * unit, (token + 1) * unit), at * unit);
    cols.set(raster.cols.subarray(token * unit, (token + 1) * unit), at * unit);
    at++;
  };
  for (const { t, h, w } of grids) {
    const [height, width] = [h / mergeSize, w / mergeSize];
    for (let frame = 0; frame < t; frame++) {
      for (let top = 0; top < height; top += side) {
        for (let left = 0; left < width; left += side) {
          const [bottom, right] = [Math.min(top + side, height), Math.min(left + side, width)];
          for (let row = top; row < bottom; row++) for (let col = left; col < right; col++) take(frameStart + row * width + col);
          windows.push((bottom - top) * (right - left) * unit);
        }
      }
      frameStart += height * width;
    }
  }
  return { order, inverse, windows, frames: raster.frames, rows, cols };
}
