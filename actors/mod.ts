/**
 * A whole run, and the parts that it is made of: the configuration, checkpoints, metrics, evaluation, and actors. An actor is a thread that owns tensors and
 * answers messages one after the other.
 *
 * @example A run that is cut to one step, with its metrics as they come
 * ```ts
 * import { train } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const runDir = Deno.makeTempDirSync();
 * const short = ["sft.steps=1", "sft.batchSize=2", "sft.warmupSteps=1", "trainer.maxSteps=1", "data.rolloutBatchSize=2", "rollout.n=2", "val.limit=2"];
 * const steps: unknown[] = [];
 * const { state } = await train({ sets: [...short, `runDir=${runDir}`, "device=cpu", "data.maxResponseLength=4"] }, {
 *   onEvent: (event) => event.kind === "metrics" && steps.push(event.line["step"]),
 * });
 * assertEquals([state, steps.at(-1)], ["done", 1]);
 * Deno.removeSync(runDir, { recursive: true });
 * ```
 *
 * @module
 */
// Actors: threads that own tensors, answer messages one after the other, and leave nothing when they die.
export { Actor, type SpawnOptions } from "./runtime/spawn.ts";
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
export { checkResume, MAY_CHANGE } from "./config/resume.ts";
export { TUNABLE, type TunableChanges, type TunableInput, type TunableSchema, tunableSchema } from "./config/tunable.ts";

// A whole run.
export { type Question as RunQuestion, train, TrainingRun, type TrainingRunOptions, type TrainResult } from "./training_run.ts";
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

// What a run writes down.
export { type Checkpoint, type CheckpointParts, Checkpoints, type LoadedCheckpoint } from "./run/checkpoints.ts";
export { type Line, Lines, type LinesOptions } from "./run/lines.ts";
export { TensorBoard } from "./run/tensorboard.ts";

// How good a model is.
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

// What can be asked of a run while it goes on.
export * from "./run_control.ts";
