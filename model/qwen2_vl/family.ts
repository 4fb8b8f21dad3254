/**
 * Qwen2-VL (arXiv 2409.12191): the decoder of Qwen2 with M-RoPE, and a vision tower whose patches attend over their whole frame.
 *
 * @module
 */
import type { ModelConfig } from "../config/types.ts";
import { decoderParameters, type ParameterSpec } from "../parameter_list.ts";
import type { Family } from "../family.ts";
import { placeSpans, sectionedRope } from "../positions.ts";
import { qwen2Processor } from "../processor/qwen2_processor.ts";
import { PLAIN_SPELLING } from "../spelling.ts";
import { gatedElements, geluTowerElements, preNormBlock } from "../transformer/block.ts";
import { geluTowerPeak, towerBytes } from "../vision/bytes.ts";
import { addMerger, towerParameters } from "../vision/parameters.ts";
import { visualSpans } from "../visual_spans.ts";
import { change, parse, write } from "./config_file.ts";
import { presetOf, presets } from "./presets.ts";
import { encodeVisuals } from "./vision_tower.ts";

/** All parameters, in the order of a forward pass. */
function parameterSpecs({ text, vision }: ModelConfig): ParameterSpec[] {
  const tower = towerParameters(vision, { prefix: "visual", mlp: ["mlp.fc1", "mlp.fc2"], patchBias: false });
  tower.layernorm("visual.merger.norm", "visual.merger.ln_q", vision.hiddenSize);
  addMerger(tower, vision, { name: "visual.merger", up: "visual.merger.mlp.0", down: "visual.merger.mlp.2" });
  return [...tower.specs, ...decoderParameters(text, { qkvBias: true })];
}

/** The family of Qwen2-VL. */
export const qwen2vl: Family = {
  modelType: "qwen2_vl",
  published: "Qwen2-VL 2B, 7B and 72B",
  config: { parse, write, change },
  presets,
  presetOf,
  parameterSpecs,
  spelling: PLAIN_SPELLING,
  visualSpans,
  positions: (prompt, config) => placeSpans(prompt, { spans: visualSpans(prompt, config), mergeSize: config.vision.mergeSize }),
  rope: sectionedRope,
  block: preNormBlock,
  blockElements: gatedElements,
  towerElements: geluTowerElements,
  encodeVisuals,
  featureCount: () => 1,
  visionBytes: (vision, dtype, patches) => towerBytes(vision, { dtype, patches }, { mlp: geluTowerPeak(vision) }),
  processor: qwen2Processor("Qwen2VLProcessor"),
};
