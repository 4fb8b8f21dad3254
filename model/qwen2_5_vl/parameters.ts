import type { ModelConfig, VisionConfig } from "../config/types.ts";
import { decoderParameters, ParameterList, type ParameterSpec } from "../parameter_list.ts";

/** All parameters of a Qwen2.5-VL, in the order of a forward pass. */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  return [...towerParameters(config.vision), ...decoderParameters(config.text, { qkvBias: true })];
}

function towerParameters(vision: VisionConfig): ParameterSpec[] {
  const list = new ParameterList(true), { hiddenSize, intermediateSize, patchSize } = vision;
  const linear = (name: string, inputs: number, parts: readonly (readonly [key: string, rows: number])[]) =>
    list.linear(name, { inputs, parts, bias: true });
  const patch = [hiddenSize, vision.channels, vision.temporalPatchSize, patchSize, patchSize];
  list.add("visual.patch.weight", "matrix", [["visual.patch_embed.proj.weight", patch]]);
  for (let i = 0; i < vision.depth; i++) {
    const block = `visual.blocks.${i}`; // the hub's spelling, too
    list.norm(`${block}.norm1`, `${block}.norm1`, hiddenSize);
    linear(`${block}.qkv`, hiddenSize, [[`${block}.attn.qkv`, 3 * hiddenSize]]);
    linear(`${block}.out`, hiddenSize, [[`${block}.attn.proj`, hiddenSize]]);
    list.norm(`${block}.norm2`, `${block}.norm2`, hiddenSize);
    linear(`${block}.gateUp`, hiddenSize, [[`${block}.mlp.gate_proj`, intermediateSize], [`${block}.mlp.up_proj`, intermediateSize]]);
    linear(`${block}.down`, intermediateSize, [[`${block}.mlp.down_proj`, hiddenSize]]);
  }
  const merged = hiddenSize * vision.mergeSize ** 2;
  list.norm("visual.merger.norm", "visual.merger.ln_q", hiddenSize);
  linear("visual.merger.up", merged, [["visual.merger.mlp.0", merged]]);
  linear("visual.merger.down", merged, [["visual.merger.mlp.2", vision.outHiddenSize]]);
  return list.specs;
}
