/**
 * The counter-based random generator Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), in plain integers. The kernels'
 * is `kernels/common/philox.h`.
 *
 * @param key 64 bits.
 * @param counter Four words of 32 bits. The same key and counter give the same words everywhere.
 * @returns Four random words of 32 bits.
 *
 * @example The known answer of the authors' test for a key and a counter of 0
 * ```ts
 * import { philox } from "./philox.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(philox(0n, [0, 0, 0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
 * ```
 */
export function philox(key: bigint, counter: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  const low = (x: bigint) => x & 0xffffffffn, high = (x: bigint) => x >> 32n;
  let k0 = low(key), k1 = high(key);
  for (let round = 0; round < 10; round++) {
    const p0 = 0xD2511F53n * c0, p1 = 0xCD9E8D57n * c2;
    [c0, c1, c2, c3] = [high(p1) ^ c1 ^ k0, low(p1), high(p0) ^ c3 ^ k1, low(p0)];
    k0 = low(k0 + 0x9E3779B9n);
    k1 = low(k1 + 0xBB67AE85n);
  }
  return [c0, c1, c2, c3].map(Number);
}
