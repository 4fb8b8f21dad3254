import { Tensor } from "../../tensor/tensor.ts";
import { plainScore, type VisibleKeys } from "../credit/plain_score.ts";
import type { Responses } from "../credit/responses.ts";
import type { AtrlOptions } from "./options.ts";

/** The inputs of {@linkcode tokenScore}. */
export interface ScoreInputs {
  /** f32[tokens] */
  connectivity: Tensor;
  /** f32[tokens, regions], for the scores "peak" and "peak-entropy"; it may be absent where no prompt has visual tokens. */
  profile?: Tensor | undefined;
  /** f32[tokens]: the policy's entropy at each sampled token, for the scores with "entropy". */
  entropy?: Tensor | undefined;
  /** [responses], for `debias` "position". */
  visible?: readonly VisibleKeys[] | undefined;
}

/**
 * Computes the score of each token of packed responses, by which AT-RL tells tokens apart: `plainScore` of each response, on the host.
 *
 * @returns f32[tokens]; for the score "connectivity" without debiasing, a view of the connectivity.
 * @throws {RangeError} for an input that the options need and that is missing.
 *
 * @example
 * ```ts
 * import { atrlOptions, Responses, tokenScore } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [2]);
 * using connectivity = Tensor.from(device, [0.75, 0.5]);
 * using profile = Tensor.from(device, [0.5, 0.25, 0, 0.5], { shape: [2, 2] }); // its mean is 0.25, 0.375
 * using scores = tokenScore(responses, { connectivity, profile }, atrlOptions({ score: "peak" }));
 * assertEquals([...scores.toArray()], [0.25, 0.125]);
 * ```
 */
export function tokenScore(responses: Responses, inputs: ScoreInputs, options: Pick<AtrlOptions, "score" | "debias">): Tensor {
  const { connectivity, profile, visible } = inputs, { score, debias } = options, { device, offsets, tokens, count } = responses;
  responses.check("connectivity", connectivity, { dtype: "f32" });
  if (score === "connectivity" && debias === "none") return connectivity.view();
  const regions = score.startsWith("peak") ? profile?.cols ?? 0 : 0, entropy = score.endsWith("entropy") ? inputs.entropy : undefined;
  if (entropy) responses.check("entropy", entropy, { dtype: "f32" });
  if (regions > 0) responses.check("profile", profile!, { dtype: "f32", width: regions });
  if (debias === "position" && visible?.length !== count) {
    throw new RangeError(`Cannot debias the scores of ${count} responses by position: visible has ${visible?.length ?? 0} entries`);
  }
  const all = { c: connectivity.toFloats(), p: regions > 0 ? profile!.toFloats() : new Float32Array(), h: entropy?.toFloats() };
  const scores = new Float32Array(tokens);
  for (let i = 0; i < count; i++) {
    const [from, to] = [offsets[i]!, offsets[i + 1]!];
    const response = {
      connectivity: all.c.subarray(from, to),
      profile: all.p.subarray(from * regions, to * regions),
      regions,
      entropy: all.h?.subarray(from, to),
      visible: visible?.[i],
    };
    scores.set(plainScore(response, options), from);
  }
  return Tensor.from(device, scores);
}
