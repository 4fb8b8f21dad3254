/**
 * Rewards: verifiers of answers, their combination, the pool of child processes that runs them, the interface of users' modules.
 *
 * @module
 */
export { choiceOf, type ChoiceOptions, gradeChoice } from "./choice.ts";
export { type AnswerSource, extractAnswer, extractAnswers, type Extracted, type ExtractOptions } from "./extract.ts";
export { type Graded, type GraderIncident, GraderPool, type GraderPoolOptions, type IncidentKind } from "./grader_pool.ts";
export { type Box, gradeIou, gradePoint, intersectionOverUnion, type IouOptions, type PointOptions } from "./grounding.ts";
export { type Choices, choicesOf } from "./labels.ts";
export { gradeMath } from "./math.ts";
export { MathAnswer, mathEqual, type MathOptions, MathTruth } from "./math_equal.ts";
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
