/** AT-RL's own weights, restated as a user's module. */
import { atrlOptions } from "../../rl/atrl/options.ts";
import type { CreditInput } from "../../rl/credit/credit_module.ts";
import { plainScore } from "../../rl/credit/plain_score.ts";
import { plainWeights } from "../../rl/credit/plain_weights.ts";

export const credit = (response: CreditInput, given: Readonly<Record<string, unknown>>) => {
  const options = atrlOptions(given), scores = Float32Array.from(plainScore(response, options));
  return plainWeights({ ...response, connectivity: scores }, options);
};
