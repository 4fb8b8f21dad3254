import { checkBatch, type RewardBatch, spread } from "./batch.ts";
import { gdpo, reinforcePlusPlus, reinforcePlusPlusBaseline, remax } from "./by_token.ts";
import { drGrpo, gpg, grpo, grpoPassK, opo, rloo } from "./group_relative.ts";

/** The estimators that turn rewards into advantages. */
export type Estimator =
  | { kind: "grpo"; epsilon?: number }
  | { kind: "dr_grpo" }
  | { kind: "rloo" }
  | { kind: "reinforce_plus_plus"; gamma?: number }
  | { kind: "reinforce_plus_plus_baseline" }
  | { kind: "grpo_passk"; epsilon?: number }
  | { kind: "remax" }
  | { kind: "opo" }
  | { kind: "gpg"; count?: "nonzero" | "valid" }
  | { kind: "gdpo"; weights?: Readonly<Record<string, number>>; epsilon?: number };

/**
 * Computes the advantages of every token, packed [tokens]. They are 0 where the mask is 0, and for a response that is not graded. No
 * estimator uses a value network.
 *
 * @throws {RangeError} if the batch's arrays do not match, or lack what the estimator needs.
 * @example Two answers to one prompt, one of them right
 * ```ts
 * import { estimateAdvantages } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const batch = { rewards: [1, 0], groups: ["a", "a"], lengths: [2, 1] };
 * assertEquals([...estimateAdvantages({ kind: "dr_grpo" }, batch)], [0.5, 0.5, -0.5]);
 * ```
 */
export function estimateAdvantages(estimator: Estimator, batch: RewardBatch): Float64Array {
  checkBatch(estimator.kind, batch);
  switch (estimator.kind) {
    case "grpo":
      return spread(grpo(batch, estimator), batch);
    case "dr_grpo":
      return spread(drGrpo(batch), batch);
    case "rloo":
      return spread(rloo(batch), batch);
    case "grpo_passk":
      return spread(grpoPassK(batch, estimator), batch);
    case "opo":
      return spread(opo(batch), batch);
    case "gpg":
      return spread(gpg(batch, estimator), batch);
    case "reinforce_plus_plus":
      return reinforcePlusPlus(batch, estimator);
    case "reinforce_plus_plus_baseline":
      return reinforcePlusPlusBaseline(batch);
    case "remax":
      return remax(batch);
    case "gdpo":
      return gdpo(batch, estimator);
  }
}
