/**
 * Classes of an answer's tokens, by which credit can be judged: a dataset that knows which tokens depend on the picture says so here. They serve the metrics
 * "classes/..." and the mode "oracle".
 *
 * @module
 */
import { shown } from "../user_module.ts";

/**
 * The classes. "reading": what the answer reads from the picture. "arithmetic": what follows from its readings. "random": filler that is drawn at random.
 * "fixed": filler that the task fixes, and everything else. On a device and in messages a class is its index here.
 */
export const TOKEN_CLASSES = ["reading", "arithmetic", "random", "fixed"] as const;
/** One of {@linkcode TOKEN_CLASSES}. */
export type TokenClass = typeof TOKEN_CLASSES[number];
/** The index of "reading" in {@linkcode TOKEN_CLASSES}. */
export const READING = TOKEN_CLASSES.indexOf("reading");

/** An answer whose tokens are to be classed. */
export interface ClassInput {
  /** The text of each token, special tokens included. */
  readonly tokens: readonly string[];
  /** The answer's text, without special tokens. */
  readonly text: string;
  /** The expected answer; one that is not a text is given as JSON. */
  readonly truth: string;
  /** The row's other fields. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Says the class of each token of an answer, which may be ungrammatical. It is called for each response of a step, and may not be async. */
export type ClassFunction = (answer: ClassInput) => ArrayLike<TokenClass>;

/** A module named by `data.classes`. It runs in the training process, with all of its permissions. */
export interface ClassModule {
  /** Says the class of each token of one answer. */
  readonly default?: ClassFunction;
  /** The same; it has precedence over `default`. */
  readonly classes?: ClassFunction;
}

/**
 * Calls a class function and checks what it gives.
 *
 * @param about `source`: the function's module; `key`: names the answer. Both are for errors.
 * @returns [tokens]: indices into {@linkcode TOKEN_CLASSES}.
 * @throws {TypeError} that names the module and the answer, if the function gives anything but a class for each token.
 *
 * @example
 * ```ts
 * import { classIndices } from "@kedge/kedge/rl";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const answer = { tokens: [" red", " 5"], text: " red 5", truth: "5", fields: {} }, about = { source: "file:///mine.ts", key: { prompt: 4, sample: 0 } };
 * const classes = classIndices(answer, ({ tokens }) => tokens.map((token) => /\d/.test(token) ? "reading" : "fixed"), about);
 * assertEquals([...classes], [3, 0]);
 * assertThrows(() => classIndices(answer, () => ["reading"], about), TypeError, "file:///mine.ts for sample 0 of prompt 4: it gave 1 classes for 2 tokens");
 * ```
 */
export function classIndices(
  answer: ClassInput,
  classify: ClassFunction,
  { source, key: { prompt, sample } }: { source: string; key: { prompt: number | bigint; sample: number } },
): Uint8Array<ArrayBuffer> {
  const classes: unknown = classify(answer), { length } = answer.tokens;
  const refuse = (what: string): never => {
    throw new TypeError(`Cannot use the classes of ${source} for sample ${sample} of prompt ${prompt}: it gave ${what}`);
  };
  if (!Array.isArray(classes)) return refuse(`${shown(classes)}, not an array of ${length} classes`);
  if (classes.length !== length) return refuse(`${classes.length} classes for ${length} tokens`);
  return Uint8Array.from(classes, (name: TokenClass, t) => {
    const index = TOKEN_CLASSES.indexOf(name);
    if (index < 0) return refuse(`${JSON.stringify(name)} as the class of token ${t}, not one of ${TOKEN_CLASSES.join(", ")}`);
    return index;
  });
}
