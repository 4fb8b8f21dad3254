/**
 * Which key of config.json each size is, and what it is where the key is not there: the defaults of transformers' Qwen2_5_VLConfig (5.17).
 *
 * @module
 */
import { z } from "zod";

/** What a key may hold. */
export interface Kind<T> {
  /** Accepts it. */
  readonly schema: z.ZodType<T>;
  /** Names it in a message. */
  readonly words: string;
}

/** A size or a count, which a file of a few bytes must not blow up: some ten times what the largest models have. */
const count = (most: number): Kind<number> => ({ schema: z.int().positive().max(most), words: `a positive integer up to ${most}` });
/** Ids of a vocabulary. */
export const MOST_TOKENS: number = 2 ** 22;
/** A measure. */
export const MEASURE: Kind<number> = { schema: z.number().positive(), words: "a positive number" };
/** A token id. */
export const TOKEN: Kind<number> = { schema: z.int().nonnegative().max(MOST_TOKENS - 1), words: "a token id" };
/** Any integer; for ids that are only handed on. */
export const INTEGER: Kind<number> = { schema: z.int(), words: "an integer" };
/** One token id or several. */
export const TOKENS: Kind<number[]> = {
  schema: z.union([TOKEN.schema.transform((id) => [id]), z.array(TOKEN.schema)]),
  words: "a token id or a list of such",
};
/** Yes or no. */
export const FLAG: Kind<boolean> = { schema: z.boolean(), words: "true or false" };
/** A name. */
export const NAME: Kind<string> = { schema: z.string(), words: "a string" };
/** A section of the file. */
export const SECTION: Kind<Record<string, unknown>> = { schema: z.record(z.string(), z.unknown()), words: "an object" };
/** Numbers of blocks. */
export const BLOCKS: Kind<number[]> = { schema: z.array(z.int().nonnegative()), words: "a list of block numbers" };
/** Frequencies by time, row and column. */
export const MROPE: Kind<[number, number, number]> = {
  schema: z.tuple([z.int().nonnegative(), z.int().nonnegative(), z.int().nonnegative()]),
  words: "a list of three counts",
};
/** A side of a patch; some files give one for each axis, which must be equal. */
const side = (most: number): Kind<number> => {
  const { schema, words } = count(most);
  const list = z.array(schema).min(1).max(3).refine((sides) => sides.every((side) => side === sides[0])).transform(([side]) => side!);
  return { schema: z.union([schema, list]), words: `${words} (or a list of equal ones)` };
};

const WIDTH = count(2 ** 17), MLP = count(2 ** 20), BLOCK_COUNT = count(1024), HEADS = count(4096);

/** A number of the decoder or of the vision tower. */
export interface Field {
  /** Its keys; the first goes before the others. */
  readonly keys: readonly [string, ...string[]];
  readonly kind: Kind<number>;
  readonly fallback: number;
}

const field = (keys: string, fallback: number, kind: Kind<number>): Field => ({
  keys: keys.split(" ") as [string, ...string[]],
  kind,
  fallback,
});

/** The decoder's numbers by their names in `TextConfig`, but for those of the rotary angles. */
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

/** The special tokens that have a key of their own at the top of the file. */
export const TOKEN_FIELDS = {
  image: field("image_token_id", 151655, TOKEN),
  video: field("video_token_id", 151656, TOKEN),
  visionStart: field("vision_start_token_id", 151652, TOKEN),
  visionEnd: field("vision_end_token_id", 151653, TOKEN),
} as const;

/** Rotary base of the vision tower, which no config changes. */
export const VISION_ROPE_THETA = 10_000;
/** Base of the decoder's rotary frequencies where no key says it. */
export const ROPE_THETA = 1_000_000;
/** Sections of the decoder's rotary frequencies where no key says them. */
export const MROPE_SECTION: readonly [number, number, number] = [16, 24, 24];
/** Blocks of the vision tower that attend over the whole frame where no key says them. */
export const FULL_ATTENTION_BLOCKS: readonly number[] = [7, 15, 23, 31];
