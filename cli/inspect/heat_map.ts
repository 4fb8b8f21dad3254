import type { Inspection, Rectangle } from "./inspection.ts";

/** How strongly each region is drawn, in [0, 1]: its share for its area, over the largest, since regions at the border are smaller. */
export function heatOf(profile: readonly number[], regions: readonly Rectangle[]): number[] {
  const dense = profile.map((share, r) => share / (regions[r]!.width * regions[r]!.height)), most = Math.max(0, ...dense);
  return dense.map((value) => most > 0 ? value / most : 0);
}

/**
 * Pixels with a profile drawn over them: from yellow to red, and the more opaque the stronger.
 *
 * @returns u8 [height, width, 3].
 */
export function drawHeat(
  { picture, regions }: Pick<Inspection, "picture" | "regions">,
  profile: readonly number[],
): Uint8Array<ArrayBuffer> {
  const out = picture.data.slice();
  for (const [r, heat] of heatOf(profile, regions).entries()) {
    const { left, top, width, height } = regions[r]!, alpha = 0.75 * heat, colour = [255, Math.round(220 * (1 - heat)), 30];
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) {
        const at = 3 * (y * picture.width + x);
        for (let c = 0; c < 3; c++) out[at + c] = Math.round((1 - alpha) * out[at + c]! + alpha * colour[c]!);
      }
    }
  }
  return out;
}

/** The PNG of pixels u8 [height, width, 3]. */
export async function encodePng(data: Uint8Array, { width, height }: { width: number; height: number }): Promise<Uint8Array<ArrayBuffer>> {
  const { default: sharp } = await import("sharp"); // native: loaded with the first picture, as the processor's decoder
  const png = await sharp(data, { raw: { width, height, channels: 3 } }).png().toBuffer();
  return new Uint8Array(png);
}
