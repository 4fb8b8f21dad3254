import { Tensor } from "../../tensor/tensor.ts";
import type { VisibleKeys } from "../credit/plain_score.ts";
import type { Responses } from "../credit/responses.ts";
import { ATRL_SCORES, type AtrlOptions } from "./options.ts";

/** The inputs of {@linkcode tokenScore}. */
export interface ScoreInputs {
  /** f32[tokens] */
  connectivity: Tensor;
  /** f32[tokens, regions], for the scores with "peak"; it may be absent where no prompt has visual tokens. */
  profile?: Tensor | undefined;
  /** f32[tokens]: the policy's entropy at each sampled token, for the scores with "entropy". */
  entropy?: Tensor | undefined;
  /** [responses], for `debias` "position". */
  visible?: readonly VisibleKeys[] | undefined;
}

/**
 * Computes the score of each token of packed responses, by which AT-RL tells tokens apart, with the kernel (kedge.h, kedge_token_score).
 * `plainScore` defines it.
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
  const { connectivity, profile, visible } = inputs, { score, debias } = options, { device, tokens, count } = responses;
  responses.check("connectivity", connectivity, { dtype: "f32" });
  if (score === "connectivity" && debias === "none") return connectivity.view();
  const regions = score.startsWith("peak") ? profile?.cols ?? 0 : 0, entropy = score.endsWith("entropy") ? inputs.entropy : undefined;
  if (score.endsWith("entropy") && !entropy) throw new RangeError(`Cannot score tokens by "${score}": the entropy is missing`);
  if (entropy) responses.check("entropy", entropy, { dtype: "f32" });
  if (regions > 0) responses.check("profile", profile!, { dtype: "f32", width: regions });
  if (debias === "position" && visible?.length !== count) {
    throw new RangeError(`Cannot debias the scores of ${count} responses by position: visible has ${visible?.length ?? 0} entries`);
  }
  using keys = debias === "position" ? Tensor.from(device, keyCounts(visible!)) : undefined;
  using stack = new DisposableStack();
  const scores = stack.use(Tensor.empty(device, [tokens]));
  // deno-fmt-ignore
  device.ops.tokenScore(
    scores.address, connectivity.address, regions > 0 ? profile!.address : 0, entropy?.address ?? 0, keys?.address ?? 0, ...responses.shape, regions,
    ATRL_SCORES.indexOf(score),
  );
  stack.move();
  return scores;
}

/** Returns the counts of visible keys as the kernel reads them: visual and other keys of each response. */
function keyCounts(visible: readonly VisibleKeys[]): Int32Array<ArrayBuffer> {
  return Int32Array.from(visible.flatMap(({ visual, other }, i) => {
    for (const keys of [visual, other]) {
      if (!(Number.isInteger(keys) && keys >= 0 && keys < 2 ** 31)) {
        throw new RangeError(`Cannot debias scores by position: response ${i} sees ${visual} visual and ${other} other keys`);
      }
    }
    return [visual, other];
  }));
}
