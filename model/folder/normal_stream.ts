/**
 * Normal numbers by the hundred million: the ziggurat of 256 layers (Marsaglia & Tsang, "The ziggurat method for generating random variables", JSS 2000)
 * over xoshiro128** (Blackman & Vigna, ACM TOMS 2021). Unlike the original, it takes the layer and the position in it from different bits of a draw (Doornik,
 * "An improved ziggurat method to generate normal random samples", 2005).
 *
 * @module
 */

const LAYERS = 256;
/** The start of the tail, and the area of every layer, under exp(-x^2 / 2). */
const TAIL = 3.6541528853610088, AREA = 0.00492867323399;

/** Right edges of the layers, from the bottom up. The bottom layer has that of a box of the same area. */
const EDGE = new Float64Array(LAYERS + 1);
/** exp(-x^2 / 2) there. */
const HEIGHT = new Float64Array(LAYERS + 1);
/** Edge by 2^23: draws are 24 bits with a sign. */
const SCALE = new Float64Array(LAYERS);

const density = (x: number) => Math.exp(-x * x / 2);
EDGE[0] = AREA / density(TAIL);
EDGE[1] = TAIL;
for (let i = 1; i < LAYERS - 1; i++) EDGE[i + 1] = Math.sqrt(-2 * Math.log(AREA / EDGE[i]! + density(EDGE[i]!)));
EDGE[LAYERS] = 0;
for (let i = 0; i <= LAYERS; i++) HEIGHT[i] = density(EDGE[i]!);
for (let i = 0; i < LAYERS; i++) SCALE[i] = EDGE[i]! / 2 ** 23;

function splitmix(seed: number): () => number {
  let z = seed >>> 0;
  return () => {
    z = (z + 0x9e3779b9) >>> 0;
    let x = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  };
}

/** An endless sequence of normal numbers, which depends on a seed and a name. */
export class NormalStream {
  readonly #state = new Int32Array(4);

  /** @param seed A safe integer, 0 or more. */
  constructor(seed: number, name: string) {
    if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`Cannot seed with ${seed}: it is no safe integer of 0 or more`);
    // Every word of the state depends on all of the seed and the name: two FNV-1a hashes with different starts, each spread over two words.
    for (const half of [0, 1]) {
      let hash = 0x811c9dc5 ^ half;
      const bytes = new TextEncoder().encode(`${seed}/${name}`);
      for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
      const next = splitmix(hash ^ Math.imul(half, 0x5bd1e995));
      this.#state[2 * half] = next();
      this.#state[2 * half + 1] = next();
    }
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1;
  }

  /** The next numbers, of mean 0 and this standard deviation. */
  fill(into: Float32Array, deviation: number): void {
    const state = this.#state;
    let s0 = state[0]!, s1 = state[1]!, s2 = state[2]!, s3 = state[3]!;
    for (let i = 0; i < into.length; i++) {
      const product = Math.imul(s1, 5), bits = Math.imul((product << 7) | (product >>> 25), 9), t = s1 << 9;
      s2 ^= s0;
      s3 ^= s1;
      s1 ^= s2;
      s0 ^= s3;
      s2 ^= t;
      s3 = (s3 << 11) | (s3 >>> 21);
      const layer = bits & 255, x = ((bits >> 8) + 0.5) * SCALE[layer]!;
      if (Math.abs(x) < EDGE[layer + 1]!) {
        into[i] = deviation * x;
        continue;
      }
      state[0] = s0;
      state[1] = s1;
      state[2] = s2;
      state[3] = s3;
      into[i] = deviation * this.#outside(x, layer);
      s0 = state[0]!;
      s1 = state[1]!;
      s2 = state[2]!;
      s3 = state[3]!;
    }
    state[0] = s0;
    state[1] = s1;
    state[2] = s2;
    state[3] = s3;
  }

  /** The number for a draw outside the part of its layer that is surely under the curve: 1 draw in 80. */
  #outside(x: number, layer: number): number {
    for (;;) {
      if (layer === 0) return this.#tail(x);
      const y = HEIGHT[layer]! + this.#uniform() * (HEIGHT[layer + 1]! - HEIGHT[layer]!);
      if (y < density(x)) return x;
      const bits = this.#bits();
      layer = bits & 255;
      x = ((bits >> 8) + 0.5) * SCALE[layer]!;
      if (Math.abs(x) < EDGE[layer + 1]!) return x;
    }
  }

  /** A number beyond the bottom layer's box (Marsaglia, 1964). */
  #tail(x: number): number {
    for (;;) {
      const beyond = -Math.log(this.#uniform()) / TAIL;
      if (-2 * Math.log(this.#uniform()) > beyond * beyond) return Math.sign(x) * (TAIL + beyond);
    }
  }

  /** 32 random bits, signed. */
  #bits(): number {
    const s = this.#state, product = Math.imul(s[1]!, 5), t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return Math.imul((product << 7) | (product >>> 25), 9);
  }

  /** Uniform in (0, 1). */
  #uniform(): number {
    return ((this.#bits() >>> 0) + 0.5) / 2 ** 32;
  }
}
