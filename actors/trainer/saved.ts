import { z } from "zod";
import type { AdamWState } from "../../tensor/optimizer.ts";
import type { Config } from "../config/schema.ts";
import type { ModulePrints } from "../config/user_modules.ts";
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
  readonly optimizer: AdamWState;
  /** Users' modules as they were; checkpoints of earlier versions lack it. */
  readonly modules?: ModulePrints;
  /** Steps of the warm start that are done, of a checkpoint within it. */
  readonly warm?: number;
}

const count = z.int().nonnegative(), counts = z.record(z.string(), count), list = z.array(z.unknown());
const files = z.array(z.object({ name: z.string(), rows: count, bytes: count, hash: z.string() }));
const group = z.looseObject({
  index: count,
  lengths: z.array(count),
  tokens: z.array(count),
  logprobs: list,
  entropies: list,
  rewards: list,
});
const schema = z.looseObject({
  config: z.record(z.string(), z.unknown()),
  step: count,
  klCoefficient: z.number(),
  draws: count,
  sampling: z.looseObject({ surplus: z.array(group), tries: count, counts }).optional(),
  optimizer: z.object({ applied: count, skipped: count, skippedInRow: count, steps: counts }),
  warm: count.optional(),
  modules: z.record(z.string(), z.string()).optional(),
  data: z.object({ train: files, val: files }).optional(),
  origin: z.object({ epoch: count, draws: count, step: count }).optional(),
});

/** @throws {Error} that names the keys by which a checkpoint cannot be gone on from. */
function checkSaved({ step, state }: Checkpoint): void {
  const { success, error, data } = schema.safeParse(state);
  if (!success) throw new Error(error.issues.map(({ path, message }) => `state.${path.join(".")}: ${message}`).join("; "));
  const saved = data.warm ?? data.step;
  if (saved !== step) throw new Error(`state.${data.warm === undefined ? "step" : "warm"} is ${saved}, in the checkpoint of ${step}`);
}

/**
 * The newest checkpoint that is whole, of the first of these that have any. Those that are passed over, which are torn or were edited, make way: they are kept under
 * another name, `step-N.discarded`, so that they do not count among the newest of those that the run writes from now on.
 *
 * @param note Is told which were passed over, and why.
 */
export function newest(all: readonly Checkpoints[], note: (text: string) => void): Checkpoint | undefined {
  for (const checkpoints of all) {
    const { checkpoint, skipped } = checkpoints.latest(checkSaved);
    checkpoints.discardAfter(checkpoint?.step ?? -1);
    for (const words of skipped) note(`Passed over a checkpoint, which is kept under the name NAME.discarded: ${words}`);
    if (checkpoint) return checkpoint;
  }
  return undefined;
}
