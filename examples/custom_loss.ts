/**
 * A policy loss of your own: `algorithm: { loss: "./custom_loss.ts" }`, or `loss: { kind: "module", use: "./custom_loss.ts", options: { cap: 1 } }`.
 * It is called for each response, in the training process, with all of its permissions.
 *
 * Tapered off-policy REINFORCE (Le Roux et al., arXiv 2503.14286): -A log pi for good answers; for bad ones -A sg[min(r, cap)] log pi, so that an
 * answer which the policy has already left pulls no more. r = pi / old pi; sg[x] is x without a gradient.
 *
 * @module
 */
import type { LossInput, LossOutput } from "@kedge/kedge/rl";

/** The loss of one response, and its derivative by each log-prob. */
export default function loss(response: LossInput, options: Readonly<Record<string, unknown>>): LossOutput {
  const { logprobs, old, advantages, mask, weights } = response, cap = typeof options.cap === "number" ? options.cap : 1;
  const gradient = new Float64Array(logprobs.length);
  let loss = 0;
  for (let t = 0; t < logprobs.length; t++) {
    if (mask[t] === 0) continue;
    const A = advantages[t]!, taper = A >= 0 ? 1 : Math.min(cap, Math.exp(logprobs[t]! - old[t]!));
    gradient[t] = weights[t]! * -A * taper;
    loss += gradient[t]! * logprobs[t]!;
  }
  return { loss, gradient };
}
