/**
 * Names that have moved from `@kedge/kedge` to `@kedge/kedge/rewards`. They stay importable from there until version 0.2.
 *
 * @module
 */
import * as rewards from "../verify/mod.ts";

/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const checkRewardValue: typeof rewards.checkRewardValue = rewards.checkRewardValue;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const choiceOf: typeof rewards.choiceOf = rewards.choiceOf;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const choicesOf: typeof rewards.choicesOf = rewards.choicesOf;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const combine: typeof rewards.combine = rewards.combine;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const extractAnswer: typeof rewards.extractAnswer = rewards.extractAnswer;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const extractAnswers: typeof rewards.extractAnswers = rewards.extractAnswers;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const gradeExact: typeof rewards.gradeExact = rewards.gradeExact;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const gradeFormat: typeof rewards.gradeFormat = rewards.gradeFormat;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const gradeIou: typeof rewards.gradeIou = rewards.gradeIou;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const gradeLength: typeof rewards.gradeLength = rewards.gradeLength;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const gradeNumber: typeof rewards.gradeNumber = rewards.gradeNumber;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const gradePoint: typeof rewards.gradePoint = rewards.gradePoint;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const intersectionOverUnion: typeof rewards.intersectionOverUnion = rewards.intersectionOverUnion;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const makeGrader: typeof rewards.makeGrader = rewards.makeGrader;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const MathAnswer: typeof rewards.MathAnswer = rewards.MathAnswer;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const mathEqual: typeof rewards.mathEqual = rewards.mathEqual;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const MathTruth: typeof rewards.MathTruth = rewards.MathTruth;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const REWARD_NAMES: typeof rewards.REWARD_NAMES = rewards.REWARD_NAMES;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const rewardSchema: typeof rewards.rewardSchema = rewards.rewardSchema;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const RewardShapeError: typeof rewards.RewardShapeError = rewards.RewardShapeError;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export const VERIFIER_NAMES: typeof rewards.VERIFIER_NAMES = rewards.VERIFIER_NAMES;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type AnswerSource = rewards.AnswerSource;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type BatchRewardFunction = rewards.BatchRewardFunction;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Box = rewards.Box;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type ChoiceOptions = rewards.ChoiceOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Choices = rewards.Choices;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type ExactOptions = rewards.ExactOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Extracted = rewards.Extracted;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type ExtractOptions = rewards.ExtractOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type FormatOptions = rewards.FormatOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type FormatStyle = rewards.FormatStyle;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Graded = rewards.Graded;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Grader = rewards.Grader;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type GraderIncident = rewards.GraderIncident;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type GraderPoolOptions = rewards.GraderPoolOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type IncidentKind = rewards.IncidentKind;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type IouOptions = rewards.IouOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type LengthOptions = rewards.LengthOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type MathAnswer = rewards.MathAnswer;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type MathOptions = rewards.MathOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type MathTruth = rewards.MathTruth;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type NumberOptions = rewards.NumberOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Outcome = rewards.Outcome;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type ParsedReward = rewards.ParsedReward;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type PlannedPart = rewards.PlannedPart;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type PointOptions = rewards.PointOptions;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type RewardFunction = rewards.RewardFunction;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type RewardModule = rewards.RewardModule;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type RewardPlan = rewards.RewardPlan;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type RewardShapeError = rewards.RewardShapeError;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type RewardSpec = rewards.RewardSpec;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type RewardUse = rewards.RewardUse;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type RewardValue = rewards.RewardValue;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Score = rewards.Score;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Truth = rewards.Truth;
/** @deprecated Import it from `@kedge/kedge/rewards`.
 * @ignore */
export type Verifier = rewards.Verifier;
