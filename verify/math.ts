/**
 * The verifier for mathematical answers.
 *
 * @module
 */
import { gradeChoice } from "./choice.ts";
import { extractAnswer } from "./answer/extract.ts";
import { MathAnswer, type MathOptions, MathTruth } from "./maths/math_equal.ts";
import { polarityOf, responsePolarity } from "./answer/polarity.ts";
import { type RewardInput, type Score, truthsOf } from "./reward.ts";

/**
 * Grades a mathematical answer: 1 if the response's final answer equals the truth, or any of several truths; else 0.
 *
 * A question is graded as multiple choice if it has choices or if its truth is one capital letter from A to J.
 *
 * @returns NaN if no truth can be graded, for example an empty one.
 * @example
 * ```ts
 * import { gradeMath } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const grade = (response: string) => gradeMath({ response, truth: "2\\sqrt{3}" }).score;
 * assertEquals(["Hence \\boxed{\\sqrt{12}}.", "<answer>3.464</answer>", "The answer is 3.5."].map(grade), [1, 1, 0]);
 * ```
 */
export function gradeMath(input: RewardInput, options: MathOptions = {}): Score {
  const truths = truthsOf(input.truth);
  if ((input.options?.length ?? 0) > 0 || truths.every((truth) => /^\s*\(?[A-J]\)?\s*$/.test(truth))) {
    return gradeChoice(input, options.units === undefined ? {} : { units: options.units });
  }
  const gradable = truths.map((truth) => new MathTruth(truth, options)).filter((truth) => truth.gradable);
  if (gradable.length === 0) return { score: NaN };
  const given = extractAnswer(input.response);
  if (given !== undefined) {
    const answer = new MathAnswer(given.answer);
    if (gradable.some((truth) => truth.matches(answer))) return { score: 1, answer: given.answer };
  }
  const polarities = truths.map(polarityOf).filter((yes) => yes !== undefined);
  const opening = polarities.length === 0 ? undefined : responsePolarity(input.response);
  const answer = given?.answer ?? opening?.answer, score = opening !== undefined && polarities.includes(opening.yes) ? 1 : 0;
  return answer === undefined ? { score } : { score, answer };
}
