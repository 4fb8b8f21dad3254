import { Random } from "../tensor/random.ts";

/** The position of a sampler, as plain data. */
export interface SamplerState {
  /** The number of completed passes over the data. */
  readonly epoch: number;
  /** The number of rows of the current pass that were drawn. */
  readonly position: number;
}

/**
 * Draws row indices in training order. Each epoch has each row once, in an order that depends only on the seed and the epoch. For endless
 * data, the indices count up. Two samplers of the same size, seed and state draw the same indices.
 *
 * @example
 * ```ts
 * import { ShuffledSampler } from "@kedge/kedge/data";
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
  /** The number of rows in an epoch. */
  readonly size: number;
  readonly #seed: number;
  readonly #shuffle: boolean;
  #epoch = 0;
  #position = 0;
  #order: { readonly epoch: number; readonly rows: Uint32Array } | undefined;

  /**
   * Makes a sampler at its start.
   *
   * @param size The number of rows; Infinity for endless data.
   * @param options `seed`: a safe integer of at least 0. `shuffle`: false for the rows' own order. Default: true.
   * @throws {RangeError} for a size or seed out of range.
   */
  constructor(size: number, options: { seed: number; shuffle?: boolean }) {
    const fits = size === Infinity || (Number.isInteger(size) && size > 0 && size < 2 ** 32);
    if (!fits) throw new RangeError(`Cannot sample from ${size} rows: the number must be 1 to ${2 ** 32 - 1}, or Infinity`);
    this.size = size;
    this.#shuffle = (options.shuffle ?? true) && size !== Infinity;
    this.#seed = new Random(options.seed).bits();
  }

  /** The position between two calls of `next`. */
  get state(): SamplerState {
    return { epoch: this.#epoch, position: this.#position };
  }

  /**
   * Restores the position of a sampler of the same size and seed.
   *
   * @throws {RangeError} for a state that is impossible for this size.
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
   * Draws the next row indices. If the epoch ends among them, they continue in the next epoch.
   *
   * @param count The number of indices.
   * @throws {RangeError} for a count that is not an integer of at least 0.
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

  /** Returns the order of this epoch. */
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
