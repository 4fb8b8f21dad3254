/**
 * Pixels that are decoded at a time in a thread: a picture that would exceed them waits for those before it. One picture alone may be of any size.
 *
 * @example
 * ```ts
 * import { PixelTurns } from "./pixel_turns.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const turns = new PixelTurns(100), order: string[] = [];
 * const work = (name: string, pixels: number) => turns.take(pixels, async () => void order.push(name));
 * await Promise.all([work("a", 60), work("b", 60), work("c", 10)]);
 * assertEquals(order, ["a", "b", "c"]);
 * ```
 */
export class PixelTurns {
  readonly #most: number;
  readonly #waiting: { readonly pixels: number; readonly begin: () => void }[] = [];
  #held = 0;

  /** @param most Pixels. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Does the work when its turn comes, and gives the pixels back when it has ended. */
  async take<T>(pixels: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length === 0 && this.#fits(pixels)) this.#held += pixels;
    else await new Promise<void>((begin) => this.#waiting.push({ pixels, begin }));
    try {
      return await work();
    } finally {
      this.#held -= pixels;
      for (let next = this.#waiting[0]; next && this.#fits(next.pixels); next = this.#waiting[0]) {
        this.#waiting.shift();
        this.#held += next.pixels;
        next.begin();
      }
    }
  }

  #fits(pixels: number): boolean {
    return this.#held === 0 || this.#held + pixels <= this.#most;
  }
}
