/**
 * Sizes of models to make, of all families.
 *
 * @module
 */
import type { DType } from "../../ffi/device.ts";
import { FAMILIES, type PresetName } from "../families.ts";
import type { Preset } from "../family.ts";
import type { ModelConfig, SpecialTokens } from "./config.ts";

export type { PresetName } from "../families.ts";
export type { Preset } from "../family.ts";

/** The presets by name. */
export const presets: Readonly<Record<PresetName, Preset>> = Object.fromEntries(
  FAMILIES.flatMap((family) => Object.entries(family.presets)),
) as Record<PresetName, Preset>;

/**
 * The preset that has the sizes of a model of the hub.
 *
 * @param repo "owner/name".
 * @returns undefined for a model that is not known here.
 *
 * @example
 * ```ts
 * import { presetOf } from "./presets.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([presetOf("Qwen/Qwen2.5-VL-7B-Instruct"), presetOf("owner/other")], ["7b", undefined]);
 * ```
 */
export function presetOf(repo: string): PresetName | undefined {
  for (const family of FAMILIES) {
    const preset = family.presetOf(repo);
    if (preset !== undefined) return preset as PresetName;
  }
  return undefined;
}

/**
 * The config of a preset with a tokenizer's ids.
 *
 * @param options `vocabSize`: one more than the tokenizer's highest id. `dtype`: default the preset's.
 * @throws {RangeError} if the tokenizer has more tokens than the preset's embedding has rows.
 *
 * @example
 * ```ts
 * import { presetConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = { image: 300, video: 301, visionStart: 302, visionEnd: 303, eos: [304], bos: 304, pad: 304 };
 * const config = presetConfig("tiny", { tokens, vocabSize: 305 });
 * assertEquals([config.text.vocabSize, config.text.hiddenSize], [305, 96]);
 * ```
 */
export function presetConfig(name: PresetName, options: { tokens: SpecialTokens; vocabSize: number; dtype?: DType }): ModelConfig {
  const family = FAMILIES.find((family) => name in family.presets), preset = family?.presets[name];
  if (!family || !preset) throw new RangeError(`Cannot make a model: "${name}" is no preset; they are ${Object.keys(presets).join(", ")}`);
  const rows = preset.text.vocabSize || options.vocabSize;
  if (options.vocabSize > rows) {
    throw new RangeError(`Cannot make a ${name} model: the tokenizer has ${options.vocabSize} tokens, and the embedding ${rows} rows`);
  }
  return {
    modelType: family.modelType,
    text: { ...preset.text, vocabSize: rows },
    vision: preset.vision,
    tokens: options.tokens,
    dtype: options.dtype ?? preset.dtype,
  };
}
