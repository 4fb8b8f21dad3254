/**
 * The config.json of a Qwen2.5-VL in both of its layouts: flat, with the decoder's keys at the top, as the hub's files have it; and nested, with a
 * `text_config`, as later versions of transformers save it. Keys and defaults are those of transformers' Qwen2_5_VLConfig (5.17).
 *
 * @module
 */
import { changeConfig, type ConfigChange, equal, flatConfig, visionJson } from "../config/config_writer.ts";
import { parseDtype } from "../config/dtype.ts";
import type { Json } from "../config/folder_files.ts";
import { count, field, MEASURE } from "../config/kinds.ts";
import type { Section } from "../config/section.ts";
import { MLP, parseText, QWEN2_TEXT, WIDTH } from "../config/text_config.ts";
import { parseTokens } from "../config/tokens.ts";
import type { ModelConfig, TextConfig, VisionConfig } from "../config/types.ts";
import { parseBlockList, parseVisionNumbers, visionFields } from "../config/vision_config.ts";

/** The sizes of a tower with attention windows. */
export type WindowedVision = VisionConfig & Required<Pick<VisionConfig, "windowSize" | "fullAttentionBlocks" | "tokensPerSecond">>;

const VISION_FIELDS = {
  ...visionFields({ depth: 32, heads: 16, patchSize: 14 }),
  hiddenSize: field("hidden_size", 3584, WIDTH),
  intermediateSize: field("intermediate_size", 3420, MLP),
  windowSize: field("window_size", 112, count(2 ** 16)),
  outHiddenSize: field("out_hidden_size", 3584, WIDTH),
  tokensPerSecond: field("tokens_per_second", 4, MEASURE),
} as const;
const FULL_ATTENTION = "fullatt_block_indexes";

function parseVision(top: Section, text: TextConfig): WindowedVision {
  const section = top.child("vision_config");
  const sizes = parseVisionNumbers(section, { top, text, activation: "silu", fields: VISION_FIELDS });
  const { depth, patchSize, mergeSize, windowSize } = sizes, unit = patchSize * mergeSize;
  const window = `is ${windowSize}, no multiple of patch_size * spatial_merge_size, which is ${unit}`;
  section.check("window_size patch_size spatial_merge_size", windowSize % unit === 0, window);
  return { ...sizes, fullAttentionBlocks: parseBlockList(section, FULL_ATTENTION, { depth, fallback: [7, 15, 23, 31] }) };
}

/** Reads the config of a file. Unknown keys are ignored; absent ones have transformers' defaults. Faults are added to the section's list. */
export function parse(top: Section, generation: Json | undefined): Omit<ModelConfig, "modelType"> {
  const text = parseText(top, QWEN2_TEXT), vision = parseVision(top, text);
  const tokens = parseTokens(top, { vocabSize: text.vocabSize, generation });
  return { text, vision, tokens, dtype: parseDtype(top) };
}

/** The object of a new file, in the flat layout. */
export function write(config: ModelConfig & { vision: WindowedVision }): Json {
  const { vision } = config;
  return flatConfig(config, {
    architecture: "Qwen2_5_VLForConditionalGeneration",
    vision: {
      "depth": vision.depth,
      "hidden_act": "silu",
      "hidden_size": vision.hiddenSize,
      "intermediate_size": vision.intermediateSize,
      "num_heads": vision.heads,
      "in_channels": vision.channels,
      "in_chans": vision.channels,
      "out_hidden_size": vision.outHiddenSize,
      "patch_size": vision.patchSize,
      "spatial_merge_size": vision.mergeSize,
      "spatial_patch_size": vision.patchSize,
      "window_size": vision.windowSize,
      [FULL_ATTENTION]: [...vision.fullAttentionBlocks],
      "tokens_per_second": vision.tokensPerSecond,
      "temporal_patch_size": vision.temporalPatchSize,
    },
  });
}

/** Changes the object of a file, which holds `before`, so that it holds `after`; its layout and its other keys stay. */
export function change(json: Json, configs: ConfigChange): void {
  changeConfig(json, configs, { text: QWEN2_TEXT, vision: VISION_FIELDS });
  const [before, after] = [configs.before, configs.after].map(({ vision }) => vision.fullAttentionBlocks ?? []);
  if (!equal(after, before)) visionJson(json)[FULL_ATTENTION] = [...after!];
}
