/**
 * Kedge trains multimodal language models by reinforcement learning from verifiable rewards. Its method AT-RL assigns credit to tokens by their connectivity:
 * how strongly they attend to the picture. Kedge is written in TypeScript, with its own kernels for CUDA and for the CPU.
 *
 * This page has what a program needs first: training, generation, scoring, and inspection of what an answer attends to. Seven more entry points have the rest:
 *
 * - `@kedge/kedge/actors`: a run's configuration, its checkpoints and evaluation; actors, which are threads that own tensors.
 * - `@kedge/kedge/rl`: advantages, AT-RL, policy losses, divergences, dynamic sampling.
 * - `@kedge/kedge/rewards`: verifiers, and the processes that grade answers.
 * - `@kedge/kedge/model`: model folders, the processor, the training forward, the generation engine.
 * - `@kedge/kedge/data`: data sets of files, of the hub and of the built-in task.
 * - `@kedge/kedge/tensor`: devices, tensors, gradients, AdamW, safetensors.
 * - `@kedge/kedge/control`: the HTTP endpoint and the dashboard of a run.
 *
 * @example Train: a run on the built-in task, cut to one step
 * ```ts
 * import { train } from "@kedge/kedge";
 * import { assertEquals } from "@std/assert";
 *
 * const runDir = Deno.makeTempDirSync();
 * const short = ["sft.steps=1", "sft.batchSize=2", "sft.warmupSteps=1", "trainer.maxSteps=1", "data.rolloutBatchSize=2", "rollout.n=2", "val.limit=2"];
 * const { state, step } = await train({ sets: [...short, `runDir=${runDir}`, "device=cpu", "data.maxResponseLength=4"] });
 * assertEquals([state, step], ["done", 1]);
 * Deno.removeSync(runDir, { recursive: true });
 * ```
 *
 * @example Generate, score and inspect: answers to boards of coloured digits, graded, with their anchors
 * ```ts
 * import { BoardDataset, detectAtrl, Engine, gradeMath, newBoardModel, openDevice, Processor, Responses, Tensor, VisionLanguageModel } from "@kedge/kedge";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = `${Deno.makeTempDirSync()}/model`;
 * newBoardModel(folder, { seed: 1 }); // a tiny model with random weights; or fetchModel("Qwen/Qwen2.5-VL-3B-Instruct")
 * using device = openDevice("cpu"); // or "auto"
 * using model = VisionLanguageModel.load(folder, { device });
 * using engine = new Engine(model, { memoryBytes: 2 ** 27 });
 * const processor = Processor.fromFolder(folder);
 *
 * const { messages, truth } = await new BoardDataset({}, { seed: 1, split: "train" }).sample(0);
 * const [answers] = await engine.generate([await processor.prompt(messages)], { n: 2, maxTokens: 6, seed: 1, connectivity: true });
 * const scores = answers!.map(({ tokens }) => gradeMath({ response: processor.decode(tokens), truth }).score);
 * assertEquals(scores.length, 2);
 *
 * // Which tokens attend to one place of the picture most.
 * using responses = Responses.of(device, answers!.map(({ tokens }) => tokens.length));
 * using connectivity = Tensor.from(device, answers!.flatMap((answer) => [...answer.connectivity!]));
 * using flat = Tensor.from(device, answers!.flatMap((answer) => [...answer.profile!]));
 * using profile = flat.reshape([responses.tokens, answers![0]!.regions!.regions]);
 * using credit = detectAtrl(responses, { connectivity, profile, visual: [true, true] });
 * assertEquals(credit.weights.shape, [responses.tokens]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 *
 * @module
 */

// Training.
export {
  type Config,
  type ConfigSource,
  loadConfig,
  type LoadedConfig,
  train,
  type TrainerEvent,
  TrainingRun,
  type TrainingRunOptions,
  type TrainResult,
} from "./actors/mod.ts";

// Generation.
export { type Device, KedgeError, type KedgeErrorCode, openDevice, type OpenOptions, Tensor } from "./tensor/mod.ts";
export {
  type Completion,
  Engine,
  type EngineOptions,
  type GenerateOptions,
  type Message,
  Processor,
  type Prompt,
  type PromptOptions,
  saveModel,
  VisionLanguageModel,
} from "./model/mod.ts";
export { BoardDataset, type Dataset, downloadDataset, fetchModel, newBoardModel, openDataset, type Sample } from "./data/mod.ts";

// Scoring.
export { gradeChoice, gradeMath, GraderPool, planReward, type RewardInput, type RewardResult } from "./verify/mod.ts";
export {
  engineGenerate,
  evaluate,
  type EvaluateOptions,
  type Evaluation,
  type Prediction,
  type Question,
  questionOf,
  type Statistics,
} from "./actors/mod.ts";
export { statisticsTable } from "./cli/eval/table.ts";

// Inspection.
export { AtrlCredit, detectAtrl, Responses } from "./rl/mod.ts";
export type { RegionMap } from "./model/mod.ts";
export { Checkpoints } from "./actors/mod.ts";

// Names that have moved to an entry point. Version 0.2 will not have them here.
export * from "./deprecated/actors.ts";
export * from "./deprecated/data.ts";
export * from "./deprecated/model.ts";
export * from "./deprecated/rewards.ts";
export * from "./deprecated/rl.ts";
export * from "./deprecated/tensor.ts";
