/**
 * The config.json of a Qwen2-VL, flat, as the hub's files have it, or nested, with a `text_config`. Keys and defaults are those of transformers'
 * Qwen2VLConfig (5.17). Its tower's `hidden_size` is the width of the embeddings that it gives, and `embed_dim` the width of its residual stream.
 *
 * @module
 */
import { changeConfig, type ConfigChange, flatConfig, visionJson } from "../config/config_writer.ts";
import { parseDtype } from "../config/dtype.ts";
import type { Json } from "../config/folder_files.ts";
import { count, field } from "../config/kinds.ts";
import type { Section } from "../config/section.ts";
import { parseText, QWEN2_TEXT, WIDTH } from "../config/text_config.ts";
import { parseTokens } from "../config/tokens.ts";
import type { ModelConfig, TextConfig, VisionConfig } from "../config/types.ts";
import { parseVisionNumbers, visionFields } from "../config/vision_config.ts";

const VISION_FIELDS = {
  ...visionFields({ depth: 32, heads: 16, patchSize: 14 }),
  hiddenSize: field("embed_dim", 1280, WIDTH),
  outHiddenSize: field("hidden_size", 3584, WIDTH),
} as const;
const MLP_RATIO = field("mlp_ratio", 4, count(64));

function parseVision(top: Section, text: TextConfig): VisionConfig {
  const section = top.child("vision_config");
  const sizes = parseVisionNumbers(section, { top, text, activation: "quick_gelu", fields: VISION_FIELDS });
  return { ...sizes, intermediateSize: sizes.hiddenSize * section.fields({ ratio: MLP_RATIO }).ratio };
}

/** The width of the MLP over that of the tower. @throws {RangeError} if it is no whole number. */
function mlpRatio({ hiddenSize, intermediateSize }: VisionConfig): number {
  const ratio = intermediateSize / hiddenSize;
  if (Number.isInteger(ratio)) return ratio;
  throw new RangeError(
    `Cannot write a config of qwen2_vl: the tower's MLP of ${intermediateSize} is no multiple of its width ${hiddenSize}`,
  );
}

/** Reads the config of a file. Unknown keys are ignored; absent ones have transformers' defaults. Faults are added to the section's list. */
export function parse(top: Section, generation: Json | undefined): Omit<ModelConfig, "modelType"> {
  const text = parseText(top, QWEN2_TEXT), vision = parseVision(top, text);
  const tokens = parseTokens(top, { vocabSize: text.vocabSize, generation });
  return { text, vision, tokens, dtype: parseDtype(top) };
}

/** The object of a new file, in the flat layout. */
export function write(config: ModelConfig): Json {
  const { vision } = config;
  return flatConfig(config, {
    architecture: "Qwen2VLForConditionalGeneration",
    vision: {
      "depth": vision.depth,
      "embed_dim": vision.hiddenSize,
      "mlp_ratio": mlpRatio(vision),
      "num_heads": vision.heads,
      "in_channels": vision.channels,
      "in_chans": vision.channels,
      "hidden_size": vision.outHiddenSize,
      "patch_size": vision.patchSize,
      "spatial_merge_size": vision.mergeSize,
      "spatial_patch_size": vision.patchSize,
      "temporal_patch_size": vision.temporalPatchSize,
    },
  });
}

/** Changes the object of a file, which holds `before`, so that it holds `after`; its layout and its other keys stay. */
export function change(json: Json, configs: ConfigChange): void {
  changeConfig(json, configs, { text: QWEN2_TEXT, vision: VISION_FIELDS });
  const [before, after] = [mlpRatio(configs.before.vision), mlpRatio(configs.after.vision)];
  if (after !== before) visionJson(json)[MLP_RATIO.keys[0]] = after;
}
