/**
 * The schema of a run's configuration: every key with its default. Keys have EasyR1's names in camel case, where EasyR1 has them.
 *
 * @module
 */
import { z } from "zod";
import { FORMAT_NAMES } from "../../data/formats.ts";
import {
  ATRL_DEFAULTS as ATRL,
  ATRL_MODES,
  ATRL_SCORES,
  type AtrlOptions,
  NEIGHBOUR_RULES,
  PARTITION_METHODS,
} from "../../rl/atrl/options.ts";
import { HEAD_RULES } from "../../rl/atrl/head_ranking.ts";
import { rewardSchema } from "../../verify/registry.ts";
import type { ConnectivityOptions } from "../../model/connectivity.ts";
import { MEASURED_ROWS } from "../../model/measured_row.ts";
import { type PresetName, presets } from "../../model/config/presets.ts";
import { algorithmSchema, modulePathOr } from "./algorithm_schema.ts";
import { faults } from "./checks.ts";
import { trackerSchema } from "./tracker_schema.ts";
import type { Config, ConfigInput, HeadsRule } from "./types.ts";

export type * from "./types.ts";

const count = z.int().nonnegative(), positive = z.int().positive(), amount = z.number().nonnegative(), share = z.number().min(0).max(1);
const above0 = z.number().positive(), below1 = z.number().min(0).lt(1), text = z.string().min(1);
const files = z.union([text, z.array(text)]).default([]), schedule = z.enum(["constant", "linear", "cosine"]);
const key = text.nullable().default(null);

const sft = z.strictObject({
  steps: count.default(600).describe("The number of its optimizer steps; 0: no warm start."),
  batchSize: positive.default(64).describe("The number of examples of a step."),
  lr: amount.default(2e-3).describe("The learning rate after the warm-up."),
  warmupSteps: count.default(50).describe("The number of steps in which the learning rate rises."),
  schedule: schedule.default("cosine").describe("How the learning rate changes after the warm-up."),
  weightDecay: amount.default(0.01).describe("The weight decay of matrices; norms and biases have none."),
  maxGradNorm: amount.default(1).describe("The gradient's norm is clipped to this; 0: no clipping."),
  saveFreq: count.default(100).describe("The number of its steps between checkpoints; 0: only when it is stopped, and at its end."),
});

const lora = z.strictObject({
  rank: positive.default(16).describe("The rank of the adapters."),
  alpha: above0.default(32).describe("The adapters' output is multiplied by alpha / rank."),
  targets: z.union([text, z.array(text).min(1)]).default("all-linear").describe(
    "The modules that get adapters. all-linear: all matrices of the decoder but the output matrix; names, as q_proj; or a pattern of whole names.",
  ),
  exclude: z.union([text, z.array(text)]).default([]).describe("The modules among them that get none: names, or a pattern of whole names."),
  dropout: amount.default(0).describe("The share of inputs that are left out in training. Only 0 is possible."),
  rsLoRA: z.boolean().default(false).describe("Whether the output is multiplied by alpha / sqrt(rank) instead."),
  modulesToSave: z.array(text).default([]).describe("Modules that are trained whole: those whose names end with one of these texts."),
});

const raw = z.strictObject({
  $schema: z.string().optional().describe("The path of docs/config.schema.json, for editors."),
  name: z.string().regex(/^(?!\.{1,2}$)[\w.-]{1,100}$/, "1 to 100 letters, digits, _ - and ., and neither . nor ..").default("board")
    .describe(
      "Name of the run: its folder in runDir.",
    ),
  runDir: text.default("runs").describe("The folder of all runs, relative to the working directory."),
  seed: count.default(0).describe("The seed of weights, data and random draws."),
  device: z.string().regex(/^(auto|cpu|cuda(:\d+)?)$/, '"auto", "cpu", "cuda" or "cuda:1"').default("auto").describe(
    "auto, cpu, cuda or cuda:1.",
  ),
  threads: positive.nullable().default(null).describe("The number of threads of CPU ops; null: all cores."),
  model: z.strictObject({
    path: text.nullable().default(null).describe(
      "Model folder, or a model of the hub as owner/name or owner/name@revision; null: the built-in board model is made.",
    ),
    preset: z.enum(Object.keys(presets) as [PresetName, ...PresetName[]]).default("tiny").describe(
      "The size of the model that is made if path is null.",
    ),
    dtype: z.enum(["f32", "bf16"]).nullable().default(null).describe(
      "The type of the weights; null: the folder's. On a CPU what is trained is f32 always, and the type is that of what is frozen.",
    ),
    freezeVision: z.boolean().default(false).describe("Whether the vision tower is not trained."),
    lora: lora.nullable().default(null).describe(
      "Low-rank adapters (LoRA) that are trained in place of the weights: docs/lora.md; null: none.",
    ),
    checkpointing: z.enum(["auto", "off", "blocks", "full"]).default("auto").describe(
      "Which activations the backward pass recomputes, block by block; auto: those for which the memory has no room. Gradients are the same to the bit.",
    ),
  }).prefault({}).describe("The network that is trained."),
  data: z.strictObject({
    task: z.enum(["board", "files"]).default("board").describe("The built-in task, or rows of files."),
    trainFiles: files.describe("Files of rows to train on."),
    valFiles: files.describe("Files of rows to evaluate on."),
    format: z.enum(["auto", ...FORMAT_NAMES]).default("auto").describe("The format of the rows; auto: recognised, row by row."),
    imageDir: text.nullable().default(null).describe("The folder that pictures' paths are relative to; null: each file's folder."),
    imageRoots: z.array(text).default([]).describe(
      'Further folders from which pictures and videos may be read by absolute paths or by paths with "..".',
    ),
    allowRemote: z.union([z.boolean(), z.array(text)]).default(false).describe(
      "Whether pictures are fetched from the web: false, true, or the hosts that they may come from.",
    ),
    promptKey: key.describe(
      "The field of the question, a text or turns; null: the format's. Each of these may be a path, as extra_info.question.",
    ),
    answerKey: key.describe("The field of the reference answer; null: the format's."),
    imageKey: key.describe("The field of the pictures; null: the format's."),
    videoKey: key.describe("The field of the videos; null: the format's."),
    optionsKey: key.describe("The field of a question's choices; null: the format's."),
    idKey: key.describe("The field of a row's name; null: its file and number."),
    demonstrationKey: key.describe(
      "The field of a worked answer, for the warm start; null: the format's, or the assistant's turn at the end of the question.",
    ),
    systemPrompt: z.string().nullable().default(null).describe(
      "The system message, which replaces the rows' own; null: the rows', or the chat template's.",
    ),
    formatPrompt: text.default("none").describe(
      "What is asked of an answer's form; none: nothing. A path that begins with ./ or ../: a template file.",
    ),
    maxPromptLength: positive.default(2048).describe("The most tokens of a prompt."),
    maxResponseLength: positive.default(48).describe("The most tokens of an answer."),
    rolloutBatchSize: positive.default(16).describe("The number of prompts of a step."),
    shuffle: z.boolean().default(true).describe("Whether the rows are shuffled in every epoch."),
    overlongPrompts: z.enum(["drop", "error"]).default("drop").describe("Whether longer prompts are dropped or are an error."),
    minPixels: positive.nullable().default(null).describe("The least pixels of a picture; null: the model's."),
    maxPixels: positive.nullable().default(null).describe("The most pixels of a picture; null: the model's."),
    badRows: z.enum(["stop", "quarantine"]).default("stop").describe(
      "Whether a row that cannot be read ends the run or is written to quarantine.jsonl.",
    ),
    prefetch: count.default(2).describe("The number of batches that are prepared ahead."),
    allowChanged: z.boolean().default(false).describe(
      "Whether a run is resumed although its files of rows have changed; then with a new pass over the rows as they are.",
    ),
    board: z.record(z.string(), z.union([z.number(), z.boolean(), z.string(), z.array(z.union([z.number(), z.string()]))])).default({})
      .describe(
        "Options of the board task.",
      ),
    classes: modulePathOr("null").nullable().default(null).describe(
      "A module of your own that says the class of each token of an answer; null: the board task's own classes, none for files.",
    ),
  }).prefault({}).describe("Where prompts come from."),
  rollout: z.strictObject({
    n: positive.default(8).describe("The number of answers to a prompt."),
    temperature: above0.default(1).describe("Divides the logits, in sampling and in the loss."),
    topP: z.number().gt(0).max(1).default(1).describe("Keeps the likeliest tokens up to this probability."),
    topK: count.default(0).describe("Keeps this many of the likeliest tokens; 0: all."),
    minP: below1.default(0).describe("Keeps tokens of at least this share of the likeliest one's probability."),
    maxSequences: positive.nullable().default(null).describe(
      "The most sequences that are decoded at once; null: as many as the memory admits, 1024 at most on a GPU, 256 on a CPU.",
    ),
    memoryBytes: positive.nullable().default(null).describe(
      "The most bytes of the engine's cache and buffers; null: a share of the free memory.",
    ),
  }).prefault({}).describe("How answers are sampled."),
  algorithm: algorithmSchema,
  atrl: z.strictObject({
    mode: z.enum(ATRL_MODES).default(ATRL.mode).describe(
      "off: the base algorithm; soft: AT-RL; hard, low, random: its controls; oracle: by classes of tokens, where they are known.",
    ),
    score: z.enum(ATRL_SCORES).default(ATRL.score).describe(
      "The number by which tokens are told apart: peak, the largest excess of one region over its mean; peak-scaled, the same in units of about the root of that mean; connectivity (as published, with own 0); entropy; products.",
    ),
    debias: z.enum(["none", "position"]).default(ATRL.debias).describe(
      "Whether scores are divided by what a token at the same place would attend to the picture if it attended to all tokens alike.",
    ),
    method: z.enum(PARTITION_METHODS).default(ATRL.method).describe(
      "How the graph of tokens is partitioned; with modularity the graph itself says into how many clusters.",
    ),
    neighbours: count.max(32).default(ATRL.neighbours).describe("The number of edges that a token picks."),
    neighbourRule: z.enum(NEIGHBOUR_RULES).default(ATRL.neighbourRule).describe(
      "Which edges are kept: union, those that one of their tokens picks; mutual, only those that both pick.",
    ),
    threshold: below1.default(ATRL.threshold).describe("An edge by similarity that weighs less does not exist."),
    contrast: above0.nullable().default(ATRL.contrast).describe(
      "The difference of two tokens' scores, in units of the mean score, at which the weight of an edge by similarity falls to 1 / e; null: weights do not depend on it.",
    ),
    adjacency: amount.max(1000).default(ATRL.adjacency).describe("The weight of the edge between neighbouring tokens."),
    clusterSize: positive.default(ATRL.clusterSize).describe("The mean number of tokens of a cluster."),
    imbalance: share.default(ATRL.imbalance).describe("A cluster holds at most 1 + this times its equal share; a multiple of 0.001."),
    anchorFraction: positive.max(1000).default(ATRL.anchorFraction).describe("The share of tokens that are anchors, in per mille."),
    wMin: amount.default(ATRL.wMin).describe("The weight at the lowest score, before normalisation."),
    wMax: above0.default(ATRL.wMax).describe("The weight at the highest score, before normalisation."),
    temperature: above0.default(ATRL.temperature).describe("The width of the step between the two weights, in units of the mean score."),
    own: share.default(ATRL.own).describe(
      "The share of a token's own score in its weight; the rest is that of its cluster. 0: by cluster alone, as published.",
    ),
    normalise: z.enum(["mean-one", "none"]).default(ATRL.normalise).describe("Whether weights have mean 1 over a response."),
    seed: count.max(2 ** 31 - 1).default(ATRL.seed).describe("The seed of partitions and of mode random."),
    row: z.enum(MEASURED_ROWS).default("predict").describe(
      "Which row of attention counts: the one that predicts the token, the token's own, or the mean of both.",
    ),
    sinkTokens: count.default(1).describe("The number of first positions that count as sinks."),
    visualSinkFactor: amount.default(0).describe("The factor of the rule for visual sinks; 0: no rule."),
    layers: z.union([z.enum(["all", "last-half"]), z.array(count).min(1)]).default("all").describe("The layers that count."),
    heads: z.union([
      z.literal("all"),
      z.array(z.tuple([count, count])).min(1),
      z.strictObject({
        rule: z.enum(HEAD_RULES).describe("What heads are ranked by: docs/method.md, section 1.7."),
        keep: positive.default(1).describe("The number of heads that are kept."),
        every: positive.default(20).describe("The number of steps between two choices."),
        prompts: positive.default(2).describe("The number of prompts whose answers are measured for a choice."),
      }),
    ]).default("all").describe(
      "The query heads of these layers that count: all, a list of [layer, head], or {rule, keep, every, prompts}, which chooses them without labels.",
    ),
    sinkRenorm: z.enum(["pooled", "row"]).default("pooled").describe("At which level attention is renormalised without the sinks."),
    profileRegions: positive.default(64).describe("The most regions of a profile."),
  }).prefault({}).describe("Anchor tokens, arXiv 2602.11455: weights, and how connectivity is measured."),
  optim: z.strictObject({
    lr: amount.default(1e-4).describe("The learning rate after the warm-up."),
    weightDecay: amount.default(0.01).describe("The weight decay of matrices; norms and biases have none."),
    warmupSteps: count.default(0).describe("The number of steps in which the learning rate rises."),
    schedule: schedule.default("constant").describe("How the learning rate changes after the warm-up."),
    minRatio: share.default(0).describe("The share of lr that is left at the end of a falling schedule."),
    beta1: below1.default(0.9).describe("The decay of the first moment."),
    beta2: below1.default(0.999).describe("The decay of the second moment."),
    eps: above0.default(1e-8).describe("The number that is added to the root of the second moment."),
    maxGradNorm: amount.default(1).describe("The gradient's norm is clipped to this; 0: no clipping."),
    moments: z.enum(["f32", "bf16"]).default("f32").describe("The type of both moments."),
  }).prefault({}).describe("AdamW and its learning rate."),
  batch: z.strictObject({
    globalBatchSize: positive.nullable().default(null).describe("The number of prompts of an optimizer step; null: all of the rollout."),
    ppoEpochs: positive.default(1).describe("How many times a rollout is used."),
    microTokens: positive.default(16384).describe("The most packed tokens of a micro-batch; a prompt's answers stay together."),
  }).prefault({}).describe("How a rollout is divided for updates."),
  reward: rewardSchema.prefault({ use: "number" }).describe("A verifier, a module, or named parts with weights."),
  grader: z.strictObject({
    workers: count.nullable().default(null).describe(
      "The number of grading processes; null: by cores; 0: the training process grades, without a time limit, by built-in verifiers only.",
    ),
    timeLimit: above0.default(2000).describe("The time limit of a sample in milliseconds."),
    read: z.array(text).default([]).describe(
      "Paths that reward modules may read and import, besides the imports from their own folders.",
    ),
    net: z.array(text).default([]).describe("Hosts that reward modules may connect to and import from."),
    env: z.array(text).default([]).describe("Environment variables that reward modules may read."),
  }).prefault({}).describe("Where rewards are computed."),
  trainer: z.strictObject({
    maxSteps: positive.default(60).describe("The number of steps of the run; totalEpochs may end it earlier."),
    totalEpochs: positive.nullable().default(null).describe("The number of epochs; null: as many as maxSteps needs."),
    saveFreq: count.nullable().default(10).describe(
      "The number of steps between checkpoints; 0: only at the end; null: never, so that a run that was cut off begins again.",
    ),
    saveLimit: positive.default(3).describe("The number of newest checkpoints that are kept, besides the best one."),
    saveBest: z.boolean().default(true).describe("Whether the best checkpoint by evaluation is kept."),
    valFreq: count.default(10).describe("The number of steps between evaluations; 0: only at the end."),
    valBeforeTrain: z.boolean().default(true).describe("Whether there is an evaluation before the first step."),
    maxSkipped: positive.default(5).describe("How many updates in a row may be skipped because of a gradient that is not finite."),
    maxRestarts: count.default(3).describe("The most restarts from the last checkpoint in restartWindowMinutes."),
    restartWindowMinutes: above0.default(10).describe("See maxRestarts."),
  }).prefault({}).describe("How long a run trains, and what it keeps."),
  val: z.strictObject({
    limit: positive.default(512).describe("The most rows of an evaluation."),
    n: positive.default(1).describe("The number of answers to a row."),
    temperature: above0.default(1).describe("Divides the logits of sampled answers."),
    topP: z.number().gt(0).max(1).default(1).describe("Like rollout.topP, for sampled answers."),
    greedy: z.boolean().default(true).describe("Whether each row is also answered greedily."),
  }).prefault({}).describe("Evaluations."),
  world: z.strictObject({
    lanes: positive.nullable().default(null).describe(
      "The parts in which gradients are summed: 1, 2, 4, 8, ... for each rank; null: one for each rank of the first start. A checkpoint keeps it.",
    ),
    shard: z.enum(["none", "optimizer"]).default("optimizer").describe(
      "What is divided among ranks: nothing, or the optimizer's state, by whole parameters.",
    ),
    timeoutSeconds: above0.default(1800).describe("How long a rank waits for others before the run ends with an error that names them."),
    checkEvery: count.default(50).describe("The number of steps between two comparisons of the ranks' weights; 0: none."),
  }).prefault({}).describe("Several processes that train together: docs/distributed.md."),
  sft: sft.nullable().optional().describe(
    "The supervised warm start; null: none. Left out: its defaults for the board task, none for files.",
  ),
  logging: z.strictObject({
    tensorboard: z.boolean().default(true).describe("Whether an event file is written."),
    rollouts: z.enum(["all", "first", "none"]).default("all").describe(
      "Answers that go to rollouts.jsonl: of all steps, of a step's first prompts, none.",
    ),
    rolloutSamples: count.default(8).describe("The number of answers of a step that are written."),
    report: z.boolean().default(true).describe("Whether report.html is written."),
    trackers: z.array(trackerSchema).default([]).describe("The experiment trackers that follow the run: docs/trackers.md."),
    maxFileBytes: z.int().min(2 ** 16).default(2 ** 30).describe(
      "Of a file that grows with the run, at most: with more it becomes FILE.1, in place of the one before, and a new one is begun.",
    ),
  }).prefault({}).describe("What a run writes to files."),
});

/**
 * What zod makes of it. It has no page of its own, since it would need one for each of zod's types.
 *
 * @ignore
 */
export type ConfigSchema = z.ZodType<Config, ConfigInput>;

/** The schema of a configuration. `loadConfig` has better messages for errors. */
export const configSchema: ConfigSchema = raw.transform(({ $schema: _, logging, ...sections }, context): Config => {
  const config: Config = {
    ...sections,
    sft: sections.sft === undefined ? (sections.data.task === "board" ? sft.parse({}) : null) : sections.sft,
    logging,
  };
  for (const { path, message } of faults(config)) context.addIssue({ code: "custom", path, message });
  return config;
}) as ConfigSchema;

/** Returns the options of `detectAtrl`. */
export function atrlOf({ atrl }: Config): AtrlOptions {
  return Object.fromEntries(Object.keys(ATRL).map((key) => [key, atrl[key as keyof AtrlOptions]])) as unknown as AtrlOptions;
}

/** Whether `atrl.heads` is a rule that chooses heads. */
export function isHeadsRule(heads: Config["atrl"]["heads"]): heads is HeadsRule {
  return typeof heads === "object" && !Array.isArray(heads);
}

/** Returns how connectivity is measured: by all heads where a rule has not chosen any. */
export function connectivityOf({ atrl }: Config): Required<ConnectivityOptions> {
  const { row, sinkTokens, visualSinkFactor, layers, heads, sinkRenorm, profileRegions } = atrl;
  return { row, sinkTokens, visualSinkFactor, layers, heads: isHeadsRule(heads) ? "all" : heads, sinkRenorm, profileRegions };
}
