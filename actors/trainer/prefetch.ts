/**
 * Requests the inputs of a loop's steps ahead of time. Several requests are under way at once, and their results come in the order of the
 * steps.
 *
 * @example
 * ```ts
 * import { Prefetch } from "./prefetch.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const asked: number[] = [];
 * const ask = (step: number) => (asked.push(step), Promise.resolve(step));
 * const prefetch = new Prefetch(ask, { first: 0, end: 4, ahead: 2 });
 * assertEquals([await prefetch.next(), asked], [0, [0, 1, 2]]);
 * assertEquals(await prefetch.rest(), [1, 2]);
 * ```
 */
export class Prefetch<T> {
  readonly #ask: (step: number) => Promise<T>;
  readonly #end: number;
  readonly #ahead: number;
  readonly #waiting: Promise<T>[] = [];
  #asked: number;

  /**
   * Sends the first requests.
   *
   * @param ask Sends the request of a step.
   * @param options `first`: the first step. `end`: the step after the last one. `ahead`: the number of requests under way, besides the one
   *   that is waited for.
   */
  constructor(ask: (step: number) => Promise<T>, { first, end, ahead }: { first: number; end: number; ahead: number }) {
    this.#ask = ask;
    this.#end = end;
    this.#ahead = ahead;
    this.#asked = first;
    this.#fill();
  }

  #fill(): void {
    while (this.#asked < this.#end && this.#waiting.length < this.#ahead) {
      const asked = this.#ask(this.#asked++);
      asked.catch(() => {}); // next() rejects with it
      this.#waiting.push(asked);
    }
  }

  /** Returns the result of the next step. @throws {RangeError} after the last step. */
  async next(): Promise<T> {
    const next = this.#waiting.shift();
    if (!next) throw new RangeError("Cannot prefetch: there is no further step");
    this.#fill();
    return await next;
  }

  /** Returns the results that were requested and not used, without those that failed. No request is sent any more. */
  async rest(): Promise<T[]> {
    const left = await Promise.allSettled(this.#waiting.splice(0));
    return left.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  }
}
