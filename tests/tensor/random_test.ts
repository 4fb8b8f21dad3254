import { assert, assertEquals } from "@std/assert";
import { Random } from "../../tensor/random.ts";

// The reference recurrence of xoshiro128**, in 64-bit integers.
function* reference(state: number[]): Generator<number> {
  let [a, b, c, d] = state.map(BigInt) as [bigint, bigint, bigint, bigint];
  const mask = 0xffffffffn, turn = (x: bigint, k: bigint) => ((x << k) | (x >> (32n - k))) & mask;
  for (;;) {
    yield Number((turn((b * 5n) & mask, 7n) * 9n) & mask);
    const t = (b << 9n) & mask;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = turn(d, 11n);
  }
}

Deno.test("Random draws xoshiro128**, from the state that splitmix32 gives for the seed", () => {
  for (const seed of [0, 1, 2 ** 32 - 1, 2 ** 40 + 12345]) {
    let z = BigInt(seed % 2 ** 32) ^ ((BigInt(Math.floor(seed / 2 ** 32)) * 0x9e3779b9n) & 0xffffffffn);
    const state = Array.from({ length: 4 }, () => {
      z = (z + 0x9e3779b9n) & 0xffffffffn;
      let x = ((z ^ (z >> 16n)) * 0x21f0aaadn) & 0xffffffffn;
      x = ((x ^ (x >> 15n)) * 0x735a2d97n) & 0xffffffffn;
      return Number(x ^ (x >> 15n));
    });
    const random = new Random(seed), expected = reference(state);
    for (let i = 0; i < 100; i++) assertEquals(random.bits(), expected.next().value);
  }
});

Deno.test("Random's uniform and normal values have their moments", () => {
  const n = 200_000, random = new Random(5);
  const moments = (values: Float64Array) => {
    const mean = values.reduce((a, b) => a + b) / n;
    return [mean, values.reduce((a, b) => a + (b - mean) ** 2, 0) / n];
  };
  const [mean, variance] = moments(Float64Array.from({ length: n }, () => random.next())) as [number, number];
  assert(Math.abs(mean - 0.5) < 0.004 && Math.abs(variance - 1 / 12) < 0.001, `${mean} ${variance}`);
  const [center, spread] = moments(random.normal(n, 2)) as [number, number];
  assert(Math.abs(center) < 0.03 && Math.abs(spread - 4) < 0.08, `${center} ${spread}`);
});
