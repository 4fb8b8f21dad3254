/**
 * Allocates contiguous ranges of [0, size), first fit or last fit: at the lowest or at the highest start where the range fits. It owns no memory.
 *
 * @example
 * ```ts
 * import { RangeAllocator } from "./range_allocator.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const ranges = new RangeAllocator(10);
 * assertEquals([ranges.allocate(4), ranges.allocate(6), ranges.allocate(1)], [0, 4, undefined]);
 * ranges.release(0, 4);
 * assertEquals([ranges.allocate(3), ranges.free], [0, 1]);
 * ```
 */
export class RangeAllocator {
  readonly #holes: { start: number; end: number }[]; // free, apart from one another, ascending
  #free: number;

  /** An allocator whose whole size is free. */
  constructor(readonly size: number) {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`Cannot allocate ranges of ${size}: it is not a size`);
    this.#holes = size > 0 ? [{ start: 0, end: size }] : [];
    this.#free = size;
  }

  /** The free amount, in all pieces together. */
  get free(): number {
    return this.#free;
  }

  /** Allocates a range of this length. @returns Its start, or undefined if no hole is long enough. An empty range starts at 0. */
  allocate(length: number): number | undefined {
    checkLength(length);
    if (length === 0) return 0;
    const i = this.#holes.findIndex(({ start, end }) => end - start >= length);
    if (i < 0) return undefined;
    const hole = this.#holes[i]!, { start } = hole;
    hole.start += length;
    if (hole.start === hole.end) this.#holes.splice(i, 1);
    this.#free -= length;
    return start;
  }

  /** The same, last fit: at the highest start where the range fits. */
  allocateLast(length: number): number | undefined {
    checkLength(length);
    if (length === 0) return 0;
    const i = this.#holes.findLastIndex(({ start, end }) => end - start >= length);
    if (i < 0) return undefined;
    const hole = this.#holes[i]!;
    hole.end -= length;
    const { end } = hole;
    if (hole.start === end) this.#holes.splice(i, 1);
    this.#free -= length;
    return end;
  }

  /** Releases an allocated range, or a part of one. @throws {RangeError} if any of it is free already. */
  release(start: number, length: number): void {
    if (length === 0) return;
    const end = start + length;
    if (!(Number.isSafeInteger(start) && length > 0 && start >= 0 && end <= this.size)) {
      throw new RangeError(`Cannot release [${start}, ${end}): it is not within [0, ${this.size})`);
    }
    let i = this.#holes.findIndex((hole) => hole.end >= start);
    if (i < 0) i = this.#holes.length;
    const near = this.#holes[i];
    const before = near?.end === start ? near : undefined;
    const after = this.#holes[before ? i + 1 : i];
    if (after && after.start < end) {
      throw new RangeError(`Cannot release [${start}, ${end}): [${after.start}, ${after.end}) is free already`);
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

/** @throws {RangeError} for what is not a length. */
function checkLength(length: number): void {
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`Cannot allocate a range of ${length}: it is not a length`);
}
