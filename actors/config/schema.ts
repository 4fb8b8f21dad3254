/**
 * The schema of a run's configuration: every key with its default. Keys have EasyR1's names in camel case, where EasyR1 has them.
 *
 * @module
 */
import { z } from "zod";
import { FORMAT_NAMES } from "../../data/formats.ts";
import { ATRL_DEFAULTS as ATRL, ATRL_MODES, type AtrlOptions } from "../../rl/atrl/options.ts";
import { rewardSchema } from "../../verify/registry.ts";
import type { ConnectivityOptions } from "../../model/connectivity.ts";
import { type PresetName, presets } from "../../model/config/presets.ts";
import { algorithmSchema } from "./algorithm_schema.ts";
import { faults } from "./checks.ts";
import { trackerSchema } from "./tracker_schema.ts";
import type { Config, ConfigInput } from "./types.ts";

export type * from "./types.ts";

const count = z.int().nonnegative(), positive = z.int().positive(), amount = z.number().nonnegative(), share = z.number().min(0).max(1);
const above0 = z.number().positive(), below1 = z.number().min(0).lt(1), text = z.string().min(1);
const files = z.union([text, z.array(text)]).default([]), schedule = z.enum(["constant", "linear", "cosine"]);
const key = text.nullable().default(null);

const sft = z.strictObject({
  steps: count.default(600).describe("Its optimizer steps; 0: none."),
  batchSize: positive.default(64).describe("Examples of a step."),
  lr: amount.default(2e-3).describe("Learning rate after the warm-up."),
  warmupSteps: count.default(50).describe("Steps in which the rate rises."),
  schedule: schedule.default("cosine").describe("The rate after the warm-up."),
  weightDecay: amount.default(0.01).describe("Of matrices; norms and biases have none."),
  maxGradNorm: amount.default(1).describe("The gradient's norm is brought down to this; 0: it is left."),
  saveFreq: count.default(100).describe("Its steps between checkpoints; 0: where it is stopped, and at its end."),
});

const raw = z.strictObject({
  $schema: z.string().optional().describe("For editors: where docs/config.schema.json is."),
  name: z.string().regex(/^(?!\.{1,2}$)[\w.-]{1,100}$/, "1 to 100 letters, digits, _ - and ., and neither . nor ..").default("board")
    .describe(
      "Name of the run: its folder in runDir.",
    ),
  runDir: text.default("runs").describe("Where runs are kept, relative to the working directory."),
  seed: count.default(0).describe("Of weights, data and draws."),
  device: z.string().regex(/^(auto|cpu|cuda(:\d+)?)$/, '"auto", "cpu", "cuda" or "cuda:1"').default("auto").describe(
    "auto, cpu, cuda or cuda:1.",
  ),
  threads: positive.nullable().default(null).describe("Threads of CPU ops; null: all cores."),
  model: z.strictObject({
    path: text.nullable().default(null).describe(
      "Model folder, or a model of the hub as owner/name or owner/name@revision; null: the built-in board model is made.",
    ),
    preset: z.enum(Object.keys(presets) as [PresetName, ...PresetName[]]).default("tiny").describe(
      "Size of the model that is made where path is null.",
    ),
    dtype: z.enum(["f32", "bf16"]).nullable().default(null).describe("Of the weights; null: f32 on a CPU, else the folder's."),
    freezeVision: z.boolean().default(false).describe("Whether the vision tower is left as it is."),
    checkpointing: z.enum(["off", "blocks", "full"]).default("off").describe("Activations that are computed anew in the backward pass."),
  }).prefault({}).describe("The network that is trained."),
  data: z.strictObject({
    task: z.enum(["board", "files"]).default("board").describe("The built-in task, or rows of files."),
    trainFiles: files.describe("Files of rows to train on."),
    valFiles: files.describe("Files of rows to evaluate on."),
    format: z.enum(["auto", ...FORMAT_NAMES]).default("auto").describe("Shape of the rows; auto: recognised, row by row."),
    imageDir: text.nullable().default(null).describe("What pictures' paths are relative to; null: each file's folder."),
    imageRoots: z.array(text).default([]).describe("Further folders that pictures and videos may lie in, by absolute paths or over .."),
    allowRemote: z.union([z.boolean(), z.array(text)]).default(false).describe(
      "Whether pictures are fetched from the web: false, true, or the hosts that they may come from.",
    ),
    promptKey: key.describe(
      "Field of the question, a text or turns; null: the format's. Each of these may be a path, as extra_info.question.",
    ),
    answerKey: key.describe("Field of the reference answer; null: the format's."),
    imageKey: key.describe("Field of the pictures; null: the format's."),
    videoKey: key.describe("Field of the videos; null: the format's."),
    optionsKey: key.describe("Field of a question's choices; null: the format's."),
    idKey: key.describe("Field of a row's name; null: its file and number."),
    demonstrationKey: key.describe(
      "Field of a worked answer, for the warm start; null: the format's, or the assistant's turn that the question ends with.",
    ),
    systemPrompt: z.string().nullable().default(null).describe(
      "System message, in the place of the rows' own; null: the rows', or the chat template's.",
    ),
    formatPrompt: text.default("none").describe(
      "What is asked of an answer's form; none: nothing. A path that begins with ./ or ../: a template file.",
    ),
    maxPromptLength: positive.default(2048).describe("Tokens of a prompt, at most."),
    maxResponseLength: positive.default(48).describe("Tokens of an answer, at most."),
    rolloutBatchSize: positive.default(16).describe("Prompts of a step."),
    shuffle: z.boolean().default(true).describe("Whether every epoch has an order of its own."),
    overlongPrompts: z.enum(["drop", "error"]).default("drop").describe("What becomes of longer prompts."),
    minPixels: positive.nullable().default(null).describe("Of a picture, at least; null: the model's."),
    maxPixels: positive.nullable().default(null).describe("Of a picture, at most; null: the model's."),
    badRows: z.enum(["stop", "quarantine"]).default("stop").describe("What a row that cannot be read does: end the run, or go to a file."),
    prefetch: count.default(2).describe("Batches that are made ready ahead."),
    allowChanged: z.boolean().default(false).describe(
      "Whether a run is resumed although its files of rows have changed; then with a new pass over the rows as they are.",
    ),
    board: z.record(z.string(), z.union([z.number(), z.boolean(), z.string(), z.array(z.union([z.number(), z.string()]))])).default({})
      .describe(
        "Options of the board task.",
      ),
  }).prefault({}).describe("Where prompts come from."),
  rollout: z.strictObject({
    n: positive.default(8).describe("Answers to a prompt."),
    temperature: above0.default(1).describe("Divides the logits, in sampling and in the loss."),
    topP: z.number().gt(0).max(1).default(1).describe("Keeps the likeliest tokens up to this probability."),
    topK: count.default(0).describe("Keeps so many of the likeliest tokens; 0: all."),
    minP: below1.default(0).describe("Keeps tokens of at least this share of the likeliest one's probability."),
    maxSequences: positive.nullable().default(null).describe("Sequences decoded at once; null: what fits."),
    memoryBytes: positive.nullable().default(null).describe("Most bytes of the engine; null: from what is free."),
  }).prefault({}).describe("How answers are drawn."),
  algorithm: algorithmSchema,
  atrl: z.strictObject({
    mode: z.enum(ATRL_MODES).default(ATRL.mode).describe("off: the base algorithm; soft: AT-RL; hard, low, random: its controls."),
    method: z.enum(["kway", "metis", "none"]).default(ATRL.method).describe("How the graph of tokens is partitioned."),
    neighbours: count.max(32).default(ATRL.neighbours).describe("Edges that a token keeps."),
    adjacency: amount.max(1000).default(ATRL.adjacency).describe("Weight between tokens that follow each other."),
    clusterSize: positive.default(ATRL.clusterSize).describe("Tokens of a cluster, on average."),
    imbalance: share.default(ATRL.imbalance).describe("A cluster holds at most 1 and this times its share; a multiple of 0.001."),
    anchorFraction: positive.max(1000).default(ATRL.anchorFraction).describe("Share of tokens that are anchors, in per mille."),
    wMin: amount.default(ATRL.wMin).describe("Weight without connectivity, before it is normalised."),
    wMax: above0.default(ATRL.wMax).describe("Weight of a cluster that is all connectivity, before it is normalised."),
    temperature: above0.default(ATRL.temperature).describe("Width of the step between the two, in units of the mean connectivity."),
    normalise: z.enum(["mean-one", "none"]).default(ATRL.normalise).describe("Whether weights have mean 1 over a response."),
    seed: count.max(2 ** 31 - 1).default(ATRL.seed).describe("Of partitions and of mode random."),
    row: z.enum(["predict", "self"]).default("predict").describe("Whose attention counts: of the row that predicts a token, or its own."),
    sinkTokens: count.default(1).describe("First positions that count as sinks."),
    visualSinkFactor: amount.default(0).describe("Factor of the rule for visual sinks; 0: none."),
    layers: z.union([z.enum(["all", "last-half"]), z.array(count).min(1)]).default("all").describe("Layers that count."),
    sinkRenorm: z.enum(["pooled", "row"]).default("pooled").describe("Where attention is divided by what is left without sinks."),
    profileRegions: positive.default(64).describe("Regions of a profile, at most."),
  }).prefault({}).describe("Anchor tokens, arXiv 2602.11455: weights, and how connectivity is measured."),
  optim: z.strictObject({
    lr: amount.default(1e-4).describe("Learning rate after the warm-up."),
    weightDecay: amount.default(0.01).describe("Of matrices; norms and biases have none."),
    warmupSteps: count.default(0).describe("Steps in which the rate rises."),
    schedule: schedule.default("constant").describe("The rate after the warm-up."),
    minRatio: share.default(0).describe("Share of lr at the end of a schedule that falls."),
    beta1: below1.default(0.9).describe("Decay of the first moment."),
    beta2: below1.default(0.999).describe("Decay of the second moment."),
    eps: above0.default(1e-8).describe("Added to the root of the second moment."),
    maxGradNorm: amount.default(1).describe("The gradient's norm is brought down to this; 0: it is left."),
    moments: z.enum(["f32", "bf16"]).default("f32").describe("Type of both moments."),
  }).prefault({}).describe("AdamW and its rate."),
  batch: z.strictObject({
    globalBatchSize: positive.nullable().default(null).describe("Prompts of an optimizer step; null: all of the rollout."),
    ppoEpochs: positive.default(1).describe("Times that a rollout is gone through."),
    microTokens: positive.default(16384).describe("Packed tokens of a micro-batch; a prompt's answers stay together."),
  }).prefault({}).describe("How a rollout is cut up for updates."),
  reward: rewardSchema.prefault({ use: "number" }).describe("A verifier, a module, or named parts with weights."),
  grader: z.strictObject({
    workers: positive.nullable().default(null).describe("Processes; null: by cores."),
    timeLimit: above0.default(2000).describe("Milliseconds for a sample."),
    read: z.array(text).default([]).describe(
      "Paths that reward modules may read and import, besides what they import from their own folders.",
    ),
    net: z.array(text).default([]).describe("Hosts that reward modules may reach and import from."),
    env: z.array(text).default([]).describe("Environment variables that reward modules may read."),
  }).prefault({}).describe("Where rewards are worked out."),
  trainer: z.strictObject({
    maxSteps: positive.default(60).describe("Steps of the run; totalEpochs may end it before."),
    totalEpochs: positive.nullable().default(null).describe("Times that the rows are gone through; null: as maxSteps asks."),
    saveFreq: count.default(10).describe("Steps between checkpoints; 0: at the end only."),
    saveLimit: positive.default(3).describe("Checkpoints that are kept, besides the best."),
    saveBest: z.boolean().default(true).describe("Whether the best checkpoint by evaluation is kept."),
    valFreq: count.default(10).describe("Steps between evaluations; 0: at the end only."),
    valBeforeTrain: z.boolean().default(true).describe("Whether there is one before the first step."),
    maxSkipped: positive.default(5).describe("Updates in a row that may be skipped for a gradient that is not finite."),
    maxRestarts: count.default(3).describe("Restarts from the last checkpoint in restartWindowMinutes."),
    restartWindowMinutes: above0.default(10).describe("See maxRestarts."),
  }).prefault({}).describe("How long, and what is kept."),
  val: z.strictObject({
    limit: positive.default(512).describe("Rows, at most."),
    n: positive.default(1).describe("Answers to a row."),
    temperature: above0.default(1).describe("Divides the logits, where not greedy."),
    topP: z.number().gt(0).max(1).default(1).describe("As rollout.topP, where not greedy."),
    greedy: z.boolean().default(true).describe("Whether the likeliest token is taken."),
  }).prefault({}).describe("Evaluations."),
  sft: sft.nullable().optional().describe(
    "The supervised warm start; null: none. Left out: its defaults for the board task, none for files.",
  ),
  logging: z.strictObject({
    tensorboard: z.boolean().default(true).describe("Whether an event file is written."),
    rollouts: z.enum(["all", "first", "none"]).default("all").describe(
      "Answers that go to rollouts.jsonl: of all steps, of a step's first prompts, none.",
    ),
    rolloutSamples: count.default(8).describe("Answers a step that are shown."),
    report: z.boolean().default(true).describe("Whether report.html is written."),
    trackers: z.array(trackerSchema).default([]).describe("Experiment trackers that are told of the run: docs/trackers.md."),
    maxFileBytes: z.int().min(2 ** 16).default(2 ** 30).describe(
      "Of a file that grows with the run, at most: with more it becomes FILE.1, in place of the one before, and a new one is begun.",
    ),
  }).prefault({}).describe("What a run writes down."),
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

/** Returns how connectivity is measured. */
export function connectivityOf({ atrl }: Config): Required<ConnectivityOptions> {
  const { row, sinkTokens, visualSinkFactor, layers, sinkRenorm, profileRegions } = atrl;
  return { row, sinkTokens, visualSinkFactor, layers, sinkRenorm, profileRegions };
}
