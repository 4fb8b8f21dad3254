import type { ModelConfig, VisionConfig } from "../config/types.ts";
import { decoderParameters, ParameterList, type ParameterSpec } from "../parameter_list.ts";
import { addMerger, addPatchMap } from "../vision/parameters.ts";

/** All parameters of a Qwen2.5-VL, in the order of a forward pass. */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  return [...towerParameters(config.vision), ...decoderParameters(config.text, { qkvBias: true })];
}

function towerParameters(vision: VisionConfig): ParameterSpec[] {
  const list = new ParameterList(true), { hiddenSize, intermediateSize } = vision;
  const linear = (name: string, inputs: number, parts: readonly (readonly [key: string, rows: number])[]) =>
    list.linear(name, { inputs, parts, bias: true });
  addPatchMap(list, vision, { key: "visual.patch_embed.proj", bias: false });
  for (let i = 0; i < vision.depth; i++) {
    const block = `visual.blocks.${i}`; // the hub's spelling, too
    list.norm(`${block}.norm1`, `${block}.norm1`, hiddenSize);
    linear(`${block}.qkv`, hiddenSize, [[`${block}.attn.qkv`, 3 * hiddenSize]]);
    linear(`${block}.out`, hiddenSize, [[`${block}.attn.proj`, hiddenSize]]);
    list.norm(`${block}.norm2`, `${block}.norm2`, hiddenSize);
    linear(`${block}.gateUp`, hiddenSize, [[`${block}.mlp.gate_proj`, intermediateSize], [`${block}.mlp.up_proj`, intermediateSize]]);
    linear(`${block}.down`, intermediateSize, [[`${block}.mlp.down_proj`, hiddenSize]]);
  }
  list.norm("visual.merger.norm", "visual.merger.ln_q", hiddenSize);
  addMerger(list, vision, { name: "visual.merger", up: "visual.merger.mlp.0", down: "visual.merger.mlp.2" });
  return list.specs;
}
