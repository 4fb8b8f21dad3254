/**
 * Rewards: verifiers of answers, their combination, the pool of child processes that runs them, the interface of users' modules.
 *
 * What happens to an answer, in order, and where (docs/verifier.md has the rules):
 * 1. a response is searched for its answer: `extract.ts`; the phrases of languages but English: `languages.ts`;
 * 2. what surrounds the answer comes off, once, whichever way it was found: `marks.ts`;
 * 3. a verifier takes it: `math.ts`, `choice.ts`, `text.ts`, `grounding.ts`. Of a choice: labels that the texts carry (`labels.ts`), then letter, then text.
 *    Of a yes or no: `polarity.ts`;
 * 4. a mathematical answer is split into tokens: `latex_tokens.ts`, digits and numerals of other scripts: `digits.ts`;
 * 5. tokens become a structure: `answer.ts`; numbers and formulas in it: `expression_parser.ts` (the tree: `expression.ts`); units: `units.ts`; times: `clock.ts`;
 * 6. the structures of answer and truth are compared: `math_equal.ts`; quantities in them: `quantity.ts`, by exact or approximate values: `numeric.ts`;
 * 7. verdicts become parts of a reward and their weighted sum: `plan.ts`, named in a configuration as in `registry.ts`; in processes of their own:
 *    `grader_pool.ts`, `grader_process.ts`, `grader_child.ts`.
 *
 * @module
 */
export { choiceOf, type ChoiceOptions, gradeChoice } from "./choice.ts";
export { type AnswerSource, extractAnswer, extractAnswers, type Extracted, type ExtractOptions } from "./answer/extract.ts";
export { type Graded, type GraderIncident, GraderPool, type GraderPoolOptions, type IncidentKind } from "./pool/grader_pool.ts";
export { type Box, gradeIou, gradePoint, intersectionOverUnion, type IouOptions, type PointOptions } from "./grounding.ts";
export { type Choices, choicesOf } from "./answer/labels.ts";
export { gradeMath } from "./math.ts";
export { MathAnswer, mathEqual, type MathOptions, MathTruth } from "./maths/math_equal.ts";
export { combine, type Grader, makeGrader, type Outcome, type PlannedPart, type RewardPlan, VERIFIER_NAMES } from "./plan.ts";
export {
  type ParsedReward,
  planReward,
  REWARD_NAMES,
  type RewardSchema,
  rewardSchema,
  type RewardSpec,
  type RewardUse,
} from "./registry.ts";
export type { RewardInput, RewardResult, Score, Truth, Verifier } from "./reward.ts";
export {
  type BatchRewardFunction,
  checkRewardValue,
  type RewardFunction,
  type RewardModule,
  RewardShapeError,
  type RewardValue,
} from "./reward_module.ts";
export {
  type ExactOptions,
  type FormatOptions,
  type FormatStyle,
  gradeExact,
  gradeFormat,
  gradeLength,
  gradeNumber,
  type LengthOptions,
  type NumberOptions,
} from "./text.ts";
