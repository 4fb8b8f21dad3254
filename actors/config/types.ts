import type { FormatName } from "../../data/formats.ts";
import type { Estimator } from "../../rl/advantages/estimator.ts";
import type { HeadRule } from "../../rl/atrl/head_ranking.ts";
import type { AtrlOptions } from "../../rl/atrl/options.ts";
import type { CreditMethod } from "../../rl/credit/credit.ts";
import type { CoefficientConfig } from "../../rl/divergences/coefficient.ts";
import type { DivergenceKind } from "../../rl/divergences/divergence.ts";
import type { Correction } from "../../rl/losses/correction.ts";
import type { PolicyLoss } from "../../rl/losses/policy_loss.ts";
import type { ModuleUse } from "../../rl/user_module.ts";
import type { ParsedReward, RewardSpec } from "../../verify/registry.ts";
import type { ConnectivityOptions } from "../../model/connectivity.ts";
import type { PresetName } from "../../model/config/presets.ts";
import type { TrackerInput, TrackerSection } from "../trackers/options.ts";

/** Section `model`: the network that is trained. */
export interface ModelSection {
  /** Model folder, or a model of the hub as owner/name or owner/name@revision; null: the built-in board model is made. */
  path: string | null;
  /** The size of the model that is made if path is null. */
  preset: PresetName;
  /** The type of the weights; null: the folder's. On a CPU that of frozen weights: trained ones are f32. */
  dtype: "f32" | "bf16" | null;
  /** Whether the vision tower is not trained. */
  freezeVision: boolean;
  /** Low-rank adapters that are trained in place of the weights; null: none. */
  lora: LoraSection | null;
  /** Which activations are recomputed in the backward pass. */
  checkpointing: "auto" | "off" | "blocks" | "full";
}

/** `model.lora`: low-rank adapters (LoRA), which are trained in place of the model's weights. */
export interface LoraSection {
  /** The rank of the adapters. */
  rank: number;
  /** The adapters' output is multiplied by alpha / rank. */
  alpha: number;
  /** The modules that get adapters: all-linear, names, or a pattern. */
  targets: string | string[];
  /** The modules among them that get none: names, or a pattern. */
  exclude: string | string[];
  /** The share of inputs that are left out in training. Only 0 is possible. */
  dropout: number;
  /** Whether the output is multiplied by alpha / sqrt(rank) instead. */
  rsLoRA: boolean;
  /** Modules that are trained whole. */
  modulesToSave: string[];
}

/** Section `data`: where prompts come from. */
export interface DataSection {
  /** The built-in task, or rows of files. */
  task: "board" | "files";
  /** Files of rows to train on. */
  trainFiles: string | string[];
  /** Files of rows to evaluate on. */
  valFiles: string | string[];
  /** The format of the rows; auto: recognised, row by row. */
  format: "auto" | FormatName;
  /** The folder that pictures' paths are relative to; null: each file's folder. */
  imageDir: string | null;
  /** Further folders from which pictures and videos may be read by absolute paths or by paths with "..". */
  imageRoots: string[];
  /** Whether pictures are fetched from the web: false, true, or the hosts that they may come from. */
  allowRemote: boolean | string[];
  /** The field of the question, a text or turns; null: the format's. Each of these may be a path, as extra_info.question. */
  promptKey: string | null;
  /** The field of the reference answer; null: the format's. */
  answerKey: string | null;
  /** The field of the pictures; null: the format's. */
  imageKey: string | null;
  /** The field of the videos; null: the format's. */
  videoKey: string | null;
  /** The field of a question's choices; null: the format's. */
  optionsKey: string | null;
  /** The field of a row's name; null: its file and number. */
  idKey: string | null;
  /** The field of a worked answer, for the warm start; null: the format's, or the assistant's turn at the end of the question. */
  demonstrationKey: string | null;
  /** The system message, which replaces the rows' own; null: the rows', or the chat template's. */
  systemPrompt: string | null;
  /** What is asked of an answer's form; none: nothing. A path that begins with ./ or ../: a template file. */
  formatPrompt: string;
  /** The most tokens of a prompt. */
  maxPromptLength: number;
  /** The most tokens of an answer. */
  maxResponseLength: number;
  /** The number of prompts of a step. */
  rolloutBatchSize: number;
  /** Whether the rows are shuffled in every epoch. */
  shuffle: boolean;
  /** Whether longer prompts are dropped or are an error. */
  overlongPrompts: "drop" | "error";
  /** The least pixels of a picture; null: the model's. */
  minPixels: number | null;
  /** The most pixels of a picture; null: the model's. */
  maxPixels: number | null;
  /** Whether a row that cannot be read ends the run or is written to quarantine.jsonl. */
  badRows: "stop" | "quarantine";
  /** The number of batches that are prepared ahead. */
  prefetch: number;
  /** Whether a run is resumed although its files of rows have changed. */
  allowChanged: boolean;
  /** Options of the board task. */
  board: Record<string, number | boolean | string | (number | string)[]>;
  /** A module of the user's own that says the class of each token of an answer; null: the board task's own classes, none for files. */
  classes: string | null;
}

/** Section `rollout`: how answers are drawn. */
export interface RolloutSection {
  /** The number of answers to a prompt. */
  n: number;
  /** Divides the logits, in sampling and in the loss. */
  temperature: number;
  /** Keeps the likeliest tokens up to this probability. */
  topP: number;
  /** Keeps this many of the likeliest tokens; 0: all. */
  topK: number;
  /** Keeps tokens of at least this share of the likeliest one's probability. */
  minP: number;
  /** The most sequences that are decoded at once; null: as many as the memory admits, 1024 at most on a GPU, 256 on a CPU. */
  maxSequences: number | null;
  /** The most bytes of the engine's cache and buffers; null: a share of the free memory. */
  memoryBytes: number | null;
}

/** `algorithm.kl`: a divergence from the model at the start. */
export interface KlConfig {
  /** The estimate; full: KL over the whole vocabulary. */
  kind: DivergenceKind | "full";
  /** Whether it is part of the loss or of the reward. */
  where: "loss" | "reward";
  /** Its factor, fixed or steered. */
  coefficient: CoefficientConfig;
  /** The order of kind alpha; see `Divergence`. */
  alpha?: number | undefined;
  /** The bound of value and slope; see `Divergence`. */
  clamp?: number | null | undefined;
  /** Whether it is multiplied by policy / old; see `Divergence`. */
  importance?: boolean | undefined;
}

/** `algorithm.loss` as a module of the user's own. */
export interface LossUse extends ModuleUse {
  /** Tells it from the built-in losses. */
  kind: "module";
}

/** Section `algorithm`: from rewards to a loss. */
export interface AlgorithmSection {
  /** How rewards become advantages: a name, or {kind, ...options}. */
  advEstimator: Estimator;
  /** The policy loss and its bounds, or a module of the user's own. */
  loss: PolicyLoss | LossUse;
  /** Mean over tokens, over responses of token means, or token sums by data.maxResponseLength. */
  lossAvgMode: "token" | "seq" | "seq_sum_norm";
  /** The coefficient of the entropy bonus. */
  entropyCoefficient: number;
  /** Which log-probs the ratios refer to. */
  oldLogprobs: "rollout" | "recompute";
  /** Importance weights between recomputed log-probs and the rollout's; null: none. */
  correction: Required<Correction> | null;
  /** A divergence from the model at the start; null: none, and no reference is loaded. */
  kl: KlConfig | null;
  /** Samples until a step has enough groups that are neither all right nor all wrong; null: no. */
  onlineFiltering: { filterLow: number; filterHigh: number; maxTries: number } | null;
  /** The part of the reward that onlineFiltering uses. */
  filterKey: string;
  /** A soft punishment near the length limit; null: none. */
  overlong: { buffer: number; factor: number } | null;
  /** Whether answers that were cut off are left out of the loss. */
  maskTruncated: boolean;
  /** Which tokens earn the advantage: atrl (section atrl), vppo, none (all alike), or what a module of the user's own says. */
  credit: CreditMethod | ModuleUse;
  /** The options of credit vppo. */
  vppo: { topFraction: number; scalingMin: number };
}

/** Section `atrl`: how anchors are found and weighted, and how connectivity is measured. */
export interface AtrlSection extends AtrlOptions, Required<Omit<ConnectivityOptions, "heads">> {
  /** The query heads that count: all, a list of [layer, head], or a rule that chooses them without labels. */
  heads: Required<ConnectivityOptions>["heads"] | HeadsRule;
}

/** `atrl.heads` as a rule: heads are ranked by answers of the run, before its first step and now and then. */
export interface HeadsRule {
  /** What heads are ranked by; see `rankHeads`. */
  rule: HeadRule;
  /** The number of heads that are kept. */
  keep: number;
  /** The number of steps between two choices. */
  every: number;
  /** The number of prompts whose answers are measured. */
  prompts: number;
}

/** Section `optim`: AdamW and its rate. */
export interface OptimSection {
  /** The learning rate after the warm-up. */
  lr: number;
  /** The weight decay of matrices; norms and biases have none. */
  weightDecay: number;
  /** The number of steps in which the learning rate rises. */
  warmupSteps: number;
  /** How the learning rate changes after the warm-up. */
  schedule: "constant" | "linear" | "cosine";
  /** The share of lr that is left at the end of a falling schedule. */
  minRatio: number;
  /** The decay of the first moment. */
  beta1: number;
  /** The decay of the second moment. */
  beta2: number;
  /** The number that is added to the root of the second moment. */
  eps: number;
  /** The gradient's norm is clipped to this; 0: no clipping. */
  maxGradNorm: number;
  /** The type of both moments. */
  moments: "f32" | "bf16";
}

/** Section `batch`: how a rollout is cut up for updates. */
export interface BatchSection {
  /** The number of prompts of an optimizer step; null: all of the rollout. */
  globalBatchSize: number | null;
  /** How many times a rollout is used. */
  ppoEpochs: number;
  /** The most packed tokens of a micro-batch; a prompt's answers stay together. */
  microTokens: number;
}

/** Section `grader`: where rewards are worked out, and what they may reach. */
export interface GraderSection {
  /** The number of grading processes; null: by cores; 0: none, the training process grades. */
  workers: number | null;
  /** The time limit of a sample in milliseconds. */
  timeLimit: number;
  /** Paths that reward modules may read and import, besides the imports from their own folders. */
  read: string[];
  /** Hosts that reward modules may connect to and import from. */
  net: string[];
  /** Environment variables that reward modules may read. */
  env: string[];
}

/** Section `trainer`: how long, and what is kept. */
export interface TrainerSection {
  /** The number of steps of the run; totalEpochs may end it earlier. */
  maxSteps: number;
  /** The number of epochs; null: as many as maxSteps needs. */
  totalEpochs: number | null;
  /** The number of steps between checkpoints; 0: only at the end; null: never. */
  saveFreq: number | null;
  /** The number of newest checkpoints that are kept, besides the best one. */
  saveLimit: number;
  /** Whether the best checkpoint by evaluation is kept. */
  saveBest: boolean;
  /** The number of steps between evaluations; 0: only at the end. */
  valFreq: number;
  /** Whether there is an evaluation before the first step. */
  valBeforeTrain: boolean;
  /** How many updates in a row may be skipped because of a gradient that is not finite. */
  maxSkipped: number;
  /** The most restarts from the last checkpoint in restartWindowMinutes. */
  maxRestarts: number;
  /** See maxRestarts. */
  restartWindowMinutes: number;
}

/** Section `val`: evaluations. */
export interface ValSection {
  /** The most rows of an evaluation. */
  limit: number;
  /** The number of answers to a row. */
  n: number;
  /** Divides the logits of sampled answers. */
  temperature: number;
  /** Like rollout.topP, for sampled answers. */
  topP: number;
  /** Whether each row is also answered greedily. */
  greedy: boolean;
}

/** Section `sft`: the supervised warm start. */
export interface SftSection {
  /** The number of its optimizer steps; 0: no warm start. */
  steps: number;
  /** The number of examples of a step. */
  batchSize: number;
  /** The learning rate after the warm-up. */
  lr: number;
  /** The number of steps in which the learning rate rises. */
  warmupSteps: number;
  /** How the learning rate changes after the warm-up. */
  schedule: "constant" | "linear" | "cosine";
  /** The weight decay of matrices; norms and biases have none. */
  weightDecay: number;
  /** The gradient's norm is clipped to this; 0: no clipping. */
  maxGradNorm: number;
  /** The number of its steps between checkpoints; 0: only when it is stopped, and at its end. */
  saveFreq: number;
}

/** Section `world`: several processes that train together. */
export interface WorldSection {
  /** The parts in which gradients are summed; null: one for each rank of the first start. */
  lanes: number | null;
  /** What is divided among ranks. */
  shard: "none" | "optimizer";
  /** How long a rank waits for others. */
  timeoutSeconds: number;
  /** The number of steps between two comparisons of the ranks' weights; 0: none. */
  checkEvery: number;
}

/** Section `logging`: what a run writes down. */
export interface LoggingSection {
  /** Whether an event file is written. */
  tensorboard: boolean;
  /** Answers that go to rollouts.jsonl: of all steps, of a step's first prompts, none. */
  rollouts: "all" | "first" | "none";
  /** The number of answers of a step that are written. */
  rolloutSamples: number;
  /** Whether report.html is written. */
  report: boolean;
  /** Experiment trackers that are told of the run. */
  trackers: TrackerSection[];
  /** Bytes of a file that grows with the run, at most. */
  maxFileBytes: number;
}

/** The configuration as it is used: everything filled in. The schema describes each key. */
export interface Config {
  /** Name of the run: its folder in runDir. */
  name: string;
  /** The folder of all runs, relative to the working directory. */
  runDir: string;
  /** The seed of weights, data and random draws. */
  seed: number;
  /** auto, cpu, cuda or cuda:1. */
  device: string;
  /** The number of threads of CPU ops; null: all cores. */
  threads: number | null;
  /** The network that is trained. */
  model: ModelSection;
  /** Where prompts come from. */
  data: DataSection;
  /** How answers are sampled. */
  rollout: RolloutSection;
  /** From rewards to a loss. */
  algorithm: AlgorithmSection;
  /** Anchor tokens, arXiv 2602.11455: weights, and how connectivity is measured. */
  atrl: AtrlSection;
  /** AdamW and its learning rate. */
  optim: OptimSection;
  /** How a rollout is divided for updates. */
  batch: BatchSection;
  /** A verifier, a module, or named parts with weights. */
  reward: ParsedReward;
  /** Where rewards are computed. */
  grader: GraderSection;
  /** How long a run trains, and what it keeps. */
  trainer: TrainerSection;
  /** Evaluations. */
  val: ValSection;
  /** The supervised warm start; null: none. Left out: its defaults for the board task, none for files. */
  sft: SftSection | null;
  /** Several processes that train together. */
  world: WorldSection;
  /** What a run writes to files. */
  logging: LoggingSection;
}

/** `algorithm.kl` as it may be written: a bare number is a fixed coefficient. */
export interface KlInput {
  /** Default "k3". */
  kind?: KlConfig["kind"] | undefined;
  /** Default "loss". */
  where?: KlConfig["where"] | undefined;
  /** A number: fixed. */
  coefficient: number | CoefficientConfig;
  /** The order of kind alpha; see `Divergence`. */
  alpha?: number | undefined;
  /** The bound of value and slope; see `Divergence`. */
  clamp?: number | null | undefined;
  /** Whether it is multiplied by policy / old; see `Divergence`. */
  importance?: boolean | undefined;
}

/** Section `algorithm` as it may be written. */
export interface AlgorithmInput
  extends
    Partial<Omit<AlgorithmSection, "advEstimator" | "loss" | "correction" | "kl" | "onlineFiltering" | "overlong" | "credit" | "vppo">> {
  /** A name, or one with its options. */
  advEstimator?: Estimator["kind"] | Estimator;
  /** A built-in loss, or a module by its path. */
  loss?: PolicyLoss | LossUse | string;
  /** A method's name, or a module by its path. */
  credit?: CreditMethod | ModuleUse | (string & Record<never, never>);
  /** Keys that are left out have their defaults. With null there is none. */
  correction?: Correction | null;
  /** With null there is none. */
  kl?: KlInput | null;
  /** Keys that are left out have their defaults. With null there is none. */
  onlineFiltering?: { filterLow?: number; filterHigh?: number; maxTries?: number } | null;
  /** Keys that are left out have their defaults. With null there is none. */
  overlong?: { buffer: number; factor?: number } | null;
  /** Keys that are left out have their defaults. */
  vppo?: { topFraction?: number; scalingMin?: number };
}

/** Names of the sections that may be given in part. */
export type ConfigSectionName =
  | "model"
  | "data"
  | "rollout"
  | "optim"
  | "batch"
  | "grader"
  | "trainer"
  | "val"
  | "world"
  | "logging"
  | "atrl";

/** The configuration as it may be written: what is left out has its default. */
export type ConfigInput =
  & Partial<Pick<Config, "name" | "runDir" | "seed" | "device" | "threads">>
  & { [K in Exclude<ConfigSectionName, "logging" | "model" | "atrl">]?: Partial<Config[K]> }
  & {
    atrl?: Partial<Omit<AtrlSection, "heads">> & {
      heads?: Exclude<AtrlSection["heads"], HeadsRule> | Partial<HeadsRule> & Pick<HeadsRule, "rule">;
    };
  }
  & { model?: Partial<Omit<ModelSection, "lora">> & { lora?: Partial<LoraSection> | null } }
  & { logging?: Partial<Omit<LoggingSection, "trackers">> & { trackers?: TrackerInput[] } }
  & { $schema?: string; algorithm?: AlgorithmInput; reward?: RewardSpec; sft?: Partial<SftSection> | null };
