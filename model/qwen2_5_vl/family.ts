/**
 * Qwen2.5-VL (Qwen2.5-VL technical report, arXiv 2502.13923): the decoder of Qwen2.5 with M-RoPE, and a vision tower with attention windows.
 *
 * @module
 */
import type { VisionConfig } from "../config/types.ts";
import type { Family } from "../family.ts";
import { visualTokens } from "../prompt.ts";
import { preNormBlock } from "../transformer/block.ts";
import { visualSpans } from "../visual_spans.ts";
import { parse } from "./config_file.ts";
import { change, write } from "./config_writer.ts";
import { parameterSpecs } from "./parameters.ts";
import { promptPositions, textRope } from "./positions.ts";
import { presetOf, presets } from "./presets.ts";
import { encodeVisuals, visionBytes } from "./vision_tower.ts";

/**
 * The hub's spelling of a tensor's name. transformers saves some models with `model.visual.` and `model.language_model.`, the inner model alone without the
 * `model.`, and wrapped decoders as `language_model.model.`.
 */
function canonical(name: string): string {
  return name.replace(/^language_model\.(?=lm_head\.)/, "").replace(/^model\.(?=visual\.)/, "")
    .replace(/^(model\.language_model\.|language_model\.model\.|language_model\.)/, "model.");
}

/** The image processor's settings, with the limits and normalisation of the hub's folders. */
function preprocessorConfig(vision: VisionConfig): Record<string, unknown> {
  return {
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "patch_size": vision.patchSize,
    "temporal_patch_size": vision.temporalPatchSize,
    "merge_size": vision.mergeSize,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
  };
}

/** The family of Qwen2.5-VL. */
export const qwen25vl: Family = {
  modelType: "qwen2_5_vl",
  config: { parse, write, change },
  presets,
  presetOf,
  parameterSpecs,
  spelling: {
    canonical,
    embedding: "model.embed_tokens.weight",
    head: "lm_head.weight",
    blocks: { text: "model.layers.", vision: "visual.blocks." },
  },
  visualSpans,
  positions: promptPositions,
  rope: textRope,
  block: preNormBlock,
  encodeVisuals,
  visionBytes,
  processor: {
    expand: ({ grid }, mergeSize) => [{ placeholders: visualTokens(grid, mergeSize) }],
    imageTypes: /^Qwen2(_5_)?VLImageProcessor(Fast|Pil)?$/,
    videoTypes: /^Qwen2(_5_)?VLVideoProcessor(Fast)?$/,
    config: preprocessorConfig,
  },
};
