/**
 * Qwen2.5-VL (Qwen2.5-VL technical report, arXiv 2502.13923): the decoder of Qwen2.5 with M-RoPE, and a vision tower with attention windows.
 *
 * @module
 */
import type { Family } from "../family.ts";
import { sectionedRope } from "../positions.ts";
import { qwen2Processor } from "../processor/qwen2_processor.ts";
import { PLAIN_SPELLING } from "../spelling.ts";
import { gatedElements, gatedTowerElements, preNormBlock } from "../transformer/block.ts";
import { towerBytes } from "../vision/bytes.ts";
import { visualSpans } from "../visual_spans.ts";
import { change, parse, write } from "./config_file.ts";
import { parameterSpecs } from "./parameters.ts";
import { promptPositions } from "./positions.ts";
import { presetOf, presets } from "./presets.ts";
import { encodeVisuals } from "./vision_tower.ts";

/** The family of Qwen2.5-VL. */
export const qwen25vl: Family = {
  modelType: "qwen2_5_vl",
  published: "Qwen2.5-VL 3B, 7B, 32B and 72B",
  config: { parse, write, change },
  presets,
  presetOf,
  parameterSpecs,
  spelling: PLAIN_SPELLING,
  visualSpans,
  positions: promptPositions,
  rope: sectionedRope,
  block: preNormBlock,
  blockElements: gatedElements,
  towerElements: gatedTowerElements,
  encodeVisuals,
  featureCount: () => 1,
  visionBytes(vision, dtype, patches) {
    const { hiddenSize: d, intermediateSize: i } = vision;
    // The sum, its norm and both halves of the MLP; the sum, both halves, the gated; the sum, the gated, the result and the block's output.
    return towerBytes(vision, { dtype, patches }, { mlp: Math.max(2 * d + 2 * i, d + 3 * i, 3 * d + i) });
  },
  processor: qwen2Processor("Qwen2_5_VLProcessor"),
};
