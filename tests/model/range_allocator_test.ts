import { RangeAllocator } from "../../model/engine/range_allocator.ts";
import { Random } from "../../tensor/random.ts";
import { assertEquals, assertThrows } from "@std/assert";

Deno.test("ranges are first fit or last fit, disjoint, and all come back, in any order of allocation and release", () => {
  const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed);
  for (let round = 0; round < 50; round++) {
    const size = random.integer(0, 60), ranges = new RangeAllocator(size);
    const used = new Uint8Array(size), held: { start: number; length: number }[] = [];
    for (let i = 0; i < 200; i++) {
      if (random.next() < 0.5 || held.length === 0) {
        const length = random.integer(0, 12), last = random.next() < 0.5;
        const start = last ? ranges.allocateLast(length) : ranges.allocate(length);
        const fits = Array.from({ length: Math.max(0, size - length + 1) }, (_, at) => at)
          .filter((at) => used.subarray(at, at + length).every((each) => each === 0));
        const expected = last ? fits.at(-1) : fits[0];
        assertEquals(start, length === 0 ? 0 : expected, `seed ${seed}`);
        if (start === undefined || length === 0) continue;
        used.fill(1, start, start + length);
        held.push({ start, length });
      } else {
        const [range] = held.splice(random.integer(0, held.length), 1);
        ranges.release(range!.start, range!.length);
        used.fill(0, range!.start, range!.start + range!.length);
      }
      assertEquals(ranges.free, used.filter((each) => each === 0).length, `seed ${seed}`);
    }
    for (const { start, length } of held) ranges.release(start, length);
    assertEquals([ranges.free, ranges.allocate(size)], [size, 0], `seed ${seed}`);
  }
});

Deno.test("a free or invalid range cannot be released", () => {
  const ranges = new RangeAllocator(10);
  ranges.allocate(6);
  ranges.release(2, 2);
  for (const [start, length] of [[2, 2], [1, 2], [3, 2], [2, 1], [0, 6], [8, 1], [6, 5], [-1, 1]] as const) {
    assertThrows(() => ranges.release(start, length), RangeError);
  }
  ranges.release(4, 2);
  ranges.release(0, 2);
  assertEquals(ranges.allocate(10), 0);
  assertThrows(() => ranges.allocate(-1), RangeError);
  assertThrows(() => new RangeAllocator(1.5), RangeError);
});
