/**
 * Rewards: verifiers of answers, their combination, the pool of child processes that runs them, and the interface of users' modules.
 *
 * An answer passes through these steps (docs/verifier.md has the rules):
 * 1. `extract.ts` searches the response for its answer. `languages.ts` has the phrases of languages other than English.
 * 2. `marks.ts` removes what surrounds the answer.
 * 3. A verifier grades it: `math.ts`, `choice.ts`, `text.ts` or `grounding.ts`. For a choice, the labels in the texts come first
 *    (`labels.ts`), then the letter, then the text. `polarity.ts` handles yes and no.
 * 4. `latex_tokens.ts` splits a mathematical answer into tokens. `digits.ts` reads digits and numerals of other scripts.
 * 5. `answer.ts` turns the tokens into a structure. `expression_parser.ts` parses its numbers and formulas into trees (`expression.ts`),
 *    `units.ts` reads units and `clock.ts` times of day.
 * 6. `math_equal.ts` compares the structures of answer and truth. `quantity.ts` compares the quantities in them by exact or approximate
 *    values (`numeric.ts`).
 * 7. `plan.ts` combines the verdicts into parts of a reward and their weighted sum. `registry.ts` has the names that configurations use.
 *    The work runs in separate processes: `grader_pool.ts`, `grader_process.ts`, `grader_child.ts`.
 *
 * @example Answers graded by a verifier, and by a weighted sum in processes of their own
 * ```ts
 * import { gradeMath, GraderPool, planReward } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(gradeMath({ response: "So it is \\boxed{0.5}.", truth: "\\frac{1}{2}" }).score, 1);
 *
 * // "use" may also name a module of yours: "./my_reward.ts".
 * const reward = { parts: { accuracy: { use: "math", weight: 0.9 }, format: { use: "format", weight: 0.1 } } };
 * await using pool = new GraderPool(planReward(reward, import.meta.url), { workers: 1 });
 * const [right, wrong] = await pool.grade([{ response: "\\boxed{4}", truth: "4" }, { response: "It is 5.", truth: "4" }]);
 * assertEquals([right!.parts["accuracy"], wrong!.parts["accuracy"]], [1, 0]);
 * ```
 *
 * @module
 */
export * from "./choice.ts";
export * from "./grounding.ts";
export * from "./math.ts";
export * from "./text.ts";
export { type AnswerSource, extractAnswer, extractAnswers, type Extracted, type ExtractOptions } from "./answer/extract.ts";
export { type Choices, choicesOf } from "./answer/labels.ts";
export { MathAnswer, mathEqual, type MathOptions, MathTruth } from "./maths/math_equal.ts";
export { type Graded, type GraderIncident, GraderPool, type GraderPoolOptions, type IncidentKind } from "./pool/grader_pool.ts";
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
