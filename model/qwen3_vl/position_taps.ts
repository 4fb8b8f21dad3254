import type { Grid } from "../prompt.ts";
import type { RasterLayout } from "../vision/raster_layout.ts";

/** Which learned position embeddings a patch is a mix of, with their weights; four for each patch. */
export interface PositionTaps {
  /** [patches, 4]: rows of the table. */
  readonly index: Int32Array<ArrayBuffer>;
  /** [patches, 4] */
  readonly weight: Float32Array<ArrayBuffer>;
}

/**
 * Stretches a square of position embeddings over the frames of each picture, corner on corner, and interpolates between the four that surround a patch.
 *
 * @param layout Of the pictures with these grids.
 * @param side Rows and columns of the square.
 *
 * @example
 * ```ts
 * import { positionTaps } from "./position_taps.ts";
 * import { rasterLayout } from "../vision/raster_layout.ts";
 * import { assertEquals } from "@std/assert";
 *
 * // Three patches across a square of 2 x 2: the middle one is halfway between two embeddings.
 * const grids = [{ t: 1, h: 1, w: 3 }];
 * const { index, weight } = positionTaps(rasterLayout(grids, 1), grids, 2);
 * assertEquals([...index.slice(4, 8)], [0, 1, 2, 3]);
 * assertEquals([...weight.slice(4, 8)], [0.5, 0.5, 0, 0]);
 * ```
 */
export function positionTaps({ rows, cols }: Pick<RasterLayout, "rows" | "cols">, grids: readonly Grid[], side: number): PositionTaps {
  const index = new Int32Array(4 * rows.length), weight = new Float32Array(4 * rows.length);
  let patch = 0;
  for (const { t, h, w } of grids) {
    for (const end = patch + t * h * w; patch < end; patch++) {
      const [row, col] = [place(rows[patch]!, h, side), place(cols[patch]!, w, side)];
      for (const [i, y] of row.entries()) {
        for (const [j, x] of col.entries()) {
          index[4 * patch + 2 * i + j] = y.at * side + x.at;
          weight[4 * patch + 2 * i + j] = y.weight * x.weight;
        }
      }
    }
  }
  return { index, weight };
}

/** The two places of an axis between which element i of `size` lies, in f32 as the public implementation computes. */
function place(i: number, size: number, side: number): [{ at: number; weight: number }, { at: number; weight: number }] {
  const source = Math.fround(i * (side - 1) / Math.max(1, size - 1)), at = Math.floor(source), rest = Math.fround(source - at);
  return [{ at, weight: Math.fround(1 - rest) }, { at: Math.min(at + 1, side - 1), weight: rest }];
}
