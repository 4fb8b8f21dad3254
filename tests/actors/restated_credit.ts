/** AT-RL's own weights, restated as a user's module. */
import { atrlOptions } from "../../rl/atrl/options.ts";
import type { CreditInput } from "../../rl/credit/credit_module.ts";
import { plainWeights } from "../../rl/credit/plain_weights.ts";

export const credit = (response: CreditInput, options: Readonly<Record<string, unknown>>) => plainWeights(response, atrlOptions(options));
