import type { FormatName } from "../../data/formats.ts";
import type { Estimator } from "../../rl/advantages/estimator.ts";
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
  /** Size of the model that is made where path is null. */
  preset: PresetName;
  /** Of the weights; null: f32 on a CPU, else the folder's. */
  dtype: "f32" | "bf16" | null;
  /** Whether the vision tower is left as it is. */
  freezeVision: boolean;
  /** Activations that are computed anew in the backward pass. */
  checkpointing: "off" | "blocks" | "full";
}

/** Section `data`: where prompts come from. */
export interface DataSection {
  /** The built-in task, or rows of files. */
  task: "board" | "files";
  /** Files of rows to train on. */
  trainFiles: string | string[];
  /** Files of rows to evaluate on. */
  valFiles: string | string[];
  /** Shape of the rows; auto: recognised, row by row. */
  format: "auto" | FormatName;
  /** What pictures' paths are relative to; null: each file's folder. */
  imageDir: string | null;
  /** Further folders that pictures and videos may lie in, by absolute paths or over .. */
  imageRoots: string[];
  /** Whether pictures are fetched from the web: false, true, or the hosts that they may come from. */
  allowRemote: boolean | string[];
  /** Field of the question, a text or turns; null: the format's. Each of these may be a path, as extra_info.question. */
  promptKey: string | null;
  /** Field of the reference answer; null: the format's. */
  answerKey: string | null;
  /** Field of the pictures; null: the format's. */
  imageKey: string | null;
  /** Field of the videos; null: the format's. */
  videoKey: string | null;
  /** Field of a question's choices; null: the format's. */
  optionsKey: string | null;
  /** Field of a row's name; null: its file and number. */
  idKey: string | null;
  /** Field of a worked answer, for the warm start; null: the format's, or the assistant's turn that the question ends with. */
  demonstrationKey: string | null;
  /** System message, in the place of the rows' own; null: the rows', or the chat template's. */
  systemPrompt: string | null;
  /** What is asked of an answer's form; none: nothing. A path that begins with ./ or ../: a template file. */
  formatPrompt: string;
  /** Tokens of a prompt, at most. */
  maxPromptLength: number;
  /** Tokens of an answer, at most. */
  maxResponseLength: number;
  /** Prompts of a step. */
  rolloutBatchSize: number;
  /** Whether every epoch has an order of its own. */
  shuffle: boolean;
  /** What becomes of longer prompts. */
  overlongPrompts: "drop" | "error";
  /** Of a picture, at least; null: the model's. */
  minPixels: number | null;
  /** Of a picture, at most; null: the model's. */
  maxPixels: number | null;
  /** What a row that cannot be read does: end the run, or go to a file. */
  badRows: "stop" | "quarantine";
  /** Batches that are made ready ahead. */
  prefetch: number;
  /** Whether a run is resumed although its files of rows are others than they were. */
  allowChanged: boolean;
  /** Options of the board task. */
  board: Record<string, number | boolean | string | (number | string)[]>;
}

/** Section `rollout`: how answers are drawn. */
export interface RolloutSection {
  /** Answers to a prompt. */
  n: number;
  /** Divides the logits, in sampling and in the loss. */
  temperature: number;
  /** Keeps the likeliest tokens up to this probability. */
  topP: number;
  /** Keeps so many of the likeliest tokens; 0: all. */
  topK: number;
  /** Keeps tokens of at least this share of the likeliest one's probability. */
  minP: number;
  /** Sequences decoded at once; null: what fits. */
  maxSequences: number | null;
  /** Most bytes of the engine; null: from what is free. */
  memoryBytes: number | null;
}

/** `algorithm.kl`: a divergence from the model at the start. */
export interface KlConfig {
  /** As of Divergence; full: KL over the whole vocabulary. */
  kind: DivergenceKind | "full";
  /** What it is part of. */
  where: "loss" | "reward";
  /** Its factor, fixed or steered. */
  coefficient: CoefficientConfig;
  /** As of Divergence. */
  alpha?: number | undefined;
  /** As of Divergence. */
  clamp?: number | null | undefined;
  /** As of Divergence. */
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
  /** Of the entropy bonus. */
  entropyCoefficient: number;
  /** Whose log-probs the ratios refer to. */
  oldLogprobs: "rollout" | "recompute";
  /** Importance weights between recomputed log-probs and the rollout's; null: none. */
  correction: Required<Correction> | null;
  /** A divergence from the model at the start; null: none, and no reference is loaded. */
  kl: KlConfig | null;
  /** Draws on until a step has groups that are neither all right nor all wrong; null: no. */
  onlineFiltering: { filterLow: number; filterHigh: number; maxTries: number } | null;
  /** Part of the reward that onlineFiltering looks at. */
  filterKey: string;
  /** Soft punishment near the length limit; null: none. */
  overlong: { buffer: number; factor: number } | null;
  /** Whether answers that were cut off are left out of the loss. */
  maskTruncated: boolean;
  /** Which tokens earn the advantage: atrl (section atrl), vppo, none (all alike), or what a module of the user's own says. */
  credit: CreditMethod | ModuleUse;
  /** Options of credit vppo. */
  vppo: { topFraction: number; scalingMin: number };
}

/** Section `atrl`: how anchors are found and weighted, and how connectivity is measured. */
export interface AtrlSection extends AtrlOptions, Required<ConnectivityOptions> {}

/** Section `optim`: AdamW and its rate. */
export interface OptimSection {
  /** Learning rate after the warm-up. */
  lr: number;
  /** Of matrices; norms and biases have none. */
  weightDecay: number;
  /** Steps in which the rate rises. */
  warmupSteps: number;
  /** The rate after the warm-up. */
  schedule: "constant" | "linear" | "cosine";
  /** Share of lr at the end of a schedule that falls. */
  minRatio: number;
  /** Decay of the first moment. */
  beta1: number;
  /** Decay of the second moment. */
  beta2: number;
  /** Added to the root of the second moment. */
  eps: number;
  /** The gradient's norm is brought down to this; 0: it is left. */
  maxGradNorm: number;
  /** Type of both moments. */
  moments: "f32" | "bf16";
}

/** Section `batch`: how a rollout is cut up for updates. */
export interface BatchSection {
  /** Prompts of an optimizer step; null: all of the rollout. */
  globalBatchSize: number | null;
  /** Times that a rollout is gone through. */
  ppoEpochs: number;
  /** Packed tokens of a micro-batch; a prompt's answers stay together. */
  microTokens: number;
}

/** Section `grader`: where rewards are worked out, and what they may reach. */
export interface GraderSection {
  /** Processes; null: by cores. */
  workers: number | null;
  /** Milliseconds for a sample. */
  timeLimit: number;
  /** Paths that reward modules may read and import, besides what they import from their own folders. */
  read: string[];
  /** Hosts that reward modules may reach and import from. */
  net: string[];
  /** Environment variables that reward modules may read. */
  env: string[];
}

/** Section `trainer`: how long, and what is kept. */
export interface TrainerSection {
  /** Steps of the run; totalEpochs may end it before. */
  maxSteps: number;
  /** Times that the rows are gone through; null: as maxSteps asks. */
  totalEpochs: number | null;
  /** Steps between checkpoints; 0: at the end only. */
  saveFreq: number;
  /** Checkpoints that are kept, besides the best. */
  saveLimit: number;
  /** Whether the best checkpoint by evaluation is kept. */
  saveBest: boolean;
  /** Steps between evaluations; 0: at the end only. */
  valFreq: number;
  /** Whether there is one before the first step. */
  valBeforeTrain: boolean;
  /** Updates in a row that may be skipped for a gradient that is not finite. */
  maxSkipped: number;
  /** Restarts from the last checkpoint in restartWindowMinutes. */
  maxRestarts: number;
  /** See maxRestarts. */
  restartWindowMinutes: number;
}

/** Section `val`: evaluations. */
export interface ValSection {
  /** Rows, at most. */
  limit: number;
  /** Answers to a row. */
  n: number;
  /** Divides the logits, where not greedy. */
  temperature: number;
  /** As rollout.topP, where not greedy. */
  topP: number;
  /** Whether the likeliest token is taken. */
  greedy: boolean;
}

/** Section `sft`: the supervised warm start. */
export interface SftSection {
  /** Its optimizer steps; 0: none. */
  steps: number;
  /** Examples of a step. */
  batchSize: number;
  /** Learning rate after the warm-up. */
  lr: number;
  /** Steps in which the rate rises. */
  warmupSteps: number;
  /** The rate after the warm-up. */
  schedule: "constant" | "linear" | "cosine";
  /** Of matrices; norms and biases have none. */
  weightDecay: number;
  /** The gradient's norm is brought down to this; 0: it is left. */
  maxGradNorm: number;
  /** Its steps between checkpoints; 0: where it is stopped, and at its end. */
  saveFreq: number;
}

/** Section `logging`: what a run writes down. */
export interface LoggingSection {
  /** Whether an event file is written. */
  tensorboard: boolean;
  /** Answers that go to rollouts.jsonl: of all steps, of a step's first prompts, none. */
  rollouts: "all" | "first" | "none";
  /** Answers a step that are shown. */
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
  /** Where runs are kept, relative to the working directory. */
  runDir: string;
  /** Of weights, data and draws. */
  seed: number;
  /** auto, cpu, cuda or cuda:1. */
  device: string;
  /** Threads of CPU ops; null: all cores. */
  threads: number | null;
  /** The network that is trained. */
  model: ModelSection;
  /** Where prompts come from. */
  data: DataSection;
  /** How answers are drawn. */
  rollout: RolloutSection;
  /** From rewards to a loss. */
  algorithm: AlgorithmSection;
  /** Anchor tokens, arXiv 2602.11455: weights, and how connectivity is measured. */
  atrl: AtrlSection;
  /** AdamW and its rate. */
  optim: OptimSection;
  /** How a rollout is cut up for updates. */
  batch: BatchSection;
  /** A verifier, a module, or named parts with weights. */
  reward: ParsedReward;
  /** Where rewards are worked out. */
  grader: GraderSection;
  /** How long, and what is kept. */
  trainer: TrainerSection;
  /** Evaluations. */
  val: ValSection;
  /** The supervised warm start; null: none. Left out: its defaults for the board task, none for files. */
  sft: SftSection | null;
  /** What a run writes down. */
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
  /** As of Divergence. */
  alpha?: number | undefined;
  /** As of Divergence. */
  clamp?: number | null | undefined;
  /** As of Divergence. */
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
  /** What is left out has its default; null: none. */
  correction?: Correction | null;
  /** Null: none. */
  kl?: KlInput | null;
  /** What is left out has its default; null: none. */
  onlineFiltering?: { filterLow?: number; filterHigh?: number; maxTries?: number } | null;
  /** What is left out has its default; null: none. */
  overlong?: { buffer: number; factor?: number } | null;
  /** What is left out has its default. */
  vppo?: { topFraction?: number; scalingMin?: number };
}

/** Names of the sections that may be given in part. */
export type ConfigSectionName = "model" | "data" | "rollout" | "optim" | "batch" | "grader" | "trainer" | "val" | "logging" | "atrl";

/** The configuration as it may be written: what is left out has its default. */
export type ConfigInput =
  & Partial<Pick<Config, "name" | "runDir" | "seed" | "device" | "threads">>
  & { [K in Exclude<ConfigSectionName, "logging">]?: Partial<Config[K]> }
  & { logging?: Partial<Omit<LoggingSection, "trackers">> & { trackers?: TrackerInput[] } }
  & { $schema?: string; algorithm?: AlgorithmInput; reward?: RewardSpec; sft?: Partial<SftSection> | null };
