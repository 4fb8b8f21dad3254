import { type DType, DTYPE_BYTES } from "../../ffi/device.ts";
import type { VisionConfig } from "../config/types.ts";
import { patchWidth } from "./patches.ts";

/** Where a tower holds most, in elements for each patch. */
export interface TowerPeaks {
  /** Beside a block's input, from its second norm on. */
  readonly mlp: number;
  /** After the linear map of the patches, before the blocks. Default: the result alone. */
  readonly embedding?: number;
  /** Results of earlier blocks that are kept to the end. Default 0. */
  readonly kept?: number;
  /** Bytes of tables for each patch that the shared ones do not have. Default 0. */
  readonly tables?: number;
}

/**
 * An upper bound of the bytes that a tower holds if nothing is recorded, beside the weights and the device's workspace.
 *
 * @param size `dtype`: of the weights and activations; `patches`: of all visuals together.
 */
export function towerBytes(config: VisionConfig, { dtype, patches }: { dtype: DType; patches: number }, peaks: TowerPeaks): number {
  const { hiddenSize: d, mergeSize, outHiddenSize, heads } = config, raw = patchWidth(config);
  const { mlp, embedding = d, kept = 0, tables = 0 } = peaks, bytes = DTYPE_BYTES[dtype];
  // The patches in two orders, and their source: f32 patches, or bytes of frames.
  const cutting = raw * (2 * bytes + 4);
  const embedded = Math.max(raw + d, embedding) * bytes;
  // The block's input; then norm, q, k, v; q, k, v and what they mix with a log-sum-exp for each head; what the MLP holds.
  const inside = Math.max(4 * d + 4 * heads / bytes, mlp);
  const blocks = (d + inside + kept) * bytes + 8;
  // Norm and MLP of the merged tokens.
  const merging = (3 * d + 2 * outHiddenSize / mergeSize ** 2 + kept) * bytes + 8;
  // Rotary tables and the positions that they are made from; segments and orders; alignment of a hundred blocks.
  const shared = 4 * (d / heads) + 8 + 4 + 2 * 32;
  return patches * (Math.max(cutting, embedded, blocks, merging) + shared + tables) + 100 * 256;
}

/** The `mlp` of {@linkcode TowerPeaks} where the MLP is two layers with GELU between them. */
export function geluTowerPeak({ hiddenSize: d, intermediateSize: i }: VisionConfig): number {
  // The sum, its norm and the first layer; the sum, the first layer and its GELU; the sum, the GELU and the result; the sum, the result and the block's output.
  return Math.max(2 * d + i, d + 2 * i, 3 * d);
}
