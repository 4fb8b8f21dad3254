/**
 * Kinds of values that keys of a config.json hold, and the keys that hold numbers.
 *
 * @module
 */
import { z } from "zod";

/** The values that a key may hold. */
export interface Kind<T> {
  /** Accepts it. */
  readonly schema: z.ZodType<T>;
  /** Names it in a message. */
  readonly words: string;
}

/** A size or a count up to a bound, so that a small file cannot ask for huge memory. The bounds are some ten times the sizes of the largest models. */
export const count = (most: number): Kind<number> => ({ schema: z.int().positive().max(most), words: `a positive integer up to ${most}` });
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
/** A side of a patch. Some files have one for each axis; they must be equal. */
export const side = (most: number): Kind<number> => {
  const { schema, words } = count(most);
  const list = z.array(schema).min(1).max(3).refine((sides) => sides.every((side) => side === sides[0])).transform(([side]) => side!);
  return { schema: z.union([schema, list]), words: `${words} (or a list of equal ones)` };
};

/** A number of the decoder or of the vision tower. */
export interface Field {
  /** Its keys; the first one that is set counts. */
  readonly keys: readonly [string, ...string[]];
  readonly kind: Kind<number>;
  readonly fallback: number;
}

/** A field by its keys, one space between two. */
export const field = (keys: string, fallback: number, kind: Kind<number>): Field => ({
  keys: keys.split(" ") as [string, ...string[]],
  kind,
  fallback,
});
