import { KedgeError } from "../../ffi/errors.ts";

/** Options of {@linkcode smartResize}. */
export interface SmartResizeOptions {
  /** Both sides become a multiple of this: patch size times merge size. */
  readonly factor: number;
  /** Fewest pixels, greater than 0. */
  readonly minPixels: number;
  /** The maximum number of pixels. */
  readonly maxPixels: number;
  /** The picture's name in errors. Default "the picture". */
  readonly name?: string;
}

/** Largest ratio of the longer to the shorter side. */
const MOST_ASPECT = 200;

/** Rounds to the nearest integer, halves to the even one, as Python's `round` does. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value), rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/**
 * The size to which Qwen2-VL's processor resizes a picture (`smart_resize` of transformers): both sides a multiple of the factor, the number of pixels between
 * the two bounds, the aspect ratio nearly kept. For a very long picture the lower bound on a side, one factor, may push it over `maxPixels`.
 *
 * @param height Rows, positive.
 * @param width Columns, positive.
 * @throws {RangeError} For a size, factor or bound that is not positive, or bounds in the wrong order.
 * @throws {KedgeError} `BadData` if one side is more than 200 times the other.
 *
 * @example
 * ```ts
 * import { smartResize } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const size = smartResize(693, 1550, { factor: 28, minPixels: 12544, maxPixels: 50176 });
 * assertEquals(size, { height: 140, width: 308 });
 * ```
 */
export function smartResize(height: number, width: number, options: SmartResizeOptions): { height: number; width: number } {
  const { factor, minPixels, maxPixels, name = "the picture" } = options;
  for (const [key, value] of Object.entries({ height, width, factor })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`Cannot resize ${name}: ${key} ${value} is not a positive integer`);
  }
  if (!(minPixels > 0 && minPixels <= maxPixels && maxPixels < Infinity)) {
    throw new RangeError(`Cannot resize ${name}: minPixels ${minPixels} and maxPixels ${maxPixels} are not positive and in this order`);
  }
  checkAspect({ height, width }, name);
  return fitted({ height, width }, options);
}

/** @throws {KedgeError} `BadData` if one side is more than 200 times the other. */
export function checkAspect({ height, width }: { height: number; width: number }, name: string): void {
  const aspect = Math.max(height, width) / Math.min(height, width);
  if (aspect <= MOST_ASPECT) return;
  const message =
    `Cannot resize ${name}: of its ${width} x ${height} pixels one side is more than ${MOST_ASPECT} times the other. Crop or remove it.`;
  throw new KedgeError("BadData", message, { name, height, width });
}

/**
 * Both sides as multiples of the factor, with the pixels of `frames` frames together between the bounds.
 *
 * @param frames `counted`: the frames whose rounded sizes are compared with the bounds; `all`: those by which a size beyond a bound is scaled. Both 1 for a picture.
 */
export function fitted(
  { height, width }: { height: number; width: number },
  { factor, minPixels, maxPixels }: Omit<SmartResizeOptions, "name">,
  frames: { counted: number; all: number } = { counted: 1, all: 1 },
): { height: number; width: number } {
  const [h, w] = [roundHalfEven(height / factor) * factor, roundHalfEven(width / factor) * factor];
  const pixels = frames.all * height * width, rounded = frames.counted * h * w;
  if (rounded > maxPixels) {
    const beta = Math.sqrt(pixels / maxPixels);
    const down = (side: number) => Math.max(factor, Math.floor(side / beta / factor) * factor);
    return { height: down(height), width: down(width) };
  }
  if (rounded < minPixels) {
    const beta = Math.sqrt(minPixels / pixels);
    const up = (side: number) => Math.ceil(side * beta / factor) * factor;
    return { height: up(height), width: up(width) };
  }
  return { height: h, width: w };
}
