/**
 * The config.json of a Qwen3-VL, whose decoder's keys are in a `text_config`. Keys and defaults are those of transformers' Qwen3VLConfig (5.17).
 *
 * @module
 */
import { changeConfig, type ConfigChange, decoderKeys, equal, setText, visionJson, visualTokenKeys } from "../config/config_writer.ts";
import { dtypeName, parseDtype } from "../config/dtype.ts";
import type { Json } from "../config/folder_files.ts";
import { count, field, FLAG } from "../config/kinds.ts";
import { type Section, textSection } from "../config/section.ts";
import { MLP, parseText, textFields, type TextRules, WIDTH } from "../config/text_config.ts";
import { parseTokens } from "../config/tokens.ts";
import type { ModelConfig, TextConfig, VisionConfig } from "../config/types.ts";
import { parseBlockList, parseVisionNumbers, visionFields } from "../config/vision_config.ts";

/** The sizes of a tower with learned positions, and with features for the decoder's first blocks. */
export type DeepstackVision = VisionConfig & Required<Pick<VisionConfig, "positionEmbeddings" | "deepstackBlocks">>;

const TEXT: TextRules = {
  fields: textFields({
    hiddenSize: 4096,
    intermediateSize: 22016,
    layers: 32,
    heads: 32,
    kvHeads: 32,
    vocabSize: 151936,
    maxPositions: 128000,
    rmsNormEps: 1e-6,
  }),
  headDim: field("head_dim", 128, count(2 ** 16)),
  ropeTheta: 500_000,
  mropeSection: [24, 20, 20],
  interleaved: true,
  newRope: { "rope_type": "default", "mrope_interleaved": true },
};
const VISION_FIELDS = {
  ...visionFields({ depth: 27, heads: 16, patchSize: 16 }),
  hiddenSize: field("hidden_size", 1152, WIDTH),
  intermediateSize: field("intermediate_size", 4304, MLP),
  outHiddenSize: field("out_hidden_size", 3584, WIDTH),
  positionEmbeddings: field("num_position_embeddings", 2304, count(2 ** 20)),
} as const;
const [ACTIVATION, DEEPSTACK, ATTENTION_BIAS] = ["gelu_pytorch_tanh", "deepstack_visual_indexes", "attention_bias"] as const;

function parseVision(top: Section, text: TextConfig): DeepstackVision {
  const section = top.child("vision_config");
  const sizes = parseVisionNumbers(section, { top, text, activation: ACTIVATION, fields: VISION_FIELDS });
  return { ...sizes, deepstackBlocks: parseBlockList(section, DEEPSTACK, { depth: sizes.depth, fallback: [8, 16, 24] }) };
}

/** Reads the config of a file. Unknown keys are ignored; absent ones have transformers' defaults. Faults are added to the section's list. */
export function parse(top: Section, generation: Json | undefined): Omit<ModelConfig, "modelType"> {
  const attentionBias = textSection(top).take([ATTENTION_BIAS], FLAG, false);
  const text = { ...parseText(top, TEXT), attentionBias }, vision = parseVision(top, text);
  const tokens = parseTokens(top, { vocabSize: text.vocabSize, generation });
  return { text, vision, tokens, dtype: parseDtype(top) };
}

/** The object of a new file, in the hub's layout. */
export function write(config: ModelConfig & { vision: DeepstackVision }): Json {
  const { modelType, text, vision, tokens, dtype } = config;
  return {
    architectures: ["Qwen3VLForConditionalGeneration"],
    "dtype": dtypeName(dtype),
    ...visualTokenKeys(tokens),
    "model_type": modelType,
    "text_config": {
      ...decoderKeys(config),
      [ATTENTION_BIAS]: text.attentionBias ?? false,
      "dtype": dtypeName(dtype),
      "head_dim": text.headDim,
      "model_type": "qwen3_vl_text",
      "rope_scaling": { "mrope_interleaved": true, "mrope_section": [...text.mropeSection], "rope_type": "default" },
    },
    "tie_word_embeddings": text.tied,
    "transformers_version": "4.57.0",
    "vision_config": {
      [DEEPSTACK]: [...vision.deepstackBlocks],
      "depth": vision.depth,
      "hidden_act": ACTIVATION,
      "hidden_size": vision.hiddenSize,
      "in_channels": vision.channels,
      "initializer_range": 0.02,
      "intermediate_size": vision.intermediateSize,
      "model_type": "qwen3_vl",
      "num_heads": vision.heads,
      "num_position_embeddings": vision.positionEmbeddings,
      "out_hidden_size": vision.outHiddenSize,
      "patch_size": vision.patchSize,
      "spatial_merge_size": vision.mergeSize,
      "temporal_patch_size": vision.temporalPatchSize,
    },
  };
}

/** Changes the object of a file, which holds `before`, so that it holds `after`; its layout and its other keys stay. */
export function change(json: Json, configs: ConfigChange): void {
  changeConfig(json, configs, { text: TEXT, vision: VISION_FIELDS });
  const { before, after } = configs, biased = after.text.attentionBias ?? false;
  if (biased !== (before.text.attentionBias ?? false)) setText(json, [ATTENTION_BIAS], biased);
  if (!equal(after.vision.deepstackBlocks, before.vision.deepstackBlocks)) {
    visionJson(json)[DEEPSTACK] = [...after.vision.deepstackBlocks ?? []];
  }
}
