import type { AdamWState } from "../../tensor/optimizer.ts";
import type { Config } from "../config/schema.ts";
import type { Checkpoint, Checkpoints } from "../run/checkpoints.ts";
import type { Collector } from "./collect.ts";
import type { SavedData } from "./passes.ts";

/** What a checkpoint holds of the trainer. */
export interface Saved extends SavedData, Record<string, unknown> {
  readonly config: Config;
  readonly step: number;
  readonly klCoefficient: number;
  /** Batches of prompts that were drawn. */
  readonly draws: number;
  /** Of dynamic sampling. */
  readonly sampling: ReturnType<Collector["state"]> | undefined;
  readonly optimizer?: AdamWState;
  /** Steps of the warm start that are done, of a checkpoint within it. */
  readonly warm?: number;
}

/**
 * The newest checkpoint that is whole, of the first of these that have any.
 *
 * @param note Is told which were passed over, and why.
 */
export function newest(all: readonly Checkpoints[], note: (text: string) => void): Checkpoint | undefined {
  for (const checkpoints of all) {
    const { checkpoint, skipped } = checkpoints.latest();
    for (const words of skipped) note(`Passed over a checkpoint: ${words}`);
    if (checkpoint) return checkpoint;
  }
  return undefined;
}
