/**
 * Qwen3-VL, dense (arXiv 2511.21631): the decoder of Qwen3 with interleaved M-RoPE, and a vision tower that gives features for the decoder's first blocks, too.
 * A video stands in the prompt time step by time step, each after its time in words.
 *
 * @module
 */
import type { ModelConfig } from "../config/types.ts";
import { decoderParameters, type ParameterSpec } from "../parameter_list.ts";
import type { Family } from "../family.ts";
import { interleavedRope, placeSpans } from "../positions.ts";
import type { Prompt } from "../prompt.ts";
import { NESTED_SPELLING } from "../spelling.ts";
import { geluTowerElements, headNormBlock, headNormElements } from "../transformer/block.ts";
import { geluTowerPeak, towerBytes } from "../vision/bytes.ts";
import { addMerger, towerParameters } from "../vision/parameters.ts";
import { type VisualSpan, visualSpans } from "../visual_spans.ts";
import { change, type DeepstackVision, parse, write } from "./config_file.ts";
import { presetOf, presets } from "./presets.ts";
import { qwen3Processor } from "./processor.ts";
import { encodeVisuals } from "./vision_tower.ts";

/** All parameters, in the order of a forward pass. */
function parameterSpecs({ text, vision }: ModelConfig & { vision: DeepstackVision }): ParameterSpec[] {
  const prefix = "model.visual", { hiddenSize, mergeSize } = vision;
  const tower = towerParameters(vision, {
    prefix,
    mlp: ["mlp.linear_fc1", "mlp.linear_fc2"],
    patchBias: true,
    positions: vision.positionEmbeddings,
  });
  const merger = (name: string, key: string, normed: number) => {
    tower.layernorm(`${name}.norm`, `${key}.norm`, normed);
    addMerger(tower, vision, { name, up: `${key}.linear_fc1`, down: `${key}.linear_fc2` });
  };
  for (const i of vision.deepstackBlocks.keys()) {
    merger(`visual.deepstack.${i}`, `${prefix}.deepstack_merger_list.${i}`, hiddenSize * mergeSize ** 2);
  }
  merger("visual.merger", `${prefix}.merger`, hiddenSize);
  const qkvBias = text.attentionBias ?? false;
  return [...tower.specs, ...decoderParameters(text, { qkvBias, outBias: qkvBias, headNorms: true, prefix: "model.language_model" })];
}

/** Each time step of a video is a run of its own. */
const spansOf = (prompt: Prompt, config: ModelConfig): VisualSpan[] => visualSpans(prompt, config, { stepsApart: true });

const featureCount = ({ deepstackBlocks }: DeepstackVision): number => 1 + deepstackBlocks.length;

/** The family of Qwen3-VL. */
export const qwen3vl: Family = {
  modelType: "qwen3_vl",
  published: "Qwen3-VL 2B, 4B, 8B and 32B, dense",
  config: { parse, write, change },
  presets,
  presetOf,
  parameterSpecs,
  spelling: NESTED_SPELLING,
  visualSpans: spansOf,
  positions: (prompt, config) => placeSpans(prompt, { spans: spansOf(prompt, config), mergeSize: config.vision.mergeSize }),
  rope: interleavedRope,
  block: headNormBlock,
  blockElements: headNormElements,
  towerElements: geluTowerElements,
  encodeVisuals,
  featureCount,
  visionBytes(vision: DeepstackVision, dtype, patches) {
    const { hiddenSize: d, mergeSize, outHiddenSize } = vision;
    // The mapped patches, their positions and the sum; an index and a weight of each of four embeddings.
    const kept = (featureCount(vision) - 1) * outHiddenSize / mergeSize ** 2;
    return towerBytes(vision, { dtype, patches }, { mlp: geluTowerPeak(vision), embedding: 3 * d, kept, tables: 32 });
  },
  processor: qwen3Processor,
};
