/**
 * What rewards take and give.
 *
 * @module
 */

/**
 * What a response should have said: one text or number, yes or no as true or false, several of which any will do, or coordinates. An object is for reward modules; the
 * verifiers here refuse it.
 */
export type Truth =
  | string
  | number
  | boolean
  | readonly string[]
  | readonly number[]
  | readonly (readonly number[])[]
  | { readonly [key: string]: unknown };

/** A response and what is known about it. Plain data: it crosses to a child process as JSON. */
export interface RewardInput {
  /** The response's text. */
  readonly response: string;
  /** What it should say. */
  readonly truth: Truth;
  /** The texts of a multiple-choice question's choices in order; empty or absent of other questions. */
  readonly options?: readonly string[];
  /** Why the response ended: "stop" by itself, "length" cut off. */
  readonly finish?: "stop" | "length";
  /** The response's length in tokens. */
  readonly tokens?: number;
  /** The prompt's text. */
  readonly prompt?: string;
  /** Further fields of the data's row. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A response's reward. */
export interface RewardResult {
  /** What the algorithm maximises. NaN: the sample is left out of its group's statistics and gets no advantage. */
  readonly overall: number;
  /** Named parts, for logs and for filtering groups by "accuracy". */
  readonly parts: Readonly<Record<string, number>>;
  /** The answer that was graded, where one was extracted. */
  readonly answer?: string;
}

/** One part of a reward: a number, with the answer that it was given for. */
export interface Score {
  /** Usually in [0, 1]; NaN where the truth itself cannot be graded. */
  readonly score: number;
  /** The answer that was graded. */
  readonly answer?: string;
}

/** Scores one response. Throws only on inputs that lack what it needs. */
export type Verifier = (input: RewardInput) => Score;

/** Whether a truth is a list. */
export function isTruthList(truth: Truth): truth is readonly string[] | readonly number[] | readonly (readonly number[])[] {
  return Array.isArray(truth);
}

/** An error about a truth that is an object. */
export function objectTruth(truth: object): RangeError {
  const words = `Cannot grade against an object with ${Object.keys(truth).join(", ") || "no fields"}: only reward modules take one`;
  return new RangeError(`${words}; name the field that holds the answer by data.answerKey, as "answer.value"`);
}

/**
 * The truths of an input of which any will do. A list of numbers is one truth of its own, written as a tuple; true is "true" or "yes".
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
