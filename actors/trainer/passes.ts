import { ShuffledSampler } from "../../data/sampler.ts";
import { checkData } from "../config/resume.ts";
import type { Config } from "../config/schema.ts";
import type { DataPrints } from "../messages.ts";

/** Where the passes over the current rows began. All numbers are 0 unless the files have changed during the run. */
export interface Origin {
  /** The number of the first of these passes. */
  readonly epoch: number;
  /** The number of batches that were drawn before. */
  readonly draws: number;
  /** The number of steps that were made before. */
  readonly step: number;
}

/** The origin of a run whose files have not changed. */
export const BEGINNING: Origin = { epoch: 0, draws: 0, step: 0 };

/**
 * The rows of each batch. They depend on the batch's number alone, so that a resumed run has the same batches. If the files have changed,
 * the pass under way ends, and the next batch is the first one of a new pass over the current rows, in a new order.
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

  /** Makes the passes. @param size The number of rows; Infinity if they are generated. */
  constructor(size: number, options: { seed: number; shuffle: boolean; batchSize: number; origin?: Origin }) {
    const { seed, shuffle, batchSize, origin = BEGINNING } = options;
    this.#size = size;
    this.#batchSize = batchSize;
    this.#origin = origin;
    this.#sampler = new ShuffledSampler(size, { seed, shuffle: shuffle && Number.isFinite(size) });
  }

  /** Returns the rows of a batch. */
  indices(batch: number): number[] {
    const { epoch, draws } = this.#origin, drawn = (batch - draws) * this.#batchSize;
    this.#sampler.restore({ epoch: epoch + Math.floor(drawn / this.#size), position: drawn % this.#size });
    return this.#sampler.next(this.#batchSize);
  }

  /** Returns the run's last step for so many epochs. A pass that was cut short by a change of the files counts as one epoch. */
  lastStep(epochs: number): number {
    const { epoch, step } = this.#origin;
    return step + Math.floor((epochs - epoch) * this.#size / this.#batchSize);
  }

  /** Returns where the passes over changed rows begin, after so many batches and steps. */
  after({ draws, step }: { draws: number; step: number }): Origin {
    return { epoch: this.#origin.epoch + Math.ceil((draws - this.#origin.draws) * this.#batchSize / this.#size), draws, step };
  }
}

/** What a checkpoint holds about the data. */
export interface SavedData {
  /** The files of rows. Checkpoints of earlier versions lack it. */
  readonly data?: DataPrints;
  /** Where the passes over these files began. Absent: at the start of the run. */
  readonly origin?: Origin;
  readonly draws: number;
  readonly step: number;
  /** The state of dynamic sampling. */
  readonly sampling: { readonly surplus: readonly unknown[] } | undefined;
}

/**
 * Compares the files of rows with those of a checkpoint.
 *
 * @returns `origin`: where the passes over the current rows begin. `isOther`: whether rows to train on have changed. `notes`: messages
 *   for the user.
 * @throws {KedgeError} `BadCheckpoint` if the files have changed and the configuration does not allow it.
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
