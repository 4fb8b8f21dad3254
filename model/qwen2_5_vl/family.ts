/**
 * Qwen2.5-VL (Qwen2.5-VL technical report, arXiv 2502.13923): the decoder of Qwen2.5 with M-RoPE, and a vision tower with attention windows.
 *
 * @module
 */
import type { Family } from "../family.ts";
import { qwen2Processor } from "../processor/qwen2_processor.ts";
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
  processor: qwen2Processor("Qwen2_5_VLProcessor"),
};
