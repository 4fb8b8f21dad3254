import type { DerivedNumbers } from "./derived.ts";
import { bytesWords } from "./pass_estimate.ts";
import type { Config } from "./types.ts";

/**
 * Computes what a rank of a run on several ranks holds, and what it sends in a step. The parts of the optimizer are taken as even.
 *
 * @param numbers Those of the run on one process.
 * @returns Lines for the screen, and bytes of both; undefined where the model is not known.
 *
 * @example
 * ```ts
 * import { configSchema } from "./schema.ts";
 * import { rankEstimate } from "./rank_estimate.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const memory = { weights: 400, adapters: 0, gradients: 400, moments: 800, masters: 0, reference: 0, cache: 0, activations: 0, total: 1600, gpus: [] };
 * const counts = { samples: 1, updates: 2, updateSamples: 1, groupTokens: 1, stepTokens: 1, microBatches: 1, prompts: 1, runUpdates: 2 };
 * const numbers = { ...counts, trained: 100, memory };
 * const { bytes, sent } = rankEstimate(configSchema.parse({}), numbers, 4)!;
 * assertEquals([bytes, sent], [1600 - 600, 2 * (300 + 300)]); // of moments a quarter; three quarters of gradients and weights
 * ```
 */
export function rankEstimate(
  { world: { shard } }: Config,
  { memory, trained, updates }: DerivedNumbers,
  ranks: number,
): { lines: string[]; bytes: number; sent: number } | undefined {
  if (!memory || trained === undefined) return undefined;
  const state = memory.moments + memory.masters, kept = shard === "optimizer" ? state / ranks : state;
  const weights = memory.adapters > 0 ? memory.adapters : Math.min(memory.weights, memory.gradients), away = (ranks - 1) / ranks;
  const bytes = memory.total - state + kept, returned = shard === "optimizer" ? weights : memory.gradients;
  const sent = updates * away * (memory.gradients + returned);
  const share = shard === "optimizer" ? `${bytesWords(state)} of the optimizer / ${ranks}` : "the whole optimizer";
  const back = shard === "optimizer" ? "weights" : "gradients";
  return {
    lines: [
      `memory of a rank = ${share} = ${bytesWords(kept)}, with the rest ~ ${bytesWords(bytes)}`,
      `sent by a rank in a step = ${updates} x ${ranks - 1}/${ranks} x (${bytesWords(memory.gradients)} gradients + ${
        bytesWords(returned)
      } ${back}) = ${bytesWords(sent)}`,
    ],
    bytes,
    sent,
  };
}
