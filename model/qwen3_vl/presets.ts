/**
 * Sizes of models to make: a small one, and those of the hub's Qwen3-VL-{2B,4B,8B,32B}, Instruct and Thinking.
 *
 * @module
 */
import { TINY_TEXT } from "../config/tiny_text.ts";
import type { TextConfig } from "../config/types.ts";
import type { Preset } from "../family.ts";
import type { DeepstackVision } from "./config_file.ts";

/** Names of the presets. */
export type Qwen3VLPreset = "qwen3-tiny" | "qwen3-2b" | "qwen3-4b" | "qwen3-8b" | "qwen3-32b";

const ROPE = { rmsNormEps: 1e-6, ropeTheta: 5e6, attentionBias: false } as const;
const PATCHES = { channels: 3, patchSize: 16, temporalPatchSize: 2, mergeSize: 2 } as const;
const HUB_TEXT = { ...ROPE, headDim: 128, kvHeads: 8, vocabSize: 151936, maxPositions: 262144, mropeSection: [24, 20, 20] } as const;
const HUB_TOWER = { ...PATCHES, heads: 16, positionEmbeddings: 2304 } as const;

// The towers of the two smaller models and of the two larger ones.
const SMALL = { ...HUB_TOWER, depth: 24, hiddenSize: 1024, intermediateSize: 4096, deepstackBlocks: [5, 11, 17] } as const;
const LARGE = { ...HUB_TOWER, depth: 27, hiddenSize: 1152, intermediateSize: 4304, deepstackBlocks: [8, 16, 24] } as const;

function hub(text: Omit<TextConfig, keyof typeof HUB_TEXT>, tower: Omit<DeepstackVision, "outHiddenSize">): Preset {
  return { dtype: "bf16", text: { ...HUB_TEXT, ...text }, vision: { ...tower, outHiddenSize: text.hiddenSize } };
}

/** The presets by name. */
export const presets: Readonly<Record<Qwen3VLPreset, Preset>> = {
  "qwen3-tiny": {
    dtype: "f32",
    text: { ...TINY_TEXT, ...ROPE, headDim: 32, mropeSection: [6, 5, 5] },
    vision: {
      ...PATCHES,
      depth: 3,
      hiddenSize: 64,
      intermediateSize: 160,
      heads: 4,
      outHiddenSize: 96,
      positionEmbeddings: 64,
      deepstackBlocks: [0, 1],
    },
  },
  "qwen3-2b": hub({ hiddenSize: 2048, intermediateSize: 6144, layers: 28, heads: 16, tied: true }, SMALL),
  "qwen3-4b": hub({ hiddenSize: 2560, intermediateSize: 9728, layers: 36, heads: 32, tied: true }, SMALL),
  "qwen3-8b": hub({ hiddenSize: 4096, intermediateSize: 12288, layers: 36, heads: 32, tied: false }, LARGE),
  "qwen3-32b": hub({ hiddenSize: 5120, intermediateSize: 25600, layers: 64, heads: 64, tied: false }, LARGE),
};

/** The preset that has the sizes of a model of the hub, "owner/name". */
export function presetOf(repo: string): Qwen3VLPreset | undefined {
  const size = /^Qwen\/Qwen3-VL-(2|4|8|32)B-(Instruct|Thinking)$/iu.exec(repo)?.[1];
  return size === undefined ? undefined : `qwen3-${size}b` as Qwen3VLPreset;
}
