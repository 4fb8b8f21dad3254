import { z } from "zod";
import type { AdamWState } from "../../tensor/optimizer.ts";
import type { Config } from "../config/schema.ts";
import type { ModulePrints } from "../config/user_modules.ts";
import type { Checkpoint, Checkpoints } from "../run/checkpoints.ts";
import type { Collector } from "./collect.ts";
import type { SavedData } from "./passes.ts";

/** The part of a checkpoint besides the model. */
export interface Saved extends SavedData, Record<string, unknown> {
  readonly config: Config;
  readonly step: number;
  readonly klCoefficient: number;
  /** The number of batches of prompts that were drawn. */
  readonly draws: number;
  /** The state of dynamic sampling. */
  readonly sampling: ReturnType<Collector["state"]> | undefined;
  readonly optimizer: AdamWState;
  /** The lanes in which gradients are summed. Checkpoints of earlier versions lack it: 1. */
  readonly lanes?: number;
  /** The prints of users' modules. Checkpoints of earlier versions lack it. */
  readonly modules?: ModulePrints;
  /** The attention heads that a rule has chosen, as [layer, head]. */
  readonly heads?: readonly (readonly [layer: number, head: number])[] | undefined;
  /** In a checkpoint within the warm start: the steps of the warm start that are done. */
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
  lanes: count.optional(),
  heads: z.array(z.tuple([count, count])).min(1).optional(),
  modules: z.record(z.string(), z.string()).optional(),
  data: z.object({ train: files, val: files }).optional(),
  origin: z.object({ epoch: count, draws: count, step: count }).optional(),
});

/** Checks a checkpoint's state. @throws {Error} that names the keys that are wrong. */
function checkSaved({ step, state }: Checkpoint): void {
  const { success, error, data } = schema.safeParse(state);
  if (!success) throw new Error(error.issues.map(({ path, message }) => `state.${path.join(".")}: ${message}`).join("; "));
  const saved = data.warm ?? data.step;
  if (saved !== step) throw new Error(`state.${data.warm === undefined ? "step" : "warm"} is ${saved}, in the checkpoint of ${step}`);
}

/**
 * Returns the newest whole checkpoint of the first kind that has any. Newer ones that are torn or were edited are renamed to
 * `step-N.discarded`, so that they do not count when the run prunes its checkpoints.
 *
 * @param note Receives a message for each checkpoint that was passed over.
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
