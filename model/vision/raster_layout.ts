import { checkGrid, type Grid } from "../prompt.ts";

/** The places of the patches of packed pictures. */
export interface RasterLayout {
  /** Patches of each frame (one time step of one picture), one behind the other. */
  readonly frames: number[];
  /** [patches]: the row of each patch in its frame. */
  readonly rows: Int32Array<ArrayBuffer>;
  /** [patches]: the column. */
  readonly cols: Int32Array<ArrayBuffer>;
}

/**
 * Computes where the patches of packed pictures stand: pictures, then time steps, then merged tokens row by row, and within each of these its patches row by
 * row.
 *
 * @throws {RangeError} for a grid that is empty or no multiple of the merge size, named by its index.
 *
 * @example
 * ```ts
 * import { rasterLayout } from "./raster_layout.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const { frames, rows, cols } = rasterLayout([{ t: 1, h: 2, w: 4 }], 2);
 * assertEquals([frames, [...rows], [...cols]], [[8], [0, 0, 1, 1, 0, 0, 1, 1], [0, 1, 0, 1, 2, 3, 2, 3]]);
 * ```
 */
export function rasterLayout(grids: readonly Grid[], mergeSize: number): RasterLayout {
  for (const [i, grid] of grids.entries()) checkGrid(grid, { mergeSize, what: `picture ${i}` });
  const patches = grids.reduce((sum, { t, h, w }) => sum + t * h * w, 0);
  const rows = new Int32Array(patches), cols = new Int32Array(patches), frames: number[] = [];
  let at = 0;
  for (const { t, h, w } of grids) {
    for (let frame = 0; frame < t; frame++) {
      for (let top = 0; top < h; top += mergeSize) {
        for (let left = 0; left < w; left += mergeSize) {
          for (let patch = 0; patch < mergeSize ** 2; patch++) {
            rows[at] = top + Math.floor(patch / mergeSize);
            cols[at++] = left + patch % mergeSize;
          }
        }
      }
      frames.push(h * w);
    }
  }
  return { frames, rows, cols };
}
