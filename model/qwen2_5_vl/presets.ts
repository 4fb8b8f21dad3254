/**
 * Sizes of models to make: two small ones, and those of the hub's Qwen2.5-VL-{3B,7B,32B,72B}-Instruct.
 *
 * @module
 */
import { TINY_TEXT } from "../config/tiny_text.ts";
import type { TextConfig } from "../config/types.ts";
import type { Preset } from "../family.ts";

/** Names of the presets. */
export type Qwen25VLPreset = "tiny" | "small" | "3b" | "7b" | "32b" | "72b";

const ROPE = { rmsNormEps: 1e-6, ropeTheta: 1e6 } as const;
const PATCHES = { channels: 3, patchSize: 14, temporalPatchSize: 2, mergeSize: 2, windowSize: 112, tokensPerSecond: 2 } as const;

function hub(text: Omit<TextConfig, "headDim" | "maxPositions" | "mropeSection" | keyof typeof ROPE>, towerMlp: number): Preset {
  return {
    dtype: "bf16",
    text: { ...ROPE, ...text, headDim: 128, maxPositions: 128000, mropeSection: [16, 24, 24] },
    vision: {
      ...PATCHES,
      depth: 32,
      hiddenSize: 1280,
      intermediateSize: towerMlp,
      heads: 16,
      fullAttentionBlocks: [7, 15, 23, 31],
      outHiddenSize: text.hiddenSize,
    },
  };
}

/** The presets by name. */
export const presets: Readonly<Record<Qwen25VLPreset, Preset>> = {
  tiny: {
    dtype: "f32",
    text: { ...TINY_TEXT, ...ROPE, headDim: 24, mropeSection: [4, 4, 4] },
    vision: {
      ...PATCHES,
      depth: 2,
      hiddenSize: 64,
      intermediateSize: 160,
      heads: 4,
      fullAttentionBlocks: [1],
      outHiddenSize: 96,
    },
  },
  small: {
    dtype: "f32",
    text: {
      ...ROPE,
      hiddenSize: 384,
      intermediateSize: 1024,
      layers: 6,
      heads: 6,
      kvHeads: 2,
      headDim: 64,
      vocabSize: 0,
      maxPositions: 4096,
      mropeSection: [8, 12, 12],
      tied: true,
    },
    vision: {
      ...PATCHES,
      depth: 4,
      hiddenSize: 192,
      intermediateSize: 512,
      heads: 6,
      fullAttentionBlocks: [1, 3],
      outHiddenSize: 384,
    },
  },
  "3b": hub({ hiddenSize: 2048, intermediateSize: 11008, layers: 36, heads: 16, kvHeads: 2, vocabSize: 151936, tied: true }, 3420),
  "7b": hub({ hiddenSize: 3584, intermediateSize: 18944, layers: 28, heads: 28, kvHeads: 4, vocabSize: 152064, tied: false }, 3420),
  "32b": hub({ hiddenSize: 5120, intermediateSize: 27648, layers: 64, heads: 40, kvHeads: 8, vocabSize: 152064, tied: false }, 3456),
  "72b": hub({ hiddenSize: 8192, intermediateSize: 29568, layers: 80, heads: 64, kvHeads: 8, vocabSize: 152064, tied: false }, 3456),
};

/** The preset that has the sizes of a model of the hub, "owner/name". */
export function presetOf(repo: string): Qwen25VLPreset | undefined {
  return /^Qwen\/Qwen2\.5-VL-(3|7|32|72)B-Instruct$/iu.exec(repo)?.[1]?.concat("b") as Qwen25VLPreset | undefined;
}
