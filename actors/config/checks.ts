import { ATRL_DEFAULTS, type AtrlOptions, atrlOptions } from "../../rl/atrl/options.ts";
import { checkCredit } from "../../rl/credit/credit.ts";
import { CHAIN_TOKENS } from "../../data/board/language.ts";
import { boardOptions } from "../../data/board/options.ts";
import { planReward } from "../../verify/registry.ts";
import type { Config } from "./types.ts";

/** A broken rule between keys. */
export interface Fault {
  /** The key. */
  readonly path: string[];
  /** What is wrong, and what to choose instead. */
  readonly message: string;
}

type Rule = readonly [path: string, check: (config: Config) => string | false | null | undefined];

/** Returns the message of the RangeError that a function throws. */
function thrown(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
  return undefined;
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

const none = (files: string | string[]) => files.length === 0;
const ALONE: readonly string[] = ["remax", "reinforce_plus_plus"];

/** Why a run has no oracle. */
export const NO_CLASSES =
  'mode "oracle" needs the classes of tokens, and data.task "files" knows none: set data.classes to a module that says them, or choose another mode';

/** Tells whether a run knows the classes of its answers' tokens. */
export function knowsClasses({ data }: Config): boolean {
  return data.task === "board" || data.classes !== null;
}

/** The rules between keys. The schema of a single key cannot express them. */
export const RULES: readonly Rule[] = [
  [
    "model.path",
    ({ model, data }) => data.task === "files" && model.path === null && 'data.task "files" needs a model folder: set model.path',
  ],
  [
    "model.lora.dropout",
    ({ model: { lora } }) =>
      lora && lora.dropout !== 0 &&
      `dropout ${lora.dropout} cannot be used: answers are sampled and trained by one model, and with dropout their log-probs would differ. Set it to 0`,
  ],
  [
    "model.lora.targets",
    ({ model: { lora } }) =>
      lora && [lora.targets, lora.exclude].some((names) => typeof names === "string" && !isPattern(names)) &&
      "a text is a regular expression of whole module names, and this is none; for names give a list",
  ],
  [
    "data.trainFiles",
    ({ data }) => data.task === "files" && none(data.trainFiles) && 'data.task "files" needs files to train on: set data.trainFiles',
  ],
  [
    "data.trainFiles",
    ({ data }) =>
      data.task === "board" && !(none(data.trainFiles) && none(data.valFiles)) &&
      'files are given, and data.task is "board": choose "files"',
  ],
  [
    "data.board",
    ({ data }) => data.task === "board" ? thrown(() => boardOptions(data.board as Parameters<typeof boardOptions>[0])) : undefined,
  ],
  [
    "data.maxResponseLength",
    ({ data: { task, board: { filler }, maxResponseLength: most } }) =>
      task === "board" && typeof filler === "number" && filler > 0 && CHAIN_TOKENS + filler > most &&
      `${most} cuts off the answers to a board with filler ${filler}: set it to ${CHAIN_TOKENS + filler} or more`,
  ],
  [
    "data.minPixels",
    ({ data: { minPixels: low, maxPixels: high } }) =>
      low !== null && high !== null && low > high && `${low} is above data.maxPixels ${high}`,
  ],
  [
    "grader.workers",
    ({ grader, reward }) => {
      if (grader.workers !== 0) return undefined;
      const { modules } = planReward(reward, "file:///");
      return modules.length > 0 && "the reward has a module, which runs in a process of its own: set at least 1";
    },
  ],
  [
    "algorithm.credit",
    ({ algorithm: { credit, loss }, atrl }) =>
      thrown(() => checkCredit(credit === "atrl" && atrl.mode === "off" ? "none" : credit, loss.kind)),
  ],
  [
    "algorithm.advEstimator",
    ({ algorithm: { advEstimator: { kind } }, rollout }) =>
      rollout.n === 1 && !ALONE.includes(kind) &&
      `"${kind}" compares the answers to a prompt, and rollout.n is 1: choose rollout.n 2 or more, or ${
        ALONE.map((name) => `"${name}"`).join(" or ")
      }`,
  ],
  [
    "algorithm.onlineFiltering",
    ({ algorithm, rollout }) =>
      algorithm.onlineFiltering && rollout.n < 2 && "it needs several answers to a prompt: choose rollout.n 2 or more, or null",
  ],
  [
    "algorithm.onlineFiltering",
    ({ algorithm: { onlineFiltering: f } }) =>
      f && !(f.filterLow < f.filterHigh) && `filterLow ${f.filterLow} is not below filterHigh ${f.filterHigh}`,
  ],
  [
    "algorithm.loss",
    ({ algorithm: { loss } }) =>
      loss.kind === "cispo" && loss.clipRatioCap !== undefined && (loss.clipRatioLow ?? loss.clipRatioHigh) !== undefined &&
      "clipRatioCap stands for both bounds: leave clipRatioLow and clipRatioHigh out",
  ],
  [
    "algorithm.correction",
    ({ algorithm: { correction, oldLogprobs } }) =>
      correction && oldLogprobs === "rollout" &&
      'with oldLogprobs "rollout" the loss\'s ratio refers to the rollout already: choose algorithm.oldLogprobs "recompute", or null',
  ],
  ["algorithm.correction", ({ algorithm: { correction: c } }) => c && c.low > c.high && `low ${c.low} is above high ${c.high}`],
  [
    "algorithm.kl",
    ({ algorithm: { kl } }) =>
      kl?.alpha !== undefined && kl.kind !== "alpha" && `alpha goes with kind "alpha", not "${kl.kind}": leave it out`,
  ],
  [
    "algorithm.kl",
    ({ algorithm: { kl } }) =>
      kl?.kind === "full" && (kl.clamp !== undefined || kl.importance !== undefined) &&
      'kind "full" is exact: leave clamp and importance out',
  ],
  [
    "algorithm.kl",
    ({ algorithm: { kl } }) =>
      kl?.kind === "full" && kl.where === "reward" &&
      'kind "full" cannot be in the reward: choose where "loss", or kind "k1", whose mean it is',
  ],
  [
    "algorithm.overlong.buffer",
    ({ algorithm: { overlong }, data }) =>
      overlong && overlong.buffer > data.maxResponseLength &&
      `${overlong.buffer} is above data.maxResponseLength ${data.maxResponseLength}`,
  ],
  [
    "atrl",
    (config) =>
      thrown(() => atrlOptions(Object.fromEntries(Object.keys(ATRL_DEFAULTS).map((key) => [key, config.atrl[key as keyof AtrlOptions]])))),
  ],
  ["atrl.mode", (config) => config.algorithm.credit === "atrl" && config.atrl.mode === "oracle" && !knowsClasses(config) && NO_CLASSES],
  [
    "optim.warmupSteps",
    ({ optim: { schedule, warmupSteps }, trainer: { maxSteps } }) =>
      schedule !== "constant" && warmupSteps > maxSteps && `${warmupSteps} is above trainer.maxSteps ${maxSteps}`,
  ],
  [
    "sft.warmupSteps",
    ({ sft }) =>
      sft && sft.steps > 0 && sft.schedule !== "constant" && sft.warmupSteps > sft.steps &&
      `${sft.warmupSteps} is above sft.steps ${sft.steps}`,
  ],
  [
    "sft",
    ({ sft, data }) =>
      sft && sft.steps > 0 && data.task === "files" && data.format === "easyr1" && data.demonstrationKey === null &&
      "a warm start on rows of easyr1 needs worked answers: set data.demonstrationKey, or sft to null",
  ],
  [
    "batch.globalBatchSize",
    ({ batch: { globalBatchSize: size }, data: { rolloutBatchSize: all } }) =>
      size !== null && all % size !== 0 &&
      `${size} does not divide data.rolloutBatchSize ${all}: choose ${
        divisors(all).filter((d) => d <= size).at(-1)
      }, another divisor, or null`,
  ],
  ["val.n", ({ val }) => val.greedy && val.n > 1 && `greedy answers to a row are all the same: choose val.n 1, or val.greedy false`],
];

function divisors(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
}

/** Returns every rule that a configuration breaks. */
export function faults(config: Config): Fault[] {
  return RULES.flatMap(([path, check]) => {
    const message = check(config);
    return message ? [{ path: path.split("."), message }] : [];
  });
}
