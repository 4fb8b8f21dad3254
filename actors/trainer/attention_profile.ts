/**
 * Attention profiles for people: regions as shares of a picture, and profiles as bytes.
 *
 * @module
 */
import type { RegionBox } from "../../model/regions.ts";

/** A rectangle of a picture. Each number is a share of the picture's width or height, in [0, 1]. */
export interface ShownRegion {
  /** The number of the picture or video in the prompt. */
  readonly visual: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Returns the rectangles of boxes, in their order.
 *
 * @example
 * ```ts
 * import { shownRegions } from "./attention_profile.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const box = { visual: 0, frames: [0, 1], rows: [0, 2] } as const;
 * const boxes = [{ ...box, region: 0, cols: [0, 3] }, { ...box, region: 1, cols: [3, 4] }] as const;
 * assertEquals(shownRegions(boxes)[1], { visual: 0, left: 0.75, top: 0, width: 0.25, height: 1 });
 * ```
 */
export function shownRegions(boxes: readonly RegionBox[]): ShownRegion[] {
  const sizes = new Map<number, { rows: number; cols: number }>();
  for (const { visual, rows, cols } of boxes) {
    const size = sizes.get(visual) ?? { rows: 0, cols: 0 };
    sizes.set(visual, { rows: Math.max(size.rows, rows[1]), cols: Math.max(size.cols, cols[1]) });
  }
  return boxes.map(({ visual, rows, cols }) => {
    const size = sizes.get(visual)!;
    return {
      visual,
      left: cols[0] / size.cols,
      top: rows[0] / size.rows,
      width: (cols[1] - cols[0]) / size.cols,
      height: (rows[1] - rows[0]) / size.rows,
    };
  });
}

/**
 * Returns the share of attention of each box. A region may have several boxes, each of which has the region's whole share.
 *
 * @param profile [tokens, regions]
 * @returns [tokens, boxes]
 */
export function sharesByBox(profile: Float32Array, { regions, boxes }: { regions: number; boxes: readonly RegionBox[] }): Float32Array[] {
  const tokens = regions === 0 ? 0 : profile.length / regions;
  return Array.from(
    { length: tokens },
    (_, t) => Float32Array.from(boxes, ({ region }) => Number.isNaN(profile[t * regions]!) ? 0 : profile[t * regions + region]!),
  );
}

/** A profile as a line of rollouts.jsonl holds it. A share is byte / 255 * scale. */
export interface PackedProfile {
  /** The largest share. */
  readonly scale: number;
  /** The bytes [tokens, regions] as base64. */
  readonly shares: string;
  readonly regions: readonly ShownRegion[];
}

/** Packs a profile. @param profile [tokens, regions]. */
export function packProfile(profile: Float32Array, layout: { regions: number; boxes: readonly RegionBox[] }): PackedProfile {
  const rows = sharesByBox(profile, layout), scale = rows.reduce((most, row) => row.reduce((a, b) => Math.max(a, b), most), 0);
  const bytes = new Uint8Array(rows.length * layout.boxes.length);
  for (const [t, row] of rows.entries()) bytes.set(row.map((share) => scale > 0 ? Math.round(255 * share / scale) : 0), t * row.length);
  return { scale, shares: bytes.toBase64(), regions: shownRegions(layout.boxes) };
}
