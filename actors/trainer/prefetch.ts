/**
 * What a loop needs step by step, asked for ahead: so many requests are under way at once, and come in their order.
 *
 * @example
 * ```ts
 * import { Prefetch } from "./prefetch.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const asked: number[] = [];
 * const prefetch = new Prefetch(0, 4, 2, (step) => (asked.push(step), Promise.resolve(step)));
 * assertEquals([await prefetch.next(), asked], [0, [0, 1, 2]]);
 * assertEquals(await prefetch.rest(), [1, 2]);
 * ```
 */
export class Prefetch<T> {
  readonly #waiting: Promise<T>[] = [];
  #asked: number;

  /**
   * @param first The first step, and `end`: one behind the last.
   * @param ahead Requests under way, beside the one that is waited for.
   */
  constructor(first: number, readonly end: number, readonly ahead: number, readonly ask: (step: number) => Promise<T>) {
    this.#asked = first;
    this.#fill();
  }

  #fill(): void {
    while (this.#asked < this.end && this.#waiting.length < this.ahead) {
      const asked = this.ask(this.#asked++);
      asked.catch(() => {}); // told where it is awaited
      this.#waiting.push(asked);
    }
  }

  /** The next step's. */
  async next(): Promise<T> {
    const next = this.#waiting.shift();
    if (!next) throw new RangeError("Cannot go on: every step was fed");
    this.#fill();
    return await next;
  }

  /** What was asked for and not used; nothing is asked any more. Failures are left out. */
  async rest(): Promise<T[]> {
    const left = await Promise.allSettled(this.#waiting.splice(0));
    return left.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  }
}
