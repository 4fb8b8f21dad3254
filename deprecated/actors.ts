/**
 * Names that have moved from `@kedge/kedge` to `@kedge/kedge/actors`. They stay importable from there until version 0.2.
 *
 * @module
 */
import * as actors from "../actors/mod.ts";

/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const Actor: typeof actors.Actor = actors.Actor;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const ActorMemory: typeof actors.ActorMemory = actors.ActorMemory;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const Carrier: typeof actors.Carrier = actors.Carrier;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const checkResume: typeof actors.checkResume = actors.checkResume;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const configJsonSchema: typeof actors.configJsonSchema = actors.configJsonSchema;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const configSchema: typeof actors.configSchema = actors.configSchema;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const derived: typeof actors.derived = actors.derived;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const gradeAnswers: typeof actors.gradeAnswers = actors.gradeAnswers;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const Lines: typeof actors.Lines = actors.Lines;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const Mailbox: typeof actors.Mailbox = actors.Mailbox;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const majorityAccuracy: typeof actors.majorityAccuracy = actors.majorityAccuracy;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const MAY_CHANGE: typeof actors.MAY_CHANGE = actors.MAY_CHANGE;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const passAtK: typeof actors.passAtK = actors.passAtK;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const Peer: typeof actors.Peer = actors.Peer;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const serveActor: typeof actors.serveActor = actors.serveActor;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const statistics: typeof actors.statistics = actors.statistics;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const TensorBoard: typeof actors.TensorBoard = actors.TensorBoard;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const TUNABLE: typeof actors.TUNABLE = actors.TUNABLE;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const tunableSchema: typeof actors.tunableSchema = actors.tunableSchema;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export const wilson: typeof actors.wilson = actors.wilson;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Actor<M extends actors.ActorMessage, Replies extends Record<M["type"], unknown>> = actors.Actor<M, Replies>;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ActorMemory = actors.ActorMemory;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ActorMessage = actors.ActorMessage;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type AlgorithmInput = actors.AlgorithmInput;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type AlgorithmSection = actors.AlgorithmSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Answer = actors.Answer;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type AnswersMessage = actors.AnswersMessage;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type AskOptions = actors.AskOptions;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type AtrlSection = actors.AtrlSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type BatchSection = actors.BatchSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Behaviour<M extends actors.ActorMessage> = actors.Behaviour<M>;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Carrier = actors.Carrier;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ChatSamplingMessage = actors.ChatSamplingMessage;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Checkpoint = actors.Checkpoint;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type CheckpointParts = actors.CheckpointParts;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ConfigInput = actors.ConfigInput;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ConfigSectionName = actors.ConfigSectionName;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type DataSection = actors.DataSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Derived = actors.Derived;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type DerivedNumbers = actors.DerivedNumbers;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Estimate = actors.Estimate;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type EvaluationRecord = actors.EvaluationRecord;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Generate<P> = actors.Generate<P>;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type GraderSection = actors.GraderSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type GroupStatistics = actors.GroupStatistics;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type HeldAnswers = actors.HeldAnswers;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type IntervalMethod = actors.IntervalMethod;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type JsonSchema = actors.JsonSchema;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type KlConfig = actors.KlConfig;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type KlInput = actors.KlInput;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Line = actors.Line;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Lines = actors.Lines;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type LinesOptions = actors.LinesOptions;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type LoadedCheckpoint = actors.LoadedCheckpoint;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type LoggingSection = actors.LoggingSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Mailbox<T> = actors.Mailbox<T>;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type MemoryEstimate = actors.MemoryEstimate;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type MlflowSection = actors.MlflowSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ModelSection = actors.ModelSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type OptimSection = actors.OptimSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Peer<M extends actors.ActorMessage, Replies extends Record<M["type"], unknown>> = actors.Peer<M, Replies>;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type RequestOptions = actors.RequestOptions;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type RolloutSection = actors.RolloutSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type RunQuestion = actors.RunQuestion;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type SamplingMessage = actors.SamplingMessage;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ServeOptions = actors.ServeOptions;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type SftSection = actors.SftSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type SpawnOptions = actors.SpawnOptions;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Start<O> = actors.Start<O>;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type StatisticsOptions = actors.StatisticsOptions;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TensorBoard = actors.TensorBoard;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TokenPart = actors.TokenPart;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TrackerInput = actors.TrackerInput;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TrackerSection = actors.TrackerSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TrainerReplies = actors.TrainerReplies;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TrainerSection = actors.TrainerSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TrainerStatus = actors.TrainerStatus;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TunableChanges = actors.TunableChanges;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TunableInput = actors.TunableInput;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type TuningReply = actors.TuningReply;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type Turn = actors.Turn;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type ValSection = actors.ValSection;
/** @deprecated Import it from `@kedge/kedge/actors`.
 * @ignore */
export type WandbSection = actors.WandbSection;
