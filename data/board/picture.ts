import type { PixelData } from "../../model/processor/messages.ts";
import type { Random } from "../../tensor/random.ts";
import { type BoardOptions, COLOURS } from "./options.ts";

/** Pixels per side of a cell, which are those of a merged visual token. */
export const CELL = 28;
/**
 * The background colour, which becomes 0 after normalisation: the mean of the image processor, on a scale of 255. A small model learns
 * nothing from a white background.
 */
export const GROUND: readonly [number, number, number] = [0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255];

/** The digits as 5 x 7 glyphs. A row is five bits, the leftmost the highest. */
export const GLYPHS: readonly (readonly number[])[] = [
  [14, 17, 19, 21, 25, 17, 14],
  [4, 12, 4, 4, 4, 4, 14],
  [14, 17, 1, 2, 4, 8, 31],
  [31, 2, 4, 2, 1, 17, 14],
  [2, 6, 10, 18, 31, 2, 2],
  [31, 16, 30, 1, 1, 17, 14],
  [6, 8, 16, 30, 17, 17, 14],
  [31, 1, 2, 4, 8, 8, 8],
  [14, 17, 17, 14, 17, 17, 14],
  [14, 17, 17, 15, 1, 2, 12],
];

/** The standard deviation of the sum of four random bytes. */
const BYTES_STD = Math.sqrt(4 * (256 ** 2 - 1) / 12);

/** A digit on the board. */
export interface Figure {
  /** The index of the cell, by rows. */
  readonly cell: number;
  /** A key of `COLOURS`. */
  readonly colour: string;
  /** The digit, from 0 to 9. */
  readonly digit: number;
}

/** Draws a board as u8 RGB, a square of side * 28 pixels. */
export function drawBoard(random: Random, figures: readonly Figure[], options: BoardOptions): PixelData {
  const { side, sizes, jitter, noise, tint, dropped } = options, width = side * CELL;
  const canvas = new Float64Array(width * width * 3);
  for (let i = 0; i < canvas.length; i++) canvas[i] = GROUND[i % 3]!;
  for (const { cell, colour, digit } of figures) {
    const size = sizes[random.integer(0, sizes.length)]!, room = [CELL - 5 * size, CELL - 7 * size] as const;
    const shift = room.map((space) => {
      const middle = Math.floor(space / 2), off = random.integer(-jitter, jitter + 1);
      return Math.min(Math.max(0, middle + off), space);
    });
    const left = cell % side * CELL + shift[0]!, top = Math.floor(cell / side) * CELL + shift[1]!;
    const paint = COLOURS[colour]!.map((value) => value + (2 * random.next() - 1) * tint);
    for (let y = 0; y < 7 * size; y++) {
      for (let x = 0; x < 5 * size; x++) {
        if (!(GLYPHS[digit]![Math.floor(y / size)]! >> (4 - Math.floor(x / size)) & 1) || random.next() < dropped) continue;
        for (let c = 0; c < 3; c++) canvas[((top + y) * width + left + x) * 3 + c] = paint[c]!;
      }
    }
  }
  const data = new Uint8Array(canvas.length), scale = noise / BYTES_STD;
  for (let i = 0; i < data.length; i++) {
    const bits = noise > 0 ? random.bits() : 0;
    // The sum of four random bytes is nearly normal, at a tenth of the cost.
    const grain = noise > 0 ? ((bits & 255) + (bits >>> 8 & 255) + (bits >>> 16 & 255) + (bits >>> 24) - 510) * scale : 0;
    data[i] = Math.min(255, Math.max(0, Math.round(canvas[i]! + grain)));
  }
  return { data, width, height: width };
}
