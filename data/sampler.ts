import { Random } from "../tensor/random.ts";

/** Where a sampler stands, as plain data. */
export interface SamplerState {
  /** Passes over the data that are complete. */
  readonly epoch: number;
  /** Rows of the present pass that were given. */
  readonly position: number;
}

/**
 * Numbers of rows in the order in which they are to be trained on: each epoch has each row once, in an order drawn from seed and epoch alone.
 * Of data without end, the numbers count up. Two samplers of one size, seed and state give the same numbers forever.
 *
 * @example
 * ```ts
 * import { ShuffledSampler } from "./sampler.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const sampler = new ShuffledSampler(5, { seed: 1 });
 * assertEquals(sampler.next(5).toSorted(), [0, 1, 2, 3, 4]);
 * sampler.next(2);
 * assertEquals(sampler.state, { epoch: 1, position: 2 });
 * const resumed = new ShuffledSampler(5, { seed: 1 });
 * resumed.restore(sampler.state);
 * assertEquals(resumed.next(20), sampler.next(20));
 * assertEquals(new ShuffledSampler(Infinity, { seed: 1 }).next(3), [0, 1, 2]);
 * ```
 */
export class ShuffledSampler {
  /** Rows of an epoch. */
  readonly size: number;
  readonly #seed: number;
  readonly #shuffle: boolean;
  #epoch = 0;
  #position = 0;
  #order: { readonly epoch: number; readonly rows: Uint32Array } | undefined;

  /**
   * A sampler at its start.
   *
   * @param size Rows; Infinity for data without end.
   * @param options `seed`: a safe integer, 0 or more; `shuffle`: false for the rows' own order (default: true).
   * @throws {RangeError} for a size or seed out of range.
   */
  constructor(size: number, options: { seed: number; shuffle?: boolean }) {
    const fits = size === Infinity || (Number.isInteger(size) && size > 0 && size < 2 ** 32);
    if (!fits) throw new RangeError(`Cannot sample from ${size} rows: it takes 1 to ${2 ** 32 - 1}, or Infinity`);
    this.size = size;
    this.#shuffle = (options.shuffle ?? true) && size !== Infinity;
    this.#seed = new Random(options.seed).bits();
  }

  /** Where it stands, between two calls of `next`. */
  get state(): SamplerState {
    return { epoch: this.#epoch, position: this.#position };
  }

  /**
   * Goes to where a sampler of the same size and seed stood.
   *
   * @throws {RangeError} for a state that no sampler of this size has.
   */
  restore(state: SamplerState): void {
    const { epoch, position } = state, fits = (n: number) => Number.isSafeInteger(n) && n >= 0;
    if (!fits(epoch) || !fits(position) || position >= this.size) {
      throw new RangeError(`Cannot restore a sampler of ${this.size} rows at epoch ${epoch}, position ${position}`);
    }
    this.#epoch = epoch;
    this.#position = position;
  }

  /**
   * The next numbers of rows. They go on in the next epoch where this one ends among them.
   *
   * @param count How many.
   * @throws {RangeError} for a count that is no integer of 0 or more.
   */
  next(count: number): number[] {
    if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`Cannot draw ${count} rows`);
    return Array.from({ length: count }, () => {
      const row = this.#shuffle ? this.#rows()[this.#position]! : this.#position;
      if (++this.#position === this.size) {
        this.#position = 0;
        this.#epoch++;
      }
      return row;
    });
  }

  /** This epoch's order. */
  #rows(): Uint32Array {
    if (this.#order?.epoch === this.#epoch) return this.#order.rows;
    const random = new Random(this.#seed + this.#epoch), rows = Uint32Array.from({ length: this.size }, (_, i) => i);
    for (let i = this.size - 1; i > 0; i--) {
      const j = random.integer(0, i + 1), row = rows[i]!;
      rows[i] = rows[j]!;
      rows[j] = row;
    }
    this.#order = { epoch: this.#epoch, rows };
    return rows;
  }
}
