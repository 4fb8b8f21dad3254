/**
 * Multiple choice: the choice that a response names, by its letter or by its text.
 *
 * @module
 */
import { afterThinking, extractAnswers } from "./extract.ts";
import { MAX_ANSWER, MAX_RESPONSE } from "./latex_tokens.ts";
import { MathAnswer, MathTruth } from "./math_equal.ts";
import { type RewardInput, type Score, truthsOf } from "./reward.ts";

/** Choices that a question without listed ones may have: A to J. */
const DEFAULT_COUNT = 10;
/** Most choices that letters can name. */
const MAX_COUNT = 26;

/** Without what only sets letters apart: `\text{(A)}`, `**A**`, `$A$`. */
function plain(answer: string): string {
  if (answer.length > MAX_ANSWER) return "";
  let text = answer.replace(/\\(?:text|textbf|mathrm|mathbf|textrm|textit|mathit|mathsf|bf|rm|boxed|mbox)\b/g, "").replace(
    /\\[,;:! ]|[${}~*`]|\\[()[\]]/g,
    " ",
  )
    .trim();
  text = text.replace(/^(?:(?:the|correct|final|answer|option|choice|letter|is)\b[\s:]*)+/i, "").replace(/[\s.,;:!]+$/, "");
  return text;
}

/**
 * The place of the choice that a text names by its letter: "B", "(B)", "B.", "B) 12", "option B", "(b)".
 *
 * @param options `count`: how many choices there are.
 * @returns undefined where it names none, or more than one.
 *
 * @example
 * ```ts
 * import { choiceOf } from "./choice.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(["B", "(b)", "option C.", "A or B", "E"].map((answer) => choiceOf(answer, { count: 4 })), [1, 1, 2, undefined, undefined]);
 * ```
 */
export function choiceOf(answer: string, options: { count: number }): number | undefined {
  const text = plain(answer);
  const found = /^\(?\s*([A-Z])\s*\)?$/.exec(text) ?? /^\(\s*([A-Za-z])\s*\)/.exec(text) ?? /^\[\s*([A-Z])\s*\]/.exec(text) ??
    /^([A-Z])\s*[).:](?![a-z0-9])/.exec(text) ?? /^([a-z])\s*[).]?$/.exec(text) ?? /^([A-Z])\s*[-,]\s/.exec(text);
  if (found === null) return undefined;
  if (namesSeveral(answer)) return undefined;
  const place = found[1]!.toUpperCase().charCodeAt(0) - 65;
  return place < options.count ? place : undefined;
}

/** Whether a text names several choices by their letters: "A or B". */
function namesSeveral(answer: string): boolean {
  return /^\(?[A-Z]\)?\.?\s*(?:[,;&/]|and\b|or\b)\s*(?:(?:and|or)\b)?\s*\(?[A-Z](?![A-Za-z])/.test(plain(answer));
}

/** All letters of "A, C" or "(A) and (C)" or "AC", sorted; undefined of other texts. */
function lettersOf(answer: string): string | undefined {
  const text = plain(answer).replace(/\band\b|[\s,;&()]/g, "");
  return /^[A-J]{2,10}$/.test(text) ? [...new Set(text)].sort().join("") : undefined;
}

/** The choice that a response begins or ends with, where nothing in it is called the answer. */
function atTheEdge(response: string, count: number): number | undefined {
  const text = response.trim();
  const first = /^[^\n]{0,200}/.exec(text)![0].trim();
  const opening = text.includes("\n") ? /^\**\(?([A-Z])\)?[.):]?\**$/.exec(first) : null;
  const ending = text.slice(-100).replace(/[\s.*$`]+$/, "");
  const listed = /(?<![A-Za-z])[A-Z]\)?[\s,]+(?:(?:or|and)\s+)?\(?[A-Z]\)?$/.test(ending); // "(D) (E)", "D or E": none of them in particular
  const closing = listed ? null : /(?:^|[\s*${(])([A-Z])[)}]{0,2}$/.exec(ending) ?? /\boption \(?([A-Z])\b\)?[^\n]{0,60}$/.exec(ending);
  const letter = (closing ?? opening)?.[1];
  const place = letter === undefined ? count : letter.charCodeAt(0) - 65;
  return place < count ? place : undefined;
}

/** Options of {@linkcode gradeChoice}. */
export interface ChoiceOptions {
  /** Whether a choice given by its text may lack the text's unit, or degree or percent sign; "required" by default, so that "9" is not "9 litres". */
  units?: "optional" | "required";
}

/**
 * Grades a multiple-choice answer: 1 where the choice that the response names is the truth's, else 0. A letter names a choice before a text does:
 * where the texts are letters themselves, "B" is the second. The truth is a letter, several letters ("A,C"), or a choice's text.
 *
 * @example
 * ```ts
 * import { gradeChoice } from "./choice.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const question = { truth: "B", options: ["$10^\\circ$", "$15^\\circ$", "$20^\\circ$"] };
 * const grade = (response: string) => gradeChoice({ response, ...question }).score;
 * assertEquals(["The answer is (B).", "\\boxed{15^\\circ}", "\\boxed{\\text{C}}", "Answer: A or B"].map(grade), [1, 1, 0, 0]);
 * ```
 */
export function gradeChoice(input: RewardInput, options: ChoiceOptions = {}): Score {
  const given = input.options ?? [], count = given.length > 0 ? Math.min(given.length, MAX_COUNT) : DEFAULT_COUNT;
  const choices: (MathTruth | undefined)[] = [];
  const isText = (at: number, answer: MathAnswer): boolean => {
    if (given[at] === undefined) return false;
    return (choices[at] ??= new MathTruth(unmarked(given[at]), { units: options.units ?? "required" })).matches(answer);
  };
  const truths = truthsOf(input.truth).map((truth) => truth.trim());
  const several = truths.map(lettersOf).filter((letters) => letters !== undefined);
  const places = truths.map((truth) => {
    const text = given.findIndex((option) => option.trim() === truth && option.trim().length > 1);
    if (text >= 0) return text;
    const parsed = new MathAnswer(truth);
    return choiceOf(truth, { count }) ?? given.findIndex((_, at) => isText(at, parsed));
  }).filter((place) => place >= 0);
  if (places.length === 0 && several.length === 0) return { score: NaN };
  /** Whether an answer names the truth's choice; undefined where it names none. */
  const verdict = (answer: string): boolean | undefined => {
    const letters = several.length > 0 ? lettersOf(answer) : undefined;
    if (letters !== undefined) return several.includes(letters);
    const place = choiceOf(answer, { count });
    if (place !== undefined) return places.includes(place);
    const text = new MathAnswer(answer);
    const named = given.flatMap((_, at) => isText(at, text) ? [at] : []);
    // Texts that differ in order only, or in value not at all, must be given as they are written.
    const written = named.length < 2 ? named : named.filter((at) => sameText(unmarked(given[at]!), answer));
    if (written.length > 0) return written.some((at) => places.includes(at));
    return named.length > 0 || namesSeveral(answer) ? false : undefined;
  };
  let first: string | undefined;
  for (const { answer, source } of extractAnswers(input.response, { choices: true })) {
    first ??= answer;
    const right = verdict(answer);
    if (right !== undefined || source === "tag") return { score: right ? 1 : 0, answer };
    if (source === "phrase") break;
  }
  const place = atTheEdge(afterThinking(input.response.slice(-MAX_RESPONSE)), count);
  if (place !== undefined) return { score: places.includes(place) ? 1 : 0, answer: String.fromCharCode(65 + place) };
  return first === undefined ? { score: 0 } : { score: 0, answer: first };
}

/** Whether two texts are the same but for white space, capitals and what only sets formulas. */
function sameText(a: string, b: string): boolean {
  const normal = (text: string) => text.replace(/\\[()[\],;:! ]|[$\s{}.]|\\text|\\mathrm/g, "").toLowerCase();
  return normal(a) === normal(b);
}

/** A choice's text without a letter before it: "(A) 12". */
const unmarked = (option: string): string => option.replace(/^\s*\(?[A-Z]\)\s+(?=\S)/, "");
