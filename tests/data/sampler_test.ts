import { assert, assertEquals, assertThrows } from "@std/assert";
import { ShuffledSampler } from "../../data/sampler.ts";
import { Random } from "../../tensor/random.ts";

const SEED = Math.floor(Math.random() * 2 ** 32), ROUNDS = 200;

Deno.test(`a sampler restored from any state continues like the first one (seed ${SEED})`, () => {
  const random = new Random(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const size = random.integer(0, 10) === 0 ? Infinity : random.integer(1, 40);
    const options = { seed: random.integer(0, 2 ** 31), shuffle: random.integer(0, 4) > 0 };
    const first = new ShuffledSampler(size, options), second = new ShuffledSampler(size, options);
    for (let i = random.integer(0, 4); i > 0; i--) first.next(random.integer(0, 60));
    for (let i = random.integer(0, 2); i > 0; i--) second.next(random.integer(0, 60));
    second.restore(JSON.parse(JSON.stringify(first.state)));
    const pieces = Array.from({ length: 7 }, () => random.integer(0, 30));
    const whole = first.next(pieces.reduce((a, b) => a + b));
    assertEquals(pieces.flatMap((count) => second.next(count)), whole, JSON.stringify({ size, options }));
    assertEquals(second.state, first.state);
  }
});

Deno.test(`each epoch has each row once, in a different order (seed ${SEED})`, () => {
  const size = 50, rows = Array.from({ length: size }, (_, i) => i), seed = new Random(SEED).integer(0, 2 ** 31);
  const sampler = new ShuffledSampler(size, { seed }), epochs = rows.map(() => sampler.next(size));
  for (const epoch of epochs) assertEquals(epoch.toSorted((a, b) => a - b), rows);
  assertEquals(new Set(epochs.map(String)).size, size);
  assertEquals(sampler.state, { epoch: size, position: 0 });
  assert(String(new ShuffledSampler(size, { seed: seed + 1 }).next(size)) !== String(epochs[0]));
  assertEquals(new ShuffledSampler(3, { seed, shuffle: false }).next(7), [0, 1, 2, 0, 1, 2, 0]);
});

Deno.test("every row is equally often the first of an epoch", () => {
  const size = 4, epochs = 4000, counts = new Array<number>(size).fill(0), sampler = new ShuffledSampler(size, { seed: 11 });
  for (let i = 0; i < epochs; i++) counts[sampler.next(size)[0]!]!++;
  for (const count of counts) assert(Math.abs(count - 1000) < 5 * Math.sqrt(1000 * 0.75), counts.join());
});

Deno.test("impossible sizes, counts and states are refused", () => {
  for (const size of [0, -1, 1.5, NaN]) assertThrows(() => new ShuffledSampler(size, { seed: 1 }), RangeError, "Cannot sample");
  const sampler = new ShuffledSampler(3, { seed: 1 });
  for (const count of [-1, 0.5, NaN, Infinity]) assertThrows(() => sampler.next(count), RangeError, "Cannot draw");
  for (const state of [{ epoch: 0, position: 3 }, { epoch: -1, position: 0 }, { epoch: 0.5, position: 0 }]) {
    assertThrows(() => sampler.restore(state), RangeError, "Cannot restore");
  }
});
