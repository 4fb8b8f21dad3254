import type { ModelConfig } from "./config/types.ts";
import { familyOf } from "./families.ts";
import type { ParameterSpec } from "./parameter_list.ts";

export type { ParameterPart, ParameterSpec } from "./parameter_list.ts";

/**
 * All parameters of a model, in the order of a forward pass.
 *
 * @example
 * ```ts
 * import { parameterSpecs, presetConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * const specs = parameterSpecs(presetConfig("tiny", { tokens, vocabSize: 95 }));
 * const fused = specs.find(({ name }) => name === "layers.0.qkv.weight")!;
 * assertEquals(fused.parts.map(({ key }) => key.split(".").at(-2)), ["q_proj", "k_proj", "v_proj"]);
 * ```
 */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  return familyOf(config).parameterSpecs(config);
}

/** Elements that the blocks of a model's decoder keep of each token for the backward, each of them. */
export function blockElements(config: ModelConfig): number {
  return familyOf(config).blockElements(config.text);
}
