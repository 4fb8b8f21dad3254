import { Tensor } from "../../tensor/tensor.ts";
import type { ModelConfig } from "../config/config.ts";
import type { ModelParts } from "../family.ts";

/**
 * Tokens that a response never holds unless the caller says otherwise: the placeholders of pictures and the vision markers.
 *
 * @example
 * ```ts
 * import { defaultSuppress, presetConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * assertEquals(defaultSuppress(presetConfig("tiny", { tokens, vocabSize: 95 })), [90, 91, 92, 93]);
 * ```
 */
export function defaultSuppress(config: ModelConfig): number[] {
  const { image, video, visionStart, visionEnd } = config.tokens;
  return [image, video, visionStart, visionEnd].filter((id) => id >= 0 && id < config.text.vocabSize);
}

/**
 * A mask of suppressed tokens for `VisionLanguageModel.logProbs`, so that training has the distribution of the engine. The caller frees it.
 *
 * @param tokens Default as of the engine.
 * @returns u8 [vocab], 1 where suppressed.
 *
 * @example
 * ```ts
 * import { type ModelParts, suppressionMask } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 2, video: 3, visionStart: 4, visionEnd: 5 };
 * const model = { device, config: { text: { vocabSize: 7 }, tokens } } as unknown as ModelParts;
 * using mask = suppressionMask(model);
 * assertEquals([...mask.toArray()], [0, 0, 1, 1, 1, 1, 0]);
 * ```
 */
export function suppressionMask(
  model: Pick<ModelParts, "device" | "config">,
  tokens: readonly number[] = defaultSuppress(model.config),
): Tensor {
  const mask = new Uint8Array(model.config.text.vocabSize);
  for (const token of tokens) {
    if (!Number.isInteger(token) || token < 0 || token >= mask.length) {
      throw new RangeError(`Cannot suppress token ${token}: the vocabulary has ${mask.length}`);
    }
    mask[token] = 1;
  }
  return Tensor.from(model.device, mask);
}
