import type { Estimator } from "../../rl/advantages/estimator.ts";
import type { AtrlOptions } from "../../rl/atrl/options.ts";
import type { CreditMethod } from "../../rl/credit/credit.ts";
import type { CoefficientConfig } from "../../rl/divergences/coefficient.ts";
import type { DivergenceKind } from "../../rl/divergences/divergence.ts";
import type { Correction } from "../../rl/losses/correction.ts";
import type { PolicyLoss } from "../../rl/losses/policy_loss.ts";
import type { ParsedReward, RewardSpec } from "../../rl/rewards/registry.ts";
import type { ConnectivityOptions } from "../../model/connectivity.ts";
import type { PresetName } from "../../model/config/presets.ts";

/** Section `model`: the network that is trained. */
export interface ModelSection {
  path: string | null;
  preset: PresetName;
  dtype: "f32" | "bf16" | null;
  freezeVision: boolean;
  checkpointing: "off" | "blocks" | "full";
}

/** Section `data`: where prompts come from. */
export interface DataSection {
  task: "board" | "files";
  trainFiles: string | string[];
  valFiles: string | string[];
  imageDir: string | null;
  promptKey: string;
  answerKey: string;
  imageKey: string;
  videoKey: string;
  optionsKey: string;
  idKey: string | null;
  demonstrationKey: string | null;
  systemPrompt: string | null;
  formatPrompt: string;
  maxPromptLength: number;
  maxResponseLength: number;
  rolloutBatchSize: number;
  shuffle: boolean;
  overlongPrompts: "drop" | "error";
  minPixels: number | null;
  maxPixels: number | null;
  badRows: "stop" | "quarantine";
  prefetch: number;
  board: Record<string, number | boolean | string | (number | string)[]>;
}

/** Section `rollout`: how answers are drawn. */
export interface RolloutSection {
  n: number;
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  maxSequences: number | null;
  memoryBytes: number | null;
}

/** `algorithm.kl`: a divergence from the model at the start. */
export interface KlConfig {
  kind: DivergenceKind | "full";
  where: "loss" | "reward";
  coefficient: CoefficientConfig;
  alpha?: number | undefined;
  clamp?: number | null | undefined;
  importance?: boolean | undefined;
}

/** Section `algorithm`: from rewards to a loss. */
export interface AlgorithmSection {
  advEstimator: Estimator;
  loss: PolicyLoss;
  lossAvgMode: "token" | "seq" | "seq_sum_norm";
  entropyCoefficient: number;
  oldLogprobs: "rollout" | "recompute";
  correction: Required<Correction> | null;
  kl: KlConfig | null;
  onlineFiltering: { filterLow: number; filterHigh: number; maxTries: number } | null;
  filterKey: string;
  overlong: { buffer: number; factor: number } | null;
  maskTruncated: boolean;
  credit: CreditMethod;
  vppo: { topFraction: number; scalingMin: number };
}

/** Section `atrl`: how anchors are found and weighted, and how connectivity is measured. */
export interface AtrlSection extends AtrlOptions, Required<ConnectivityOptions> {}

/** Section `optim`: AdamW and its rate. */
export interface OptimSection {
  lr: number;
  weightDecay: number;
  warmupSteps: number;
  schedule: "constant" | "linear" | "cosine";
  minRatio: number;
  beta1: number;
  beta2: number;
  eps: number;
  maxGradNorm: number;
  moments: "f32" | "bf16";
}

/** Section `batch`: how a rollout is cut up for updates. */
export interface BatchSection {
  globalBatchSize: number | null;
  ppoEpochs: number;
  microTokens: number;
}

/** Section `grader`: where rewards are worked out, and what they may reach. */
export interface GraderSection {
  workers: number | null;
  timeLimit: number;
  read: string[];
  net: string[];
  env: string[];
}

/** Section `trainer`: how long, and what is kept. */
export interface TrainerSection {
  maxSteps: number;
  totalEpochs: number | null;
  saveFreq: number;
  saveLimit: number;
  saveBest: boolean;
  valFreq: number;
  valBeforeTrain: boolean;
  maxSkipped: number;
  maxRestarts: number;
  restartWindowMinutes: number;
}

/** Section `val`: evaluations. */
export interface ValSection {
  limit: number;
  n: number;
  temperature: number;
  topP: number;
  greedy: boolean;
}

/** Section `sft`: the supervised warm start. */
export interface SftSection {
  steps: number;
  batchSize: number;
  lr: number;
  warmupSteps: number;
  schedule: "constant" | "linear" | "cosine";
  weightDecay: number;
  maxGradNorm: number;
}

/** Section `logging`: what a run writes down. */
export interface LoggingSection {
  tensorboard: boolean;
  rollouts: "all" | "first" | "none";
  rolloutSamples: number;
  report: boolean;
}

/** The configuration as it is used: everything filled in. The schema describes each key. */
export interface Config {
  name: string;
  runDir: string;
  seed: number;
  device: string;
  threads: number | null;
  model: ModelSection;
  data: DataSection;
  rollout: RolloutSection;
  algorithm: AlgorithmSection;
  atrl: AtrlSection;
  optim: OptimSection;
  batch: BatchSection;
  reward: ParsedReward;
  grader: GraderSection;
  trainer: TrainerSection;
  val: ValSection;
  sft: SftSection | null;
  logging: LoggingSection;
}

/** `algorithm.kl` as it may be written: a bare number is a fixed coefficient. */
export interface KlInput {
  kind?: KlConfig["kind"] | undefined;
  where?: KlConfig["where"] | undefined;
  coefficient: number | CoefficientConfig;
  alpha?: number | undefined;
  clamp?: number | null | undefined;
  importance?: boolean | undefined;
}

/** Section `algorithm` as it may be written. */
export interface AlgorithmInput
  extends Partial<Omit<AlgorithmSection, "advEstimator" | "correction" | "kl" | "onlineFiltering" | "overlong" | "vppo">> {
  /** A name, or one with its options. */
  advEstimator?: Estimator["kind"] | Estimator;
  correction?: Correction | null;
  kl?: KlInput | null;
  onlineFiltering?: { filterLow?: number; filterHigh?: number; maxTries?: number } | null;
  overlong?: { buffer: number; factor?: number } | null;
  vppo?: { topFraction?: number; scalingMin?: number };
}

type Sections = "model" | "data" | "rollout" | "optim" | "batch" | "grader" | "trainer" | "val" | "logging" | "atrl";

/** The configuration as it may be written: what is left out has its default. */
export type ConfigInput =
  & Partial<Pick<Config, "name" | "runDir" | "seed" | "device" | "threads">>
  & { [K in Sections]?: Partial<Config[K]> }
  & { $schema?: string; algorithm?: AlgorithmInput; reward?: RewardSpec; sft?: Partial<SftSection> | null };
