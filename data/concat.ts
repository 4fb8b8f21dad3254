import type { DataFile, Dataset, Sample } from "./sample.ts";

/**
 * Several data sets, one after the other.
 *
 * @example
 * ```ts
 * import { ConcatDataset, type Sample } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const numbers = (name: string, size: number) => ({
 *   name,
 *   size,
 *   sample: (index: number): Promise<Sample> => Promise.resolve({ id: `${name}:${index}`, messages: [], truth: index, fields: {} }),
 * });
 * const both = new ConcatDataset([numbers("a", 3), numbers("b", 2)]);
 * assertEquals([both.name, both.size], ["a + b", 5]);
 * assertEquals((await both.sample(3)).id, "b:0");
 * ```
 */
export class ConcatDataset implements Dataset {
  readonly name: string;
  readonly size: number;
  readonly files: readonly DataFile[];
  readonly #parts: readonly { readonly start: number; readonly dataset: Dataset }[];

  /**
   * Joins data sets.
   *
   * @param datasets One or more data sets. Only the last may be endless.
   * @throws {RangeError} for no data sets, and if a data set follows an endless one.
   */
  constructor(datasets: readonly Dataset[]) {
    if (datasets.length === 0) throw new RangeError("Cannot join data sets: there are none");
    const endless = datasets.slice(0, -1).find(({ size }) => size === Infinity);
    if (endless) throw new RangeError(`Cannot join data sets after ${endless.name}: it is endless`);
    let size = 0;
    this.#parts = datasets.map((dataset) => {
      const start = size;
      size += dataset.size;
      return { start, dataset };
    });
    this.size = size;
    this.files = datasets.flatMap(({ files = [] }) => files);
    this.name = datasets.map(({ name }) => name).join(" + ");
  }

  async sample(index: number): Promise<Sample> {
    const part = this.#parts.findLast(({ start, dataset }) => start <= index && dataset.size > 0);
    if (!Number.isInteger(index) || index >= this.size || part === undefined) {
      throw new RangeError(`Cannot read row ${index} of ${this.name}: it has ${this.size} rows`);
    }
    return await part.dataset.sample(index - part.start);
  }
}
