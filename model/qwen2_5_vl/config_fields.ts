/**
 * The key of each size in config.json, and its default: that of transformers' Qwen2_5_VLConfig (5.17).
 *
 * @module
 */
import { count, field, MEASURE, MOST_TOKENS, side } from "../config/kinds.ts";

const WIDTH = count(2 ** 17), MLP = count(2 ** 20), BLOCK_COUNT = count(1024), HEADS = count(4096);

/** The decoder's numbers by their names in `TextConfig`, without those of the rotary angles. */
export const TEXT_FIELDS = {
  hiddenSize: field("hidden_size", 8192, WIDTH),
  intermediateSize: field("intermediate_size", 29568, MLP),
  layers: field("num_hidden_layers", 80, BLOCK_COUNT),
  heads: field("num_attention_heads", 64, HEADS),
  kvHeads: field("num_key_value_heads", 8, HEADS),
  vocabSize: field("vocab_size", 152064, count(MOST_TOKENS)),
  maxPositions: field("max_position_embeddings", 32768, count(2 ** 22)),
  rmsNormEps: field("rms_norm_eps", 1e-5, MEASURE),
} as const;

/** The vision tower's numbers by their names in `VisionConfig`. */
export const VISION_FIELDS = {
  depth: field("depth", 32, BLOCK_COUNT),
  hiddenSize: field("hidden_size", 3584, WIDTH),
  intermediateSize: field("intermediate_size", 3420, MLP),
  heads: field("num_heads num_attention_heads", 16, HEADS),
  channels: field("in_channels in_chans", 3, count(16)),
  patchSize: field("patch_size", 14, side(256)),
  temporalPatchSize: field("temporal_patch_size", 2, side(64)),
  mergeSize: field("spatial_merge_size", 2, count(64)),
  windowSize: field("window_size", 112, count(2 ** 16)),
  outHiddenSize: field("out_hidden_size", 3584, WIDTH),
  tokensPerSecond: field("tokens_per_second", 4, MEASURE),
} as const;

/** Rotary base of the vision tower, which no config changes. */
export const VISION_ROPE_THETA = 10_000;
/** Default base of the decoder's rotary frequencies. */
export const ROPE_THETA = 1_000_000;
/** Default sections of the decoder's rotary frequencies. */
export const MROPE_SECTION: readonly [number, number, number] = [16, 24, 24];
/** Default blocks of the vision tower that attend over the whole frame. */
export const FULL_ATTENTION_BLOCKS: readonly number[] = [7, 15, 23, 31];
