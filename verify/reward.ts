/**
 * The input and the result of rewards.
 *
 * @module
 */

/**
 * The expected answer: a text, a number, true or false for yes or no, coordinates, or a list of texts of which any is right. Only reward
 * modules accept an object; the built-in verifiers refuse it.
 */
export type Truth =
  | string
  | number
  | boolean
  | readonly string[]
  | readonly number[]
  | readonly (readonly number[])[]
  | { readonly [key: string]: unknown };

/** A response with the data to grade it, as plain data. It is sent to a child process as JSON. */
export interface RewardInput {
  /** The response's text. */
  readonly response: string;
  /** The expected answer. */
  readonly truth: Truth;
  /** The texts of a multiple-choice question's choices, in order; empty or absent for other questions. */
  readonly options?: readonly string[];
  /** Why the response ended: "stop" by an end token, "length" because it was cut off. */
  readonly finish?: "stop" | "length";
  /** The response's length in tokens. */
  readonly tokens?: number;
  /** The prompt's text. */
  readonly prompt?: string;
  /** Further fields of the row of data. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A response's reward. */
export interface RewardResult {
  /** The value that training maximises. A sample with NaN is left out of its group's statistics and gets no advantage. */
  readonly overall: number;
  /** Named parts, for logs and for filtering groups by "accuracy". */
  readonly parts: Readonly<Record<string, number>>;
  /** The answer that was graded, if one was extracted. */
  readonly answer?: string;
}

/** The score of one part of a reward, with the answer that was graded. */
export interface Score {
  /** The score, usually in [0, 1]; NaN if the truth cannot be graded. */
  readonly score: number;
  /** The answer that was graded. */
  readonly answer?: string;
}

/** Scores one response. It throws only if the input lacks a field that it needs. */
export type Verifier = (input: RewardInput) => Score;

/** Tells whether a truth is a list. */
export function isTruthList(truth: Truth): truth is readonly string[] | readonly number[] | readonly (readonly number[])[] {
  return Array.isArray(truth);
}

/** Makes the error for a truth that is an object. */
export function objectTruth(truth: object): RangeError {
  const words = `Cannot grade against an object with ${Object.keys(truth).join(", ") || "no fields"}: only reward modules accept one`;
  return new RangeError(`${words}; name the field that holds the answer by data.answerKey, as "answer.value"`);
}

/**
 * Returns the texts of a truth, of which any is right. A list of numbers is a single truth, written as a tuple. The truth true gives "true"
 * and "yes".
 *
 * @throws {RangeError} for an object.
 */
export function truthsOf(truth: Truth): string[] {
  if (typeof truth === "string") return [truth];
  if (typeof truth === "number") return [String(truth)];
  if (typeof truth === "boolean") return truth ? ["true", "yes"] : ["false", "no"];
  if (!isTruthList(truth)) throw objectTruth(truth);
  if (truth.every((item) => typeof item === "string")) return [...truth];
  return [`(${truth.map((item) => typeof item === "number" ? String(item) : `(${item})`).join(", ")})`];
}
