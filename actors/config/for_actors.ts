/**
 * The options of each actor, as a configuration asks for them.
 *
 * @module
 */
import { parseModelId } from "../../data/hub/model.ts";
import type { OpenOptions } from "../../data/open.ts";
import type { GivenBase } from "../../model/lora/base.ts";
import type { LoraOptions } from "../../model/lora/options.ts";
import { type DivergenceTerm, needsReference } from "../../rl/divergences/term.ts";
import type { PolicyLoss } from "../../rl/losses/policy_loss.ts";
import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from "../../tensor/schedule.ts";
import type { GraderPoolOptions } from "../../verify/pool/grader_pool.ts";
import type { DetectorOptions } from "../anchor_detector/anchor_detector.ts";
import type { CriticOptions } from "../critic/critic.ts";
import type { EvaluatorOptions } from "../evaluator/evaluator.ts";
import type { LoaderOptions } from "../loader/loader.ts";
import type { LaneOptions } from "../policy/lanes.ts";
import type { LearnerOptions } from "../policy/learner.ts";
import type { PolicyOptions } from "../policy/policy.ts";
import type { Config } from "./types.ts";
import { creditModule, lossModule } from "./user_modules.ts";

/** Returns the divergence that a configuration asks for. It is undefined where there is none, or where its coefficient is 0. */
export function divergenceOf({ algorithm: { kl } }: Config): DivergenceTerm | undefined {
  return needsReference(kl ?? undefined) ? kl! : undefined;
}

/** Returns the learning rate by step that section `optim` or `sft` asks for, over `total` steps. */
export function scheduleOf(
  section: { lr: number; warmupSteps: number; schedule: "constant" | "linear" | "cosine"; minRatio?: number },
  total: number,
): Schedule {
  const { lr, minRatio = 0, schedule } = section, warmup = Math.min(section.warmupSteps, total);
  if (schedule === "constant") return constantSchedule({ lr, warmup });
  return (schedule === "linear" ? linearSchedule : cosineSchedule)({ lr, warmup, total, minRatio });
}

/** Returns the options of the policy's updates. */
function learnerOptions(config: Config, base: string): LearnerOptions {
  const { algorithm, batch, optim, data, model, sft, seed } = config, term = divergenceOf(config), module = lossModule(config, base);
  const { beta1, beta2, eps, weightDecay, maxGradNorm: maxNorm, moments } = optim;
  return {
    loss: module ? { kind: "module", module } : algorithm.loss as PolicyLoss,
    aggregation: algorithm.lossAvgMode === "seq_sum_norm"
      ? { kind: "seq_sum_norm", length: data.maxResponseLength }
      : { kind: algorithm.lossAvgMode },
    oldLogprobs: algorithm.oldLogprobs,
    correction: algorithm.correction as LearnerOptions["correction"] ?? undefined,
    divergence: term?.where === "loss" ? term as LearnerOptions["divergence"] : undefined,
    globalBatchSize: batch.globalBatchSize ?? undefined,
    epochs: batch.ppoEpochs,
    microTokens: batch.microTokens,
    checkpointing: model.checkpointing,
    optimizer: { beta1, beta2, eps, weightDecay, maxNorm, moments, seed },
    warmOptimizer: sft ? { weightDecay: sft.weightDecay, maxNorm: sft.maxGradNorm } : undefined,
  };
}

/**
 * Returns the options of the policy.
 *
 * @param from `model`: a checkpoint, or a new model. `files`: the folder of the tokenizer, template and image processor. `base`: what paths of modules are
 *   relative to.
 */
export function policyOptions(config: Config, { model, files, base }: { model: string; files: string; base: string }): PolicyOptions {
  const { maxSequences, memoryBytes } = config.rollout, lora = loraOf(config);
  return {
    model,
    files,
    dtype: config.model.dtype,
    freezeVision: config.model.freezeVision,
    ...(lora && { lora: { ...lora, seed: config.seed } }),
    base: baseOf(config, files),
    learner: learnerOptions(config, base),
    engine: { ...(maxSequences !== null && { maxSequences }), ...(memoryBytes !== null && { memoryBytes }) },
  };
}

/** Returns how a policy shares its updates with those of other ranks. */
export function laneOptions(
  { world: { shard, checkEvery }, batch: { globalBatchSize } }: Config,
  from: Pick<LaneOptions, "place" | "lanes" | "channel">,
): LaneOptions {
  return { ...from, shard, checkEvery, slice: globalBatchSize ?? undefined };
}

/** Returns the low-rank adapters that a configuration asks for; undefined where it asks for none. */
export function loraOf({ model: { lora } }: Pick<Config, "model">): LoraOptions | undefined {
  if (!lora) return undefined;
  const { dropout: _, exclude, ...options } = lora;
  return { ...options, ...(exclude.length > 0 && { exclude }) };
}

/** Returns the base of adapters: its folder, and for a model of the hub the name and commit by which other programs load it. */
function baseOf({ model: { path } }: Config, folder: string): GivenBase {
  const commit = /[/\\]snapshots[/\\]([0-9a-f]{40})$/.exec(folder)?.[1], repo = path === null ? undefined : parseModelId(path)?.repo;
  return commit === undefined || repo === undefined ? { folder } : { folder, name: repo, revision: commit };
}

/** Returns the options of the reference model: the policy's without an optimizer. */
export function referenceOptions(config: Config, from: { model: string; files: string; base: string }): PolicyOptions {
  const { learner: _, ...frozen } = policyOptions(config, from);
  return frozen;
}

/** Returns the options of the anchor detector. `base`: what the path of a module is relative to. */
export function detectorOptions(config: Config, base: string): DetectorOptions {
  const credit = creditModule(config, base);
  return credit ? { credit } : {};
}

function graderOptions({ grader: { timeLimit, workers, read, net, env } }: Config): GraderPoolOptions {
  return { timeLimit, workers: workers ?? 1, read, net, env };
}

/** Returns the options of the critic. @param base What paths of reward modules are relative to: a URL. */
export function criticOptions(config: Config, base: string): CriticOptions {
  const divergence = divergenceOf(config);
  return {
    reward: config.reward,
    base,
    grader: graderOptions(config),
    estimator: config.algorithm.advEstimator,
    ...(divergence && { divergence }),
  };
}

/** Returns the options of the evaluator. @param folders `files`: the folder of the tokenizer. `base`: as of {@linkcode criticOptions}. */
export function evaluatorOptions(config: Config, { files, base }: { files: string; base: string }): EvaluatorOptions {
  const { val: { limit, n, temperature, topP, greedy }, reward, data: { maxResponseLength: maxTokens }, seed } = config;
  return { model: files, reward, base, grader: graderOptions(config), limit, n, temperature, topP, greedy, maxTokens, seed };
}

/** Returns the options of the loader. @param files The folder of the tokenizer, template and image processor. */
export function loaderOptions({ data, seed }: Config, files: string): LoaderOptions {
  const { maxPromptLength, overlongPrompts } = data;
  return {
    model: files,
    board: data.board as LoaderOptions["board"],
    seed,
    maxPromptLength,
    overlongPrompts,
    ...(data.task === "files" && { files: { train: list(data.trainFiles), val: list(data.valFiles), columns: columnsOf(data) } }),
  };
}

function list(files: string | readonly string[]): readonly string[] {
  return typeof files === "string" ? [files] : files;
}

/** Returns how rows of files are read. */
function columnsOf(data: Config["data"]): Omit<OpenOptions, "onNote"> {
  const { format, imageRoots, allowRemote } = data, formatPrompt = formatOf(data.formatPrompt);
  const columns = {
    promptKey: data.promptKey,
    answerKey: data.answerKey,
    imageKey: data.imageKey,
    videoKey: data.videoKey,
    optionsKey: data.optionsKey,
    imageDir: data.imageDir,
    idKey: data.idKey,
    demonstrationKey: data.demonstrationKey,
    systemPrompt: data.systemPrompt,
    minPixels: data.minPixels,
    maxPixels: data.maxPixels,
  };
  const set = Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== null));
  return { format, imageRoots, allowRemote, formatPrompt, ...set };
}

/** Returns a prompt's format: the text itself, or the content of the file that it names. */
function formatOf(format: string): string {
  return /^(?:\.{1,2})?\//.test(format) ? Deno.readTextFileSync(format).replace(/\n$/, "") : format;
}
