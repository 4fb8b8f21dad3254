/**
 * Hands out contiguous ranges of [0, size), first fit: the lowest place that is long enough. Pure bookkeeping.
 *
 * @example
 * ```ts
 * import { Ranges } from "./ranges.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const ranges = new Ranges(10);
 * assertEquals([ranges.take(4), ranges.take(6), ranges.take(1)], [0, 4, undefined]);
 * ranges.give(0, 4);
 * assertEquals([ranges.take(3), ranges.free], [0, 1]);
 * ```
 */
export class Ranges {
  readonly #holes: { start: number; end: number }[]; // free, apart from one another, ascending
  #free: number;

  /** All of it is free. */
  constructor(readonly size: number) {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`Cannot hand out ranges of ${size}: not a size`);
    this.#holes = size > 0 ? [{ start: 0, end: size }] : [];
    this.#free = size;
  }

  /** What is free, in all pieces together. */
  get free(): number {
    return this.#free;
  }

  /** The start of a range of this length, or undefined where no hole is long enough. An empty range starts at 0 and takes nothing. */
  take(length: number): number | undefined {
    if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`Cannot take a range of ${length}: not a length`);
    if (length === 0) return 0;
    const i = this.#holes.findIndex(({ start, end }) => end - start >= length);
    if (i < 0) return undefined;
    const hole = this.#holes[i]!, { start } = hole;
    hole.start += length;
    if (hole.start === hole.end) this.#holes.splice(i, 1);
    this.#free -= length;
    return start;
  }

  /** Takes back a range that `take` gave, or a part of one. @throws {RangeError} where any of it is free already. */
  give(start: number, length: number): void {
    if (length === 0) return;
    const end = start + length;
    if (!(Number.isSafeInteger(start) && length > 0 && start >= 0 && end <= this.size)) {
      throw new RangeError(`Cannot give back [${start}, ${end}): there are ${this.size}`);
    }
    let i = this.#holes.findIndex((hole) => hole.end >= start);
    if (i < 0) i = this.#holes.length;
    const near = this.#holes[i];
    const before = near?.end === start ? near : undefined;
    const after = this.#holes[before ? i + 1 : i];
    if (after && after.start < end) {
      throw new RangeError(`Cannot give back [${start}, ${end}): [${after.start}, ${after.end}) is free already`);
    }
    if (before && after?.start === end) {
      before.end = after.end;
      this.#holes.splice(i + 1, 1);
    } else if (before) before.end = end;
    else if (after?.start === end) after.start = start;
    else this.#holes.splice(i, 0, { start, end });
    this.#free += length;
  }
}
