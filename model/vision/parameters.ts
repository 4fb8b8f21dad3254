import type { VisionConfig } from "../config/types.ts";
import { ParameterList } from "../parameter_list.ts";

/** How a folder names the parts of a tower. */
interface TowerNames {
  /** The prefix of all, as "visual". */
  readonly prefix: string;
  /** The two layers of a block's MLP. */
  readonly mlp: readonly [up: string, down: string];
  /** Whether the linear map of the patches has a bias. */
  readonly patchBias: boolean;
  /** Learned position embeddings. Default: none. */
  readonly positions?: number;
}

/** A list with the linear map of the patches and the blocks of a tower with LayerNorm and MLPs of two layers. */
export function towerParameters(vision: VisionConfig, names: TowerNames): ParameterList {
  const list = new ParameterList(true), { hiddenSize, intermediateSize } = vision, { prefix, mlp: [up, down] } = names;
  addPatchMap(list, vision, { key: `${prefix}.patch_embed.proj`, bias: names.patchBias });
  if (names.positions) list.add("visual.positions", "positions", [[`${prefix}.pos_embed.weight`, [names.positions, hiddenSize]]]);
  for (let i = 0; i < vision.depth; i++) {
    const name = `visual.blocks.${i}`, key = `${prefix}.blocks.${i}`;
    const linear = (own: string, inputs: number, [theirs, rows]: readonly [key: string, rows: number]) =>
      list.linear(`${name}.${own}`, { inputs, parts: [[`${key}.${theirs}`, rows]], bias: true });
    list.layernorm(`${name}.norm1`, `${key}.norm1`, hiddenSize);
    linear("qkv", hiddenSize, ["attn.qkv", 3 * hiddenSize]);
    linear("out", hiddenSize, ["attn.proj", hiddenSize]);
    list.layernorm(`${name}.norm2`, `${key}.norm2`, hiddenSize);
    linear("up", hiddenSize, [up, intermediateSize]);
    linear("down", intermediateSize, [down, hiddenSize]);
  }
  return list;
}

/** Adds the linear map of the patches, which a folder holds as a convolution. */
export function addPatchMap(list: ParameterList, vision: VisionConfig, { key, bias }: { key: string; bias: boolean }): void {
  const { hiddenSize, channels, temporalPatchSize, patchSize } = vision;
  list.add("visual.patch.weight", "matrix", [[`${key}.weight`, [hiddenSize, channels, temporalPatchSize, patchSize, patchSize]]]);
  if (bias) list.add("visual.patch.bias", "bias", [[`${key}.bias`, [hiddenSize]]]);
}

/** Adds the two layers of a merger. */
export function addMerger(list: ParameterList, vision: VisionConfig, names: { name: string; up: string; down: string }): void {
  const { name, up, down } = names, inputs = vision.hiddenSize * vision.mergeSize ** 2;
  list.linear(`${name}.up`, { inputs, parts: [[up, inputs]], bias: true });
  list.linear(`${name}.down`, { inputs, parts: [[down, vision.outHiddenSize]], bias: true });
}
