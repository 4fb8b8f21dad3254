/**
 * Runs, and the parts that a run is made of: the configuration, checkpoints, metrics, evaluation, and actors. An actor is a thread that
 * owns tensors and answers messages one after the other.
 *
 * @example A configuration, the numbers that follow from it, and an evaluation of answers. `train` of `@kedge/kedge` is a whole run.
 * ```ts
 * import { derived, evaluate, loadConfig } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const { config } = loadConfig({ sets: ["rollout.n=4", "data.rolloutBatchSize=16"] }); // or { file: "train.jsonc" }
 * assertEquals(derived(config, undefined).numbers.samples, 64); // with a model's sizes, also its memory
 *
 * // This function doubles a number in place of an engine (`engineGenerate`), and this rule grades in place of a GraderPool.
 * const { overall, predictions } = await evaluate({
 *   questions: [{ id: "a", prompt: 2, input: { truth: 4 } }, { id: "b", prompt: 3, input: { truth: 9 } }],
 *   generate: (prompts) => Promise.resolve(prompts.map((x) => [{ text: `${x + x}`, tokens: 1, finish: "stop" }])),
 *   pool: { grade: (inputs) => Promise.resolve(inputs.map(({ response, truth }) => ({ overall: response === `${truth}` ? 1 : 0, parts: {} }))) },
 * });
 * assertEquals(predictions.map(({ accuracy }) => accuracy), [1, 0]);
 * assertEquals(overall.estimates["accuracy"]!.value, 0.5);
 * ```
 *
 * @module
 */
// Actors are threads that own tensors and answer messages one after the other. The tensors of an actor that ends are freed.
export { Actor, type SpawnOptions } from "./runtime/spawn.ts";
export { SpareThreads } from "./runtime/spare_threads.ts";
export { Peer, type RequestOptions } from "./runtime/peer.ts";
export { ActorMemory, Carrier } from "./runtime/actor_memory.ts";
export { Mailbox } from "./runtime/mailbox.ts";
export { type Behaviour, serveActor, type ServeOptions, type Start, type Turn } from "./runtime/serve.ts";
export type { Message as ActorMessage } from "./runtime/protocol.ts";

// A run's configuration.
export { type ConfigSource, loadConfig, type LoadedConfig } from "./config/load.ts";
export { type ConfigSchema, configSchema } from "./config/schema.ts";
export type * from "./config/types.ts";
export type { MlflowSection, TrackerInput, TrackerSection, WandbSection } from "./trackers/options.ts";
export { configJsonSchema, type JsonSchema } from "./config/json_schema.ts";
export { type Derived, derived, type DerivedNumbers, type MemoryEstimate } from "./config/derived.ts";
export type { GpuFit } from "./config/pass_estimate.ts";
export { checkResume, MAY_CHANGE } from "./config/resume.ts";
export { TUNABLE, type TunableChanges, type TunableInput, type TunableSchema, tunableSchema } from "./config/tunable.ts";

// Runs.
export type { Place as RankPlace } from "../ffi/world.ts";
export { type Question as RunQuestion, train, TrainingRun, type TrainingRunOptions, type TrainResult } from "./training_run.ts";
export { type CommandArgument, CommandedRun, type CommandName, type CommandReply, type Commands } from "./run_commands.ts";
export type {
  AnswersMessage,
  ChatSamplingMessage,
  SamplingMessage,
  TokenPart,
  TrainerEvent,
  TrainerReplies,
  TrainerStatus,
  TuningReply,
} from "./messages.ts";
export type { HeldAnswers } from "./prompts.ts";

// The files of a run.
export { type Checkpoint, type CheckpointParts, Checkpoints, type LoadedCheckpoint } from "./run/checkpoints.ts";
export { type Line, Lines, type LinesOptions } from "./run/lines.ts";
export { TensorBoard } from "./run/tensorboard.ts";

// Evaluation.
export {
  type Answer,
  type AskOptions,
  evaluate,
  type EvaluateOptions,
  type Evaluation,
  type Generate,
  gradeAnswers,
  type Prediction,
  type Question,
  questionOf,
} from "./evaluator/evaluate.ts";
export { engineGenerate } from "./evaluator/engine_generate.ts";
export {
  type Estimate,
  type EvaluationRecord,
  type GroupStatistics,
  type IntervalMethod,
  majorityAccuracy,
  passAtK,
  type Statistics,
  statistics,
  type StatisticsOptions,
} from "./evaluator/statistics.ts";
export { wilson } from "./evaluator/wilson.ts";

// Commands to a run that is in progress.
export * from "./run_control.ts";
