import { Random } from "../../tensor/random.ts";

/** Options of {@linkcode patchBlackening}. */
export interface BlackeningOptions {
  /** [frames, height, width, 3] */
  shape: readonly [number, number, number, number];
  /** The same seed gives the same patches. */
  seed: number;
  /** Side of a patch in pixels; the last of a row or column may be smaller. Default 14. */
  patch?: number;
  /** That a patch turns black. Default 0.5. */
  probability?: number;
}

/**
 * A copy of u8 pictures in which patches are black, each with a probability. Frames are drawn apart.
 *
 * @example
 * ```ts
 * import { patchBlackening } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const white = new Uint8Array(28 * 28 * 3).fill(255);
 * const spoilt = patchBlackening(white, { shape: [1, 28, 28, 3], seed: 1 });
 * const black = spoilt.filter((x) => x === 0).length;
 * assertEquals(black % (14 * 14 * 3), 0);
 * ```
 */
export function patchBlackening(frames: Uint8Array<ArrayBuffer>, options: BlackeningOptions): Uint8Array<ArrayBuffer> {
  const { shape: [count, height, width, channels], seed, patch = 14, probability = 0.5 } = options;
  if (frames.length !== count * height * width * channels) {
    throw new RangeError(
      `Cannot blacken ${frames.length} bytes: the shape [${options.shape.join(", ")}] has ${count * height * width * channels}`,
    );
  }
  if (!(Number.isInteger(patch) && patch >= 1 && probability >= 0 && probability <= 1)) {
    throw new RangeError(`Cannot blacken patches of ${patch} pixels with probability ${probability}`);
  }
  const out = frames.slice(), random = new Random(seed);
  for (let f = 0; f < count; f++) {
    for (let y = 0; y < height; y += patch) {
      for (let x = 0; x < width; x += patch) {
        if (random.next() >= probability) continue;
        const right = Math.min(width, x + patch);
        for (let row = y; row < Math.min(height, y + patch); row++) {
          const line = (f * height + row) * width;
          out.fill(0, (line + x) * channels, (line + right) * channels);
        }
      }
    }
  }
  return out;
}
