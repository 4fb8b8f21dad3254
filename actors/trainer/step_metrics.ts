/**
 * The metrics of a step that follow from its answers and from its time.
 *
 * @module
 */
import { classReport } from "../../rl/credit/class_report.ts";
import { concatenated } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Config } from "../config/schema.ts";
import type { PolicyReplies } from "../messages.ts";
import { peakFlops, trainingFlops } from "./flops.ts";
import type { GradedAnswers } from "./roll.ts";

/** Returns the mean of the numbers that are not NaN. */
function mean(values: readonly number[]): number {
  const numbers = values.filter((value) => !Number.isNaN(value));
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

/** Returns the mean, largest and smallest of the numbers that are not NaN, under EasyR1's names; nothing where there are none. */
function spread(name: string, values: readonly number[]): Record<string, number> {
  const numbers = values.filter((value) => !Number.isNaN(value));
  if (numbers.length === 0) return {};
  const [low, high] = numbers.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity] as [number, number]);
  return { [`${name}/mean`]: mean(numbers), [`${name}/max`]: high, [`${name}/min`]: low };
}

function promptLengths({ groups }: GradedAnswers): number[] {
  return groups.map(({ prompt }) => prompt.tokens.size);
}

/** Returns what the answers and their rewards come to. @param options `n`: the answers to a prompt. `advantages`: by token. */
export function answerMetrics(
  answers: GradedAnswers,
  { advantages, n }: { advantages: Float32Array; n: number },
): Record<string, number> {
  const { groups, rewards, totals, lengths } = answers, finish = groups.flatMap(({ answers }) => answers.finish);
  const isEven = (_: unknown, i: number) => new Set(totals.slice(i * n, (i + 1) * n)).size === 1;
  const overall = rewards.map((reward) => reward.overall);
  return {
    ...Object.fromEntries(
      Object.keys(rewards[0]?.parts ?? {}).map((name) => [`reward/${name}`, mean(rewards.map(({ parts }) => parts[name]!))]),
    ),
    "reward/overall": mean(overall),
    "reward/failures": rewards.filter(({ reason }) => reason !== undefined).length,
    "reward/zero_std": groups.filter(isEven).length / groups.length,
    ...spread("critic/score", overall),
    ...spread("critic/rewards", totals),
    ...spread("critic/advantages", [...advantages]),
    ...spread("response_length", lengths),
    "response_length/clip_ratio": finish.filter((end) => end !== "stop").length / finish.length,
    ...spread("prompt_length", promptLengths(answers)),
  };
}

/** Returns how the credit of a step falls on the classes of tokens. @param options By token; `flags`: undefined where the credit has no anchors. */
export function classMetrics(
  { groups, lengths }: GradedAnswers,
  { classes, weights, advantages, flags, scores, config }: {
    classes: Tensor;
    weights: Tensor;
    advantages: Tensor;
    flags?: Tensor;
    /** Where they are not the connectivity. */
    scores?: Tensor;
    config: Config;
  },
): Record<string, number> {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => offsets[i + 1] = offsets[i]! + length);
  return classReport({
    offsets,
    classes: classes.toArray() as Uint8Array,
    weights: weights.toFloats(),
    advantages: advantages.toFloats(),
    connectivity: concatenated(groups.map(({ answers }) => answers.connectivity!.toFloats())),
    flags: flags && flags.toArray() as Uint8Array,
    scores: scores?.toFloats(),
    anchorFraction: config.atrl.anchorFraction,
    visual: groups.flatMap(({ answers }) => answers.lengths.map(() => answers.regions > 0)),
  });
}

/** Returns how fast the step was, and the memory that it took. @param options `seconds`: of the step. `updateSeconds`: of its update. */
export function speedMetrics(
  answers: GradedAnswers,
  { config, stats, seconds, updateSeconds }: { config: Config; stats: PolicyReplies["stats"]; seconds: number; updateSeconds: number },
): Record<string, number> {
  const prompts = promptLengths(answers), sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
  const tokens = sum(answers.lengths) + sum(prompts) * config.rollout.n;
  // A prompt is computed once for all of its answers; FLOPs are those of the usual count, each answer with a prompt of its own.
  const sequences = answers.groups.flatMap(({ answers }, i) => answers.lengths.map((length) => prompts[i]! + length));
  const flops = trainingFlops({ ...stats, sequences }) * config.batch.ppoEpochs / updateSeconds, peak = peakFlops(stats.device);
  return {
    "perf/total_num_tokens": tokens,
    "perf/time_per_step": seconds,
    "perf/throughput": tokens / seconds,
    "perf/tflops_actor": flops / 1e12,
    ...(peak !== undefined && { "perf/mfu_actor": flops / peak }),
    "perf/trained_parameters": stats.trained,
    "perf/max_memory_allocated_gb": stats.peak / 2 ** 30,
    "perf/cpu_memory_used_gb": Deno.memoryUsage().rss / 2 ** 30,
  };
}
