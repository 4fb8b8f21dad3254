/** Philox 4x32-10 (Salmon et al., SC 2011), as a reference: four words of 32 bits for a key of 64 bits and a counter of four words. */
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
