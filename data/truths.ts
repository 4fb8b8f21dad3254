/**
 * Reads the expected answer of a row.
 *
 * @module
 */
import { extractAnswers } from "../verify/answer/extract.ts";
import { choicesOf } from "../verify/answer/labels.ts";
import type { Truth } from "../verify/reward.ts";
import { letterOf } from "./choices.ts";
import { plain } from "./plain.ts";

/** Is thrown for a truth that cannot be used. Its message follows the name of the column. */
export class BadTruth extends Error {}

const isNumber = (value: unknown) => typeof value === "number" && Number.isFinite(value);
const isText = (value: unknown) => typeof value === "string" && value !== "";
const isList = (value: unknown, has: (item: unknown) => boolean) => Array.isArray(value) && value.length > 0 && value.every(has);

/**
 * Reads a truth: a text, a number, true or false, a list of texts, numbers or coordinates, or an object, which only reward modules accept.
 *
 * @param value The row's value.
 * @param choices The question's choices. A number is then the label or the value of a choice, or its index from 0.
 * @throws {BadTruth} for other values, for a number or letter that fits no choice, and for a number that fits two.
 * @example
 * ```ts
 * import { BadTruth, truthOf } from "./truths.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals([truthOf(4n), truthOf(true), truthOf(["4", "four"])], [4, true, ["4", "four"]]);
 * assertEquals([truthOf(0, ["x", "y"]), truthOf(12, ["10", "12"]), truthOf("B", ["x", "y"])], ["A", 12, "B"]);
 * assertThrows(() => truthOf(2, ["x", "y"]), BadTruth, "0 to 1");
 * ```
 */
export function truthOf(value: unknown, choices: readonly string[] = []): Truth {
  const truth = plain(value);
  if (choices.length > 0 && (isNumber(truth) || (typeof truth === "string" && /^\s*\d{1,3}\s*$/u.test(truth)))) {
    return choiceByNumber(truth as number | string, choices);
  }
  const [, letter] = typeof truth === "string" ? /^\s*\(?([A-Z])\)?\s*$/u.exec(truth) ?? [] : [];
  const named = letter === undefined || choices.length === 0 || choices.some((choice) => choice.trim() === (truth as string).trim());
  if (!named && letter!.charCodeAt(0) - 65 >= choices.length) {
    throw new BadTruth(`is ${JSON.stringify(truth)}, but there are ${choices.length} choices, A to ${letterOf(choices.length - 1)}`);
  }
  const object = typeof truth === "object" && truth !== null && !Array.isArray(truth) && Object.keys(truth).length > 0;
  const fits = isText(truth) || isNumber(truth) || typeof truth === "boolean" || object || isList(truth, isText) ||
    isList(truth, isNumber) ||
    isList(truth, (item) => isList(item, isNumber));
  if (fits) return truth as Truth;
  throw new BadTruth("is not a text, number, true or false, object, or list of texts, numbers or coordinates");
}

/** Returns the letter of the choice that a number means, by its index or by its value, unless these are two different choices. */
function choiceByNumber(truth: number | string, given: readonly string[]): string | number {
  const { texts: choices, labels = [] } = choicesOf(given), label = labels.indexOf(String(truth).trim());
  if (label >= 0) return letterOf(label);
  if (typeof truth === "string") {
    const written = choices.some((choice) => choice.trim() === truth.trim());
    if (written || choices.some((choice) => /\d/u.test(choice))) return truth; // it is a value, which the grader compares
  }
  const number = Number(truth), values = choices.flatMap((choice, i) => leadingNumber(choice) === number ? [i] : []);
  const index = Number.isInteger(number) && number >= 0 && number < choices.length ? number : undefined;
  const candidates = new Set([...values, ...index === undefined ? [] : [index]]), [only] = candidates;
  if (candidates.size === 1) return values.length > 0 && Number(choices[only!]) === number ? truth : letterOf(only!);
  const what = candidates.size > 1
    ? `may be ${candidates.values().map(letterOf).toArray().join(" or ")}, by its index (from 0) or by its value`
    : `is not a choice: the indices of the ${choices.length} choices are 0 to ${choices.length - 1}, and no choice has this text`;
  throw new BadTruth(`is ${JSON.stringify(truth)}, which ${what}; write the letter, such as "A"`);
}

/** Returns the number that a choice begins with: 3 for "3", "$3$" and "3 cm"; NaN for other texts. */
function leadingNumber(choice: string): number {
  return /^[\s$({]*-?[\d.]+(?!\s*\/)/u.test(choice) ? parseFloat(choice.replace(/^[\s$({]+/u, "")) : NaN;
}

/**
 * Returns the answer in a worked solution: the text between `<answer>` and `</answer>`, in the last `\boxed{}`, or after the last `####`.
 * Without any of these it is the whole text.
 *
 * @example
 * ```ts
 * import { answerIn } from "./truths.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(["<think>2 + 2</think><answer>4</answer>", "So it is \\boxed{4}.", "2 + 2 = 4\n#### 4", "four"].map(answerIn), ["4", "4", "4", "four"]);
 * ```
 */
export function answerIn(text: string): string {
  for (const { answer, source } of extractAnswers(text)) {
    if (source === "tag" || source === "box" || source === "hash") return answer;
  }
  return text.trim();
}
