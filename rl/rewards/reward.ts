/**
 * What rewards take and give.
 *
 * @module
 */

/** What a response should have said: one text or number, several of which any will do, or coordinates. */
export type Truth = string | number | readonly string[] | readonly number[] | readonly (readonly number[])[];

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

/** The truths of an input of which any will do. A list of numbers is one truth of its own, written as a tuple. */
export function truthsOf(truth: Truth): string[] {
  if (typeof truth === "string") return [truth];
  if (typeof truth === "number") return [String(truth)];
  if (truth.every((item) => typeof item === "string")) return [...truth];
  return [`(${truth.map((item) => typeof item === "number" ? String(item) : `(${item})`).join(", ")})`];
}
