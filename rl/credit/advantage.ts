import { Tensor } from "../../tensor/tensor.ts";
import type { Responses } from "./responses.ts";

/**
 * Weighted advantages, weight * A, and 0 outside the mask.
 *
 * @param responses The packing.
 * @param given `weights`: f32[tokens]; `advantage`: f32[count], or f32[tokens] with `perToken`; `mask`: u8[tokens], 0 for tokens that do not count.
 * @returns f32[tokens].
 *
 * @example
 * ```ts
 * import { Responses, weightedAdvantage } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [2, 1]);
 * using weights = Tensor.from(device, [0.5, 1.5, 1]);
 * using advantage = Tensor.from(device, [2, -1]);
 * using advantages = weightedAdvantage(responses, { weights, advantage });
 * assertEquals([...advantages.toArray()], [1, 3, -1]);
 * ```
 */
export function weightedAdvantage(
  responses: Responses,
  given: { weights: Tensor; advantage: Tensor; mask?: Tensor | undefined; perToken?: boolean },
): Tensor {
  const { weights, advantage, mask, perToken = false } = given, { device, tokens, count } = responses;
  responses.check("weights", weights, { dtype: "f32" });
  responses.check("advantages", advantage, { dtype: "f32", rows: perToken ? tokens : count });
  if (mask) responses.check("the mask", mask, { dtype: "u8" });
  using stack = new DisposableStack();
  const out = stack.use(Tensor.empty(device, [tokens]));
  device.ops.tokenAdvantage(out.address, weights.address, advantage.address, mask?.address ?? 0, ...responses.shape, perToken ? 1 : 0);
  stack.move();
  return out;
}
