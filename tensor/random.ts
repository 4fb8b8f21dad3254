/**
 * A seeded random generator on the host, for initial weights, data and tests. It is xoshiro128** (Blackman & Vigna, "Scrambled linear
 * pseudorandom number generators", ACM TOMS 2021), with its state filled by splitmix32. The same seed gives the same numbers on every
 * machine.
 *
 * @example
 * ```ts
 * import { Random } from "@kedge/kedge/tensor";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const random = new Random(7);
 * const die = random.integer(1, 7);
 * assert(die >= 1 && die <= 6);
 * assertEquals(new Random(7).integer(1, 7), die);
 * ```
 */
export class Random {
  readonly #state = new Uint32Array(4);

  /**
   * Makes a generator at its start.
   *
   * @param seed A safe integer of at least 0.
   */
  constructor(readonly seed: number) {
    if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`Cannot seed with ${seed}: it is no safe integer of 0 or more`);
    let z = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b9)) >>> 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) >>> 0;
      let x = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
      this.#state[i] = x ^ (x >>> 15);
    }
  }

  /** Draws 32 random bits, as a number in [0, 2^32). */
  bits(): number {
    const s = this.#state;
    const x = Math.imul(s[1]!, 5), result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0, t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  /** Draws a uniform number in [0, 1), with 53 bits. */
  next(): number {
    return ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53;
  }

  /** Draws a uniform integer in [low, high). */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low));
  }

  /** Draws `n` normal values with mean 0 and standard deviation `scale` (Box & Muller, 1958). */
  normal(n: number, scale = 1): Float64Array<ArrayBuffer> {
    return Float64Array.from({ length: n }, () => scale * Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next()));
  }
}
