/**
 * Sizes of models to make: a small one, and those of the hub's Qwen2-VL-{2B,7B,72B}-Instruct.
 *
 * @module
 */
import { TINY_TEXT } from "../config/tiny_text.ts";
import type { TextConfig } from "../config/types.ts";
import type { Preset } from "../family.ts";

/** Names of the presets. */
export type Qwen2VLPreset = "qwen2-tiny" | "qwen2-2b" | "qwen2-7b" | "qwen2-72b";

const ROPE = { rmsNormEps: 1e-6, ropeTheta: 1e6 } as const;
const PATCHES = { channels: 3, patchSize: 14, temporalPatchSize: 2, mergeSize: 2 } as const;

function hub(text: Omit<TextConfig, "headDim" | "maxPositions" | "mropeSection" | keyof typeof ROPE>): Preset {
  return {
    dtype: "bf16",
    text: { ...ROPE, ...text, headDim: 128, maxPositions: 32768, mropeSection: [16, 24, 24] },
    vision: { ...PATCHES, depth: 32, hiddenSize: 1280, intermediateSize: 5120, heads: 16, outHiddenSize: text.hiddenSize },
  };
}

/** The presets by name. */
export const presets: Readonly<Record<Qwen2VLPreset, Preset>> = {
  "qwen2-tiny": {
    dtype: "f32",
    text: { ...TINY_TEXT, ...ROPE, headDim: 24, mropeSection: [4, 4, 4] },
    vision: { ...PATCHES, depth: 2, hiddenSize: 64, intermediateSize: 256, heads: 4, outHiddenSize: 96 },
  },
  "qwen2-2b": hub({ hiddenSize: 1536, intermediateSize: 8960, layers: 28, heads: 12, kvHeads: 2, vocabSize: 151936, tied: true }),
  "qwen2-7b": hub({ hiddenSize: 3584, intermediateSize: 18944, layers: 28, heads: 28, kvHeads: 4, vocabSize: 152064, tied: false }),
  "qwen2-72b": hub({ hiddenSize: 8192, intermediateSize: 29568, layers: 80, heads: 64, kvHeads: 8, vocabSize: 152064, tied: false }),
};

/** The preset that has the sizes of a model of the hub, "owner/name". */
export function presetOf(repo: string): Qwen2VLPreset | undefined {
  const size = /^Qwen\/Qwen2-VL-(2|7|72)B(-Instruct)?$/iu.exec(repo)?.[1];
  return size === undefined ? undefined : `qwen2-${size}b` as Qwen2VLPreset;
}
