/** The RGB values of the figures' colours, by name. */
export const COLOURS: Readonly<Record<string, readonly [number, number, number]>> = {
  red: [225, 50, 45],
  green: [50, 190, 60],
  blue: [60, 90, 235],
  yellow: [235, 215, 50],
  white: [245, 245, 245],
};

/** What the board task asks, and how hard its pictures are. */
export interface BoardOptions {
  /** Cells per side. A cell is 28 pixels wide, one visual token. */
  side: number;
  /** The number of digits on the board. Each has another colour. */
  digits: number;
  /** Scales of the 5 x 7 glyphs in pixels. If there are several, one is drawn at random. */
  sizes: readonly number[];
  /** The largest distance, in pixels, between a glyph and its cell's middle. */
  jitter: number;
  /** The same for the boards of the warm start, which may be steadier than later ones; null: as `jitter`. */
  warmJitter: number | null;
  /** The standard deviation of a pixel's noise, on a scale of 255. */
  noise: number;
  /** The largest change of a glyph's colour, on a scale of 255. */
  tint: number;
  /** The fraction of a glyph's pixels that are not drawn. */
  dropped: number;
  /** The fraction of the questions that ask for a difference. */
  differences: number;
  /** Colours that the warm start's questions never ask about. */
  heldOut: readonly string[];
  /** The fraction of the warm start's examples that describe the whole board. They teach the model to see. */
  describe: number;
  /** The number of figures on a described board, at most side * side. */
  describeDigits: number;
  /** The fraction of wrong readings in the warm start's questions. Wrong readings make the policy fluent but unreliable. */
  wrongReadings: number;
  /** The number of further words in an answer of the warm start: random filler, spread before its sentences. */
  filler: number;
}

/** The default board, which is easy. The built-in run trains on it. */
export const BOARD_DEFAULTS: Readonly<BoardOptions> = {
  side: 3,
  digits: 4,
  sizes: [3],
  jitter: 1,
  warmJitter: null,
  noise: 6,
  tint: 20,
  dropped: 0,
  differences: 0,
  heldOut: [],
  describe: 0.5,
  describeDigits: 4,
  wrongReadings: 0.5,
  filler: 0,
};

/**
 * Completes and checks options.
 *
 * @throws {RangeError} for an option that is unknown or out of range.
 *
 * @example
 * ```ts
 * import { boardOptions } from "@kedge/kedge/data";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(boardOptions({ side: 4 }).digits, 4);
 * assertThrows(() => boardOptions({ digits: 6 }), RangeError, "digits");
 * ```
 */
export function boardOptions(given: Partial<BoardOptions> = {}): BoardOptions {
  const unknown = Object.keys(given).filter((name) => !(name in BOARD_DEFAULTS));
  if (unknown.length > 0) {
    throw new RangeError(
      `Cannot make boards: unknown option ${unknown.join(", ")}; the options are ${Object.keys(BOARD_DEFAULTS).join(", ")}`,
    );
  }
  const o: BoardOptions = { ...BOARD_DEFAULTS, ...given };
  const need = (good: boolean, name: keyof BoardOptions, wanted: string) => {
    if (!good) throw new RangeError(`Cannot make boards: ${name} is ${JSON.stringify(o[name])}, not ${wanted}`);
  };
  const share = (x: number) => x >= 0 && x <= 1, colours = Object.keys(COLOURS);
  need(Number.isInteger(o.side) && o.side >= 2 && o.side <= 16, "side", "an integer from 2 to 16");
  need(Number.isInteger(o.digits) && o.digits >= 2 && o.digits <= colours.length, "digits", `an integer from 2 to ${colours.length}`);
  need(o.sizes.length > 0 && o.sizes.every((s) => Number.isInteger(s) && s >= 1 && s <= 4), "sizes", "a list of integers from 1 to 4");
  need(Number.isInteger(o.jitter) && o.jitter >= 0 && o.jitter <= 14, "jitter", "an integer from 0 to 14");
  need(
    o.warmJitter === null || (Number.isInteger(o.warmJitter) && o.warmJitter >= 0 && o.warmJitter <= 14),
    "warmJitter",
    "an integer from 0 to 14, or null",
  );
  need(o.noise >= 0 && o.noise <= 128, "noise", "from 0 to 128");
  need(o.tint >= 0 && o.tint <= 128, "tint", "from 0 to 128");
  for (const name of ["dropped", "differences", "describe", "wrongReadings"] as const) need(share(o[name]), name, "in [0, 1]");
  need(
    Number.isInteger(o.describeDigits) && o.describeDigits >= 2 && o.describeDigits <= o.side ** 2,
    "describeDigits",
    "an integer from 2 to side * side",
  );
  need(Number.isInteger(o.filler) && o.filler >= 0 && o.filler <= 1024, "filler", "an integer from 0 to 1024");
  need(o.heldOut.every((colour) => colours.includes(colour)), "heldOut", `a list of colours: ${colours.join(", ")}`);
  need(colours.length - o.heldOut.length >= 2, "heldOut", "fewer colours, so that two are left to ask about");
  return o;
}
