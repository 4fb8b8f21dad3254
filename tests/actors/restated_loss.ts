/** The built-in loss "ppo", restated as a user's module. */
import { type LossInput, plainPolicyLoss } from "../../rl/losses/plain_loss.ts";

export const loss = (response: LossInput, options: Readonly<Record<string, unknown>>) =>
  plainPolicyLoss(response, { kind: "ppo", ...options });
