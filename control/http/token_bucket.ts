import type { Rate } from "./options.ts";

interface Bucket {
  left: number;
  /** The time for which `left` is correct. */
  at: number;
}

/**
 * Limits how often each address may do something. Each address has a bucket of tokens that refills. At most 10,000 addresses are
 * remembered; the one that was inactive longest is forgotten first.
 *
 * @example
 * ```ts
 * import { TokenBuckets } from "./token_bucket.ts";
 * import { assertEquals } from "@std/assert";
 *
 * let time = 0;
 * const buckets = new TokenBuckets({ perSecond: 10, burst: 2 }, { now: () => time });
 * assertEquals([buckets.take("a"), buckets.take("a"), buckets.take("a"), buckets.take("b")], [0, 0, 0.1, 0]);
 * time = 100;
 * assertEquals(buckets.take("a"), 0);
 * ```
 */
export class TokenBuckets {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #most: number;
  readonly #buckets = new Map<string, Bucket>();

  /** @param options `now`: returns the milliseconds of a monotonic clock. `addresses`: how many addresses to remember. */
  constructor(rate: Rate, options: { now?: () => number; addresses?: number } = {}) {
    if (!(rate.perSecond > 0) || !(rate.burst >= 1)) {
      throw new RangeError(`Cannot limit to ${rate.perSecond} a second, ${rate.burst} at once`);
    }
    const { now = () => performance.now(), addresses = 10_000 } = options;
    this.#rate = rate;
    this.#now = now;
    this.#most = addresses;
  }

  /** The number of addresses that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one token. @returns 0, or the seconds until one is available. */
  take(address: string): number {
    const bucket = this.#bucket(address), wait = this.#wait(bucket);
    if (wait === 0) bucket.left--;
    return wait;
  }

  /** Returns the seconds until a token is available, or 0. It takes none. */
  wait(address: string): number {
    return this.#buckets.has(address) ? this.#wait(this.#bucket(address)) : 0;
  }

  #wait({ left }: Bucket): number {
    return left >= 1 ? 0 : (1 - left) / this.#rate.perSecond;
  }

  #bucket(address: string): Bucket {
    const at = this.#now(), { perSecond, burst } = this.#rate, old = this.#buckets.get(address);
    const left = old ? Math.min(burst, old.left + (at - old.at) / 1000 * perSecond) : burst;
    // The address is put at the end, so that the first one is always the one that was inactive longest.
    this.#buckets.delete(address);
    if (this.#buckets.size >= this.#most) this.#buckets.delete(this.#buckets.keys().next().value!);
    const bucket = { left, at };
    this.#buckets.set(address, bucket);
    return bucket;
  }
}
