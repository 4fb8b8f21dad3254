/**
 * Kedge: reinforcement learning from verifiable rewards for multimodal language models, with credit by cross-modality connectivity (AT-RL), in
 * TypeScript over kernels for CUDA and for the CPU.
 *
 * From the ground up: devices and their kernels; tensors with reverse-mode autograd, handles that cross threads, AdamW, schedules, safetensors; Qwen2.5-VL with
 * its processor and a generation engine; AT-RL, advantages, policy losses, divergences, rewards and verifiers; data sets; actors, and what a run is made of.
 *
 * @example A step of gradient descent
 * ```ts
 * import { dot, openDevice, Parameter, Tape, Tensor } from "./mod.ts";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using weight = new Parameter("weight", Tensor.from(device, [1, 2, 3]));
 * using x = Tensor.from(device, [4, 5, 6]);
 * using tape = new Tape(device);
 * const loss = dot(tape.param(weight), tape.constant(x));
 * assertEquals(loss.tensor.item(), 32);
 * tape.backward(loss);
 * assertEquals([...weight.grad!.toArray()], [4, 5, 6]);
 * ```
 *
 * @module
 */

// Devices.
export { Device, openDevice, type OpenOptions } from "./ffi/open.ts";
export { CpuDevice, type CpuOptions } from "./ffi/cpu_device.ts";
export { CudaDevice, type CudaOptions } from "./ffi/cuda_device.ts";
export {
  type Device as DeviceInterface,
  type DeviceEvent,
  type DType,
  DTYPE_BYTES,
  DTYPES,
  type Gemm,
  type MemoryReport,
} from "./ffi/device.ts";
export type { Address } from "./ffi/address.ts";
export type { AttentionGradients, AttentionShape, DecodeShape, Host, Ops } from "./ffi/generated/bindings.ts";
export { KedgeError, type KedgeErrorCode } from "./ffi/errors.ts";

// Tensors.
export { type Shape, Tensor, type TensorArray, type TensorOptions } from "./tensor/tensor.ts";
export { Account, type TensorHandle, type TensorReturn } from "./tensor/handle.ts";
export { openOwner, type OwnerId, type OwnerReport, ownerReport, reclaimOwner } from "./tensor/owner.ts";

// Autograd.
export type { Backward, GradientTarget, Recording } from "./tensor/backward.ts";
export type { Slot } from "./tensor/gradient.ts";
export { type Seed, Tape } from "./tensor/tape.ts";
export { type Op, type Recorder, Value, type ValueTree } from "./tensor/value.ts";
export { Parameter, type Parameters } from "./tensor/parameter.ts";
export { type PrefixGroup, type Segment, Segments } from "./tensor/segments.ts";
export * from "./tensor/ops/mod.ts";

// Training.
export { AdamW, type AdamWGroup, type AdamWOptions, type AdamWState, type Rounding, type StepReport } from "./tensor/optimizer.ts";
export {
  constantSchedule,
  cosineSchedule,
  type DecayOptions,
  linearSchedule,
  type Schedule,
  type ScheduleOptions,
} from "./tensor/schedule.ts";

// Numbers on the host.
export { Random } from "./tensor/random.ts";

// Files.
export { SAFETENSORS_DTYPES, type SafetensorsDType, SafetensorsFile, SafetensorsFolder, type TensorInfo } from "./tensor/safetensors.ts";
export { type SafetensorsEntry, writeSafetensors, writeSharded } from "./tensor/safetensors_writer.ts";
export { type LoadOptions, loadTensor, tensorEntry } from "./tensor/tensor_files.ts";

// The model.
export { type LayerObserver, type LogProbsOptions, Qwen25VL, VisionLanguageModel } from "./model/model.ts";
export type { Expand, Expansion, ModelParts } from "./model/family.ts";
export type { Checkpointing } from "./model/checkpointing.ts";
export { type Group, PackedBatch, type PackedPrompt, type PackedResponse, type PackOptions } from "./model/packed_batch.ts";
export { type Grid, type Pixels, type Prompt, type Visual, visualTokens } from "./model/prompt.ts";
export {
  configToJson,
  type Json,
  type ModelConfig,
  parseConfig,
  readConfig,
  type SpecialTokens,
  type TextConfig,
  type VisionConfig,
} from "./model/config/config.ts";
export { type Preset, presetConfig, type PresetName, presets } from "./model/config/presets.ts";
export { type ParameterPart, type ParameterSpec, parameterSpecs } from "./model/parameters.ts";
export { loadParameters, openModelFolder, saveModel, type SaveModelOptions, type WeightType } from "./model/folder/checkpoint.ts";
export { initialiseParameters, type InitialOptions, type InitialScheme } from "./model/folder/initialise.ts";
export { newModelFolder } from "./model/folder/new_model_folder.ts";

// How strongly tokens attend to the pictures.
export { type Connectivity, ConnectivityAccumulator, type ConnectivityOptions } from "./model/connectivity.ts";
export {
  chosenLayers,
  type RegionBox,
  type RegionMap,
  regionMap,
  type RegionOptions,
  type SinkEvidence,
  visualSinks,
} from "./model/regions.ts";

// Generation.
export { Engine, type EngineOptions, type GenerateOptions } from "./model/engine/engine.ts";
export type { Completion, Finish, GenerationEvent, TokenEvent } from "./model/engine/completion.ts";
export type { EngineLimits } from "./model/engine/limits.ts";
export type { Request, SamplingOptions, Stop } from "./model/engine/request.ts";
export type { EngineStats, Ticket } from "./model/engine/scheduler.ts";
export { defaultSuppress, suppressionMask } from "./model/engine/suppression.ts";

// From messages and pictures to prompts.
export {
  type Conversation,
  type ConversationOptions,
  type Dropped,
  type Pictures,
  Processor,
  type ProcessorParts,
  type PromptOptions,
} from "./model/processor/processor.ts";
export { type DecodeOptions, type EncodeOptions, Tokenizer, TokenStream } from "./model/processor/tokenizer.ts";
export { ChatTemplate, defaultChatTemplate, type RenderOptions, type TemplateMessage } from "./model/processor/chat_template.ts";
export {
  type ImageSource,
  type Marked,
  markedParts,
  type Message,
  type MessagesSchema,
  messagesSchema,
  parseMessages,
  type Part,
  type PixelBounds,
  type PixelData,
  type Row,
  type VideoSource,
} from "./model/processor/messages.ts";
export {
  type Colours,
  type ImageOptions,
  ImageProcessor,
  type ImageProcessorOptions,
  type OpenedPicture,
  smartResize,
  type SmartResizeOptions,
  type VideoOptions,
  type VideoSettings,
} from "./model/processor/image_processor.ts";

// Advantages, losses, divergences, dynamic sampling.
export type { RewardBatch } from "./rl/advantages/batch.ts";
export { estimateAdvantages, type Estimator } from "./rl/advantages/estimator.ts";
export { combineRewards } from "./rl/advantages/reward_parts.ts";
export {
  type Aggregation,
  aggregationWeights,
  type BatchSize,
  batchSize,
  maskTruncated,
  type TokenLayout,
} from "./rl/losses/aggregation.ts";
export {
  type Correction,
  CORRECTION_DEFAULTS,
  type CorrectionBatch,
  CorrectionMetrics,
  type CorrectionReport,
  importanceWeights,
} from "./rl/losses/correction.ts";
export { PolicyMetrics, type PolicyReport } from "./rl/losses/metrics.ts";
export { POLICY_LOSS_DEFAULTS, type PolicyBatch, type PolicyLoss, policyLoss, type PolicyLossOptions } from "./rl/losses/policy_loss.ts";
export { Coefficient, type CoefficientConfig } from "./rl/divergences/coefficient.ts";
export {
  type Divergence,
  divergence,
  DIVERGENCE_DEFAULTS,
  type DivergenceBatch,
  type DivergenceKind,
  DivergenceMetrics,
  divergenceValues,
} from "./rl/divergences/divergence.ts";
export { divergenceRewards, type DivergenceTerm, needsReference } from "./rl/divergences/term.ts";
export { overlongReward, type OverlongShaping } from "./rl/shaping.ts";
export {
  DYNAMIC_SAMPLING_DEFAULTS,
  DynamicSampler,
  type DynamicSamplerState,
  type DynamicSampling,
  type GroupCounts,
  type GroupFate,
} from "./rl/sampling.ts";

// Credit: which tokens earned a response's advantage.
export { ATRL_DEFAULTS, ATRL_MODES, type AtrlMode, type AtrlOptions, atrlOptions, type PartitionMethod } from "./rl/atrl/options.ts";
export { Responses } from "./rl/atrl/responses.ts";
export { type HostGraph, TokenGraph } from "./rl/atrl/graph.ts";
export {
  clusterBound,
  clusterCount,
  type Clusters,
  type ClusterStats,
  edgeCut,
  partitionKway,
  partitionMetis,
  partitionNone,
} from "./rl/atrl/partition.ts";
export { type ResponseKey, tokenWeights, weightedAdvantage, type WeightInputs } from "./rl/atrl/weights.ts";
export { AtrlCredit, type AtrlInputs, detectAtrl, type StepNumbers } from "./rl/atrl/detect.ts";
export { atrlReport, bimodality, type ReportInputs } from "./rl/atrl/report.ts";
export { checkCredit, CREDIT_METHODS, type CreditMethod, type TokenCredit } from "./rl/credit/credit.ts";
export { type BlackeningOptions, patchBlackening, sensitivity, trajectoryWeights, vppoCredit, type VppoOptions } from "./rl/credit/vppo.ts";
export { uniformCredit, WeightCredit } from "./rl/credit/weight_credit.ts";

// Rewards.
export * from "./verify/mod.ts";

// Data: rows of files, of the hub and of the built-in task; the order in which they are trained on.
export {
  type AllowRemote,
  type Attachments,
  type BadRow,
  type BadRows,
  BOARD_DEFAULTS,
  BoardDataset,
  type BoardOptions,
  boardOptions,
  type BoardPlace,
  type BoardProblem,
  boardProblem,
  type BoardSplit,
  boardVocabulary,
  COLOURS as BOARD_COLOURS,
  type ColumnOptions,
  Columns,
  ConcatDataset,
  type DataFile,
  type Dataset,
  type Download,
  downloadDataset,
  fetchModel,
  type Figure as BoardFigure,
  type FileOptions as DatasetFileOptions,
  findModel,
  FORMAT_NAMES,
  type FormatName,
  type FoundModel,
  type HubAccess,
  type HubId,
  type HubOptions,
  INSTRUCTIONS,
  JsonLinesDataset,
  type ModelId,
  type ModelOptions,
  newBoardModel,
  openDataset,
  type OpenOptions as DatasetOptions,
  ParquetDataset,
  type ParquetOptions,
  parseHubId,
  parseModelId,
  type PromptFormat,
  type RawRow,
  readSample,
  type Sample,
  type SamplerState,
  ShuffledSampler,
  surround,
  type Surroundings,
  surroundings,
} from "./data/mod.ts";

// Actors: threads that own tensors, answer messages one after the other, and leave nothing when they die.
export { Actor, type SpawnOptions } from "./actors/runtime/spawn.ts";
export { Peer, type RequestOptions } from "./actors/runtime/peer.ts";
export { ActorMemory, Carrier } from "./actors/runtime/actor_memory.ts";
export { Mailbox } from "./actors/runtime/mailbox.ts";
export { type Behaviour, serveActor, type ServeOptions, type Start, type Turn } from "./actors/runtime/serve.ts";
export type { Message as ActorMessage } from "./actors/runtime/protocol.ts";

// A run's configuration.
export { type ConfigSource, loadConfig, type LoadedConfig } from "./actors/config/load.ts";
export { type ConfigSchema, configSchema } from "./actors/config/schema.ts";
export type * from "./actors/config/types.ts";
export type { MlflowSection, TrackerInput, TrackerSection, WandbSection } from "./actors/trackers/options.ts";
export { configJsonSchema, type JsonSchema } from "./actors/config/json_schema.ts";
export { type Derived, derived, type DerivedNumbers, type MemoryEstimate } from "./actors/config/derived.ts";
export { checkResume, MAY_CHANGE } from "./actors/config/resume.ts";
export { TUNABLE, type TunableChanges, type TunableInput, type TunableSchema, tunableSchema } from "./actors/config/tunable.ts";

// A whole run.
export { type Question as RunQuestion, train, TrainingRun, type TrainingRunOptions, type TrainResult } from "./actors/training_run.ts";
export type {
  AnswersMessage,
  ChatSamplingMessage,
  SamplingMessage,
  TokenPart,
  TrainerEvent,
  TrainerReplies,
  TrainerStatus,
  TuningReply,
} from "./actors/messages.ts";
export type { HeldAnswers } from "./actors/prompts.ts";

// What a run writes down.
export { type Checkpoint, type CheckpointParts, Checkpoints, type LoadedCheckpoint } from "./actors/run/checkpoints.ts";
export { type Line, Lines, type LinesOptions } from "./actors/run/lines.ts";
export { TensorBoard } from "./actors/run/tensorboard.ts";

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
} from "./actors/evaluator/evaluate.ts";
export { engineGenerate } from "./actors/evaluator/engine_generate.ts";
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
} from "./actors/evaluator/statistics.ts";
export { statisticsTable } from "./cli/eval/table.ts";
export { wilson } from "./actors/evaluator/wilson.ts";
