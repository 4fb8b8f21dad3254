import { ShuffledSampler } from "../../data/sampler.ts";
import { checkData } from "../config/resume.ts";
import type { Config } from "../config/schema.ts";
import type { DataPrints } from "../messages.ts";

/** Where the passes over the rows as they are began: 0 throughout, but for a run whose files have changed. */
export interface Origin {
  /** Number of the first of these passes. */
  readonly epoch: number;
  /** Batches that were drawn before. */
  readonly draws: number;
  /** Steps that were made before. */
  readonly step: number;
}

/** Of a run whose files are what they were at its start. */
export const BEGINNING: Origin = { epoch: 0, draws: 0, step: 0 };

/**
 * Which rows each batch has: a pure function of its number, so that a resumed run has the same. Where the files have changed, the pass that was under way ends, and the
 * next batch is the first of a new pass over the rows as they are, in an order of its own.
 *
 * @example
 * ```ts
 * import { Passes } from "./passes.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const passes = new Passes(3, { seed: 1, shuffle: false, batchSize: 2 });
 * assertEquals([0, 1, 2].map((batch) => passes.indices(batch)), [[0, 1], [2, 0], [1, 2]]);
 * const origin = passes.after({ draws: 2, step: 2 }); // in the middle of the second pass
 * assertEquals(origin, { epoch: 2, draws: 2, step: 2 });
 * assertEquals(new Passes(5, { seed: 1, shuffle: false, batchSize: 2, origin }).indices(2), [0, 1]);
 * ```
 */
export class Passes {
  readonly #size: number;
  readonly #batchSize: number;
  readonly #origin: Origin;
  readonly #sampler: ShuffledSampler;

  /** @param size Rows; Infinity where they are generated. */
  constructor(size: number, options: { seed: number; shuffle: boolean; batchSize: number; origin?: Origin }) {
    const { seed, shuffle, batchSize, origin = BEGINNING } = options;
    this.#size = size;
    this.#batchSize = batchSize;
    this.#origin = origin;
    this.#sampler = new ShuffledSampler(size, { seed, shuffle: shuffle && Number.isFinite(size) });
  }

  /** The rows of a batch. */
  indices(batch: number): number[] {
    const { epoch, draws } = this.#origin, drawn = (batch - draws) * this.#batchSize;
    this.#sampler.restore({ epoch: epoch + Math.floor(drawn / this.#size), position: drawn % this.#size });
    return this.#sampler.next(this.#batchSize);
  }

  /** The run's last step where it goes `epochs` times through the rows; a pass that a change of the files has cut short counts as one. */
  lastStep(epochs: number): number {
    const { epoch, step } = this.#origin;
    return step + Math.floor((epochs - epoch) * this.#size / this.#batchSize);
  }

  /** Where the passes over other rows begin, after so many batches and steps. */
  after({ draws, step }: { draws: number; step: number }): Origin {
    return { epoch: this.#origin.epoch + Math.ceil((draws - this.#origin.draws) * this.#batchSize / this.#size), draws, step };
  }
}

/** What a checkpoint holds of the data. */
export interface SavedData {
  /** The files of rows; checkpoints of earlier versions lack it. */
  readonly data?: DataPrints;
  /** Where the passes over these files began; left out: with the run. */
  readonly origin?: Origin;
  readonly draws: number;
  readonly step: number;
  /** Of dynamic sampling. */
  readonly sampling: { readonly surplus: readonly unknown[] } | undefined;
}

/**
 * Compares the files of rows with those of a checkpoint.
 *
 * @returns `origin`: where passes over the rows as they are begin. `isOther`: whether rows to train on have changed. `notes`: what is to be said of it.
 * @throws {KedgeError} `BadCheckpoint` where they have changed and may not.
 */
export function resumeData(
  { data: old, origin = BEGINNING, draws, step, sampling }: SavedData,
  now: DataPrints,
  { data: { allowChanged, rolloutBatchSize: batchSize, shuffle }, seed }: Config,
): { origin: Origin; isOther: boolean; notes: string[] } {
  if (!old) {
    const words = "The checkpoint was written before files of rows were recorded: whether they have changed is not known";
    return { origin, isOther: false, notes: now.train.length > 0 ? [words] : [] };
  }
  const { train, words } = checkData(old, now, { allowed: allowChanged });
  const notes = words.length > 0 ? [`The data have changed since the checkpoint: ${words.join("; ")}`] : [];
  if (!train) return { origin, isOther: false, notes };
  const rows = old.train.reduce((sum, file) => sum + file.rows, 0), dropped = sampling && sampling.surplus.length > 0;
  notes.push(
    `A new pass over the rows as they are begins with step ${step + 1}${dropped ? "; answers that waited for a step are dropped" : ""}`,
  );
  return { origin: new Passes(rows, { seed, shuffle, batchSize, origin }).after({ draws, step }), isOther: true, notes };
}
