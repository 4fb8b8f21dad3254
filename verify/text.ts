/**
 * Verifiers for texts: exact text, numbers, format, length.
 *
 * @module
 */
import { parseAnswer } from "./maths/answer.ts";
import { boxedAnswer, extractAnswer } from "./answer/extract.ts";
import { bare } from "./answer/marks.ts";
import { MAX_ANSWER, MAX_RESPONSE } from "./maths/latex_tokens.ts";
import { toNumber } from "./maths/numeric.ts";
import { type RewardInput, type Score, truthsOf } from "./reward.ts";

/** Options for {@linkcode gradeExact}. */
export interface ExactOptions {
  /** Whether capitals matter. Default: false. */
  caseSensitive?: boolean;
  /** Whether punctuation matters. Default: false. */
  punctuation?: boolean;
  /** Whether to grade the final answer that is found in the response (default) or the whole response. */
  from?: "answer" | "response";
}

function normalText(text: string, options: ExactOptions): string {
  let normal = text.normalize("NFKC");
  if (options.caseSensitive !== true) normal = normal.toLowerCase();
  if (options.punctuation !== true) normal = normal.replace(/[\p{P}$`~^]+/gu, " ");
  return normal.replace(/\s+/g, " ").trim();
}

/**
 * Scores 1 if the answer's text equals the truth (or one of the truths) after Unicode NFKC, else 0. White space is ignored and, by default,
 * so are capitals and punctuation.
 *
 * @example
 * ```ts
 * import { gradeExact } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(gradeExact({ response: "<answer>New  York.</answer>", truth: ["NYC", "new york"] }).score, 1);
 * assertEquals(gradeExact({ response: "<answer>York</answer>", truth: "New York" }).score, 0);
 * ```
 */
export function gradeExact(input: RewardInput, options: ExactOptions = {}): Score {
  const whole = options.from === "response";
  const truths = truthsOf(input.truth).map((truth) => normalText(whole ? truth : bare(truth), options)).filter((truth) => truth !== "");
  if (truths.length === 0) return { score: NaN };
  const answer = whole ? input.response : extractAnswer(input.response)?.answer ?? input.response;
  if (answer.length > (whole ? MAX_RESPONSE : MAX_ANSWER)) return { score: 0 };
  const text = answer.replace(/^\\(?:text|mathrm|textbf)\{([^{}]*)\}$/, "$1");
  return {
    score: truths.includes(normalText(text, options)) ? 1 : 0,
    answer: answer.slice(0, MAX_ANSWER),
  };
}

/** Options for {@linkcode gradeNumber}. */
export interface NumberOptions {
  /** The largest absolute difference. Default: 0. */
  absolute?: number;
  /** The largest difference relative to the truth. Default: 1e-6. It is enough if one of the two limits holds. */
  relative?: number;
}

/** Reads a text as one real number, with any unit. Returns NaN if it is not a number. */
function numberIn(text: string): number {
  if (text.length > MAX_ANSWER) return NaN;
  let answer = parseAnswer(text, { thousands: true, letterUnits: "always" });
  if (answer?.kind === "relation" && answer.label) answer = answer.parts.at(-1);
  if (answer?.kind === "ratio" && answer.parts.length === 2) return NaN;
  if (answer?.kind !== "quantity") return NaN;
  const quantity = answer.quantity.unscaled?.quantity ?? answer.quantity;
  if (!quantity.numeric || quantity.branches.length > 1) return NaN;
  if (quantity.exact !== undefined) return toNumber(quantity.exact);
  const value = quantity.values[0]!;
  return value.im === 0 ? value.re : NaN;
}

/**
 * Scores 1 if the answer is a number near the truth, else 0. Units and percent signs are ignored.
 *
 * @returns NaN if the truth is not a number.
 * @example
 * ```ts
 * import { gradeNumber } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const input = { response: "The answer is about 41.7 cm.", truth: 42 };
 * assertEquals(gradeNumber(input, { absolute: 0.5 }).score, 1);
 * assertEquals(gradeNumber(input, { relative: 0.001 }).score, 0);
 * ```
 */
export function gradeNumber(input: RewardInput, options: NumberOptions = {}): Score {
  const { absolute = 0, relative = 1e-6 } = options;
  const truths = truthsOf(input.truth).map(numberIn).filter((truth) => !Number.isNaN(truth));
  if (truths.length === 0) return { score: NaN };
  const answer = extractAnswer(input.response)?.answer;
  if (answer === undefined) return { score: 0 };
  const value = numberIn(answer);
  const near = truths.some((truth) => Math.abs(value - truth) <= Math.max(absolute, relative * Math.abs(truth)));
  return { score: near ? 1 : 0, answer };
}

/**
 * The form that a response must have:
 * - "think": `<think>` first, one `</think>` after it, no further tag of either kind, then an answer;
 * - "think_answer": `<think>...</think>`, white space, `<answer>...</answer>`, one of each, nothing around them;
 * - "think_boxed": `<think>...</think>` first, one of each, then a closed `\boxed{...}` with content;
 * - "boxed": a closed `\boxed{...}` with content;
 * - "answer": one `<answer>...</answer>` with content.
 */
export type FormatStyle = "think" | "think_answer" | "think_boxed" | "boxed" | "answer";

/** Options for {@linkcode gradeFormat}. */
export interface FormatOptions {
  /** The form. Default: "think_boxed". */
  style?: FormatStyle;
}

/** Splits a text at `separator`. Returns undefined unless it occurs exactly once. */
function splitOnce(text: string, separator: string): [string, string] | undefined {
  const at = text.indexOf(separator);
  return at < 0 || text.indexOf(separator, at + 1) >= 0 ? undefined : [text.slice(0, at), text.slice(at + separator.length)];
}

/** Returns a and b of `<think>a</think>b`. Each tag must occur once. */
function thought(text: string): [string, string] | undefined {
  const parts = splitOnce(text, "</think>");
  if (parts === undefined || !parts[0].startsWith("<think>") || parts[0].includes("<think>", 7) || parts[1].includes("<think>")) {
    return undefined;
  }
  return [parts[0].slice(7), parts[1]];
}

/** Returns the content of `<answer>...</answer>`. With `around`, other text may surround it. */
function answered(text: string, around: boolean): string | undefined {
  const open = splitOnce(text, "<answer>"), close = open === undefined ? undefined : splitOnce(open[1], "</answer>");
  if (open === undefined || close === undefined || open[0].includes("</answer>")) return undefined;
  return around || (open[0].trim() === "" && close[1].trim() === "") ? close[0] : undefined;
}

/**
 * Scores 1 if the response has the form, else 0. White space within tags (`< think >`) and around the response is ignored. A response of
 * more than 1,000,000 characters scores 0.
 *
 * @example
 * ```ts
 * import { gradeFormat } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const format = (response: string) => gradeFormat({ response, truth: "" }, { style: "think_answer" }).score;
 * assertEquals(["<think>2 + 2</think> <answer>4</answer>", "<answer>4</answer>"].map(format), [1, 0]);
 * ```
 */
export function gradeFormat(input: RewardInput, options: FormatOptions = {}): Score {
  if (input.response.length > MAX_RESPONSE) return { score: 0 };
  const text = input.response.replace(/[ \t]{0,8}([<>/])[ \t]{0,8}/g, "$1").trim();
  const full = (content: string | undefined) => content !== undefined && content.trim() !== "";
  const fits = (): boolean => {
    switch (options.style ?? "think_boxed") {
      case "think":
        return full(thought(text)?.[1]);
      case "think_answer":
        return full(answered(thought(text)?.[1] ?? "", false));
      case "think_boxed":
        return full(boxedAnswer(thought(text)?.[1] ?? ""));
      case "boxed":
        return full(boxedAnswer(text));
      case "answer":
        return full(answered(text, true));
    }
  };
  return { score: fits() ? 1 : 0 };
}

/** Options for {@linkcode gradeLength}. */
export interface LengthOptions {
  /** The shortest length that scores 1. Default: 0. */
  min?: number;
  /** The longest length that scores 1. Default: no limit. */
  max?: number;
  /** The distance beyond either end over which the score falls from 1 to 0. Default: 0, which means at once. */
  slack?: number;
  /** The unit of length. Default: "tokens". */
  unit?: "tokens" | "characters";
}

/**
 * Scores 1 for a length in [min, max]. Outside, the score falls to 0 over `slack`.
 *
 * @throws TypeError if the unit is tokens and the input has no number of tokens.
 * @example
 * ```ts
 * import { gradeLength } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const score = (tokens: number) => gradeLength({ response: "", truth: "", tokens }, { max: 80, slack: 20 }).score;
 * assertEquals([50, 80, 90, 110].map(score), [1, 1, 0.5, 0]);
 * ```
 */
export function gradeLength(input: RewardInput, options: LengthOptions = {}): Score {
  const { min = 0, max = Infinity, slack = 0, unit = "tokens" } = options;
  const length = unit === "characters" ? input.response.length : input.tokens;
  if (length === undefined) throw new TypeError("Cannot score the length in tokens: the input has no `tokens`");
  const beyond = Math.max(0, min - length, length - max);
  return { score: beyond === 0 ? 1 : slack > 0 ? Math.max(0, 1 - beyond / slack) : 0 };
}
