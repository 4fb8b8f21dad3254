import { DARKEST, heatmapOf, outlineOf } from "../../control/page/heatmap.js";
import type { Inspection } from "./inspection.ts";

/** Pixels as u8 [height, width, 3]. */
export interface Pixels {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** A picture is enlarged by a whole factor until its longer side has at least this many pixels. */
const SIDE = 448;
const GAP = 8;
/** The height of the scale and the size of its digits' pixels. */
const [SCALE, DOT] = [14, 2];
/** Digits, 3 pixels wide and 5 high, by rows. They are drawn without a font. */
const GLYPHS: Readonly<Record<string, string>> = {
  "0": "111101101101111",
  "1": "010110010010111",
  "2": "111001111100111",
  "3": "111001111001111",
  "4": "101101111001001",
  "5": "111100111001111",
  "6": "111100111101111",
  "7": "111001001001001",
  "8": "111101111101111",
  "9": "111101111001111",
  ".": "000000000000010",
  x: "000101010101000",
};

/** A white canvas. */
class Sheet {
  readonly data: Uint8Array<ArrayBuffer>;

  constructor(readonly width: number, readonly height: number) {
    this.data = new Uint8Array(width * height * 3).fill(255);
  }

  /** Fills a rectangle. `of` returns the colour of a pixel. Pixels outside the canvas are skipped. */
  fill(
    box: { left: number; top: number; width: number; height: number },
    of: (x: number, y: number) => readonly [number, number, number],
  ): void {
    for (let y = Math.max(0, box.top); y < Math.min(this.height, box.top + box.height); y++) {
      for (let x = Math.max(0, box.left); x < Math.min(this.width, box.left + box.width); x++) {
        this.data.set(of(x, y), 3 * (y * this.width + x));
      }
    }
  }

  /** Draws digits. @returns Their width. */
  write(text: string, { left, top }: { left: number; top: number }): number {
    for (const [n, letter] of [...text].entries()) {
      for (const [i, dot] of [...GLYPHS[letter]!].entries()) {
        if (dot === "0") continue;
        const x = left + DOT * (4 * n + i % 3), y = top + DOT * Math.floor(i / 3);
        this.fill({ left: x, top: y, width: DOT, height: DOT }, () => [40, 40, 40]);
      }
    }
    return DOT * (4 * text.length - 1);
  }
}

/**
 * Draws a picture and, beside it, the same picture with a heat map. Regions with less attention are darker and keep their hue. Regions with
 * at least half of the maximum have an outline. The scale below goes from 0 to the maximum, in multiples of uniform attention. If no region
 * stands out, the picture stays as it is and there is no scale.
 *
 * @param profile For each region the share of attention.
 * @returns The pixels, and the factor by which the picture was enlarged.
 */
export function drawHeatmap(
  { picture, regions }: Pick<Inspection, "picture" | "regions">,
  profile: readonly number[],
): Pixels & { times: number } {
  const times = Math.max(1, Math.ceil(SIDE / Math.max(picture.width, picture.height)));
  const [width, height] = [picture.width * times, picture.height * times],
    heatmap = heatmapOf(regions, profile),
    seen = heatmap.most > 0 && !heatmap.uniform;
  const sheet = new Sheet(2 * width + GAP, height + (seen ? GAP + SCALE : 0)), right = width + GAP;
  const pixel = (x: number, y: number) => {
    const at = 3 * (Math.floor(y / times) * picture.width + Math.floor(x / times));
    return [picture.data[at]!, picture.data[at + 1]!, picture.data[at + 2]!] as const;
  };
  sheet.fill({ left: 0, top: 0, width, height }, pixel);
  sheet.fill({ left: right, top: 0, width, height }, (x, y) => pixel(x - right, y));
  const whole = { data: sheet.data, width: sheet.width, height: sheet.height, times };
  if (!seen) return whole;
  for (const { left, top, width, height, heat } of heatmap.regions) {
    const light = 1 - DARKEST * (1 - heat),
      box = { left: right + left * times, top: top * times, width: width * times, height: height * times };
    sheet.fill(box, (x, y) => pixel(x - right, y).map((byte) => Math.round(light * byte)) as [number, number, number]);
  }
  const pieces = outlineOf(heatmap.regions).map((piece) => piece.map((at) => at * times) as [number, number, number, number]);
  for (const [half, shade] of [[2, 0], [1, 255]] as const) {
    for (const [x, y, toX, toY] of pieces) {
      // Along the picture's border the line is moved inside.
      const [left, toLeft] = [x, toX].map((at) => Math.max(2, Math.min(width - 3, at))) as [number, number];
      const [top, toTop] = [y, toY].map((at) => Math.max(2, Math.min(height - 3, at))) as [number, number];
      const box = { left: right + left - half, top: top - half, width: toLeft - left + 2 * half, height: toTop - top + 2 * half };
      sheet.fill(box, () => [shade, shade, shade]);
    }
  }
  const top = height + GAP, digits = top + Math.floor((SCALE - 5 * DOT) / 2), most = `${Number(heatmap.most.toPrecision(2))}x`;
  const from = right + sheet.write("0", { left: right, top: digits }) + GAP, to = right + width - DOT * (4 * most.length - 1) - GAP;
  sheet.fill({ left: from, top, width: to - from, height: SCALE }, (x) => {
    const shade = Math.round(204 * (1 - DARKEST * (1 - (x - from) / (to - from))));
    return [shade, shade, shade];
  });
  sheet.write(most, { left: to + GAP, top: digits });
  return whole;
}

/** Encodes pixels as a PNG. */
export async function encodePng({ data, width, height }: Pixels): Promise<Uint8Array<ArrayBuffer>> {
  const { default: sharp } = await import("sharp"); // native; loaded only when a picture is needed, like the processor's decoder
  const png = await sharp(data, { raw: { width, height, channels: 3 } }).png().toBuffer();
  return new Uint8Array(png);
}
