import { concatenated } from "../../tensor/packing.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { overlongReward } from "../../rl/shaping.ts";
import type { Config } from "../config/schema.ts";
import { groupMessage } from "../prompts.ts";
import { peakFlops, trainingFlops } from "./flops.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import type { Line } from "../run/lines.ts";
import { type RolledGroup, score, type Scores } from "./roll.ts";
import { rolloutLines } from "./rollout_lines.ts";
import { askCredit } from "./credit.ts";
import type { Session } from "./session.ts";
import { timedInto } from "./timing.ts";

/** Numbers of a step that change as the run goes on. */
export interface StepSettings {
  readonly step: number;
  readonly lr: number;
  readonly klCoefficient: number;
}

/** What a step came to. */
export interface StepResult {
  readonly metrics: Record<string, number>;
  readonly rollouts: readonly Line[];
  readonly skippedInRow: number;
  readonly responses: number;
  /** Why answers were not graded, each reason once. */
  readonly reasons: readonly string[];
}

/** Mean, largest and smallest, under EasyR1's names. */
function spread(name: string, values: readonly number[]): Record<string, number> {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return {};
  const [low, high] = known.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity] as [number, number]);
  return { [`${name}/mean`]: known.reduce((a, b) => a + b, 0) / known.length, [`${name}/max`]: high, [`${name}/min`]: low };
}

/**
 * One step on answers that are there: anchors and, where they were not given, rewards side by side; advantages; update. The groups stay the caller's.
 *
 * @param given `scores`: of the groups, where they were graded before. `timing`: seconds spent on the step so far, by metric.
 */
export async function runStep(
  memory: ActorMemory,
  session: Session,
  given: {
    config: Config;
    groups: readonly RolledGroup[];
    scores?: Scores | undefined;
    settings: StepSettings;
    tokenizer: Tokenizer;
    start: number;
    timing: Record<string, number>;
  },
): Promise<StepResult> {
  const { config, settings: { step, lr, klCoefficient }, tokenizer, start, timing } = given, { policy, critic, detector } = session;
  const { rollout, data, algorithm } = config;
  const timed = timedInto(timing);
  const take = (handle: Parameters<ReturnType<ActorMemory["account"]>["receive"]>[0]) => memory.account(handle.device).receive(handle);
  using stack = new DisposableStack();
  const groups = given.groups.map((group) => ({
    ...group,
    counts: group.answers.finish.map((end) => !algorithm.maskTruncated || end === "stop"),
  }));
  const answers = groups.map((group) => group.answers);
  const lengths = answers.flatMap((answer) => answer.lengths), finish = answers.flatMap((answer) => answer.finish);
  const [{ weights: weightsHandle }, { rewards, baselines }] = await Promise.all([
    timed("anchors", askCredit(memory, session, { config, indices: groups.map(({ row }) => row.index), groups, step })),
    given.scores ?? timed("reward", score(session, groups)),
  ]);
  const weights = stack.use(take(weightsHandle));

  const { overlong } = algorithm;
  const totals = rewards.map(({ overall }, i) =>
    overlong ? overall + overlongReward(lengths[i]!, { maxLength: data.maxResponseLength, ...overlong }) : overall
  );
  const names = Object.keys(rewards[0]?.parts ?? {});
  const given_ = await timed(
    "adv",
    critic.peer.request((carrier) => ({
      type: "advantages",
      rewards: totals,
      parts: Object.fromEntries(names.map((name) => [name, rewards.map(({ parts }) => parts[name] ?? NaN)])),
      keys: groups.flatMap(({ row, answers }) => answers.lengths.map(() => row.id)),
      lengths,
      weights: carrier.lend(weights),
      groups: klCoefficient > 0 ? groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor))) : [],
      klCoefficient,
      temperature: rollout.temperature,
      ...(baselines && { baselines: groups.flatMap(({ answers }, i) => answers.lengths.map(() => baselines[i]!)) }),
    })),
  );
  const advantages = stack.use(take(given_.advantages)), reference = given_.reference && stack.use(take(given_.reference));
  const hidden = given_.referenceHidden && stack.use(take(given_.referenceHidden)), matrix = session.referenceMatrix;
  const update = await timed(
    "update_actor",
    policy.peer.request((carrier) => ({
      type: "update",
      groups: groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor))),
      advantages: carrier.lend(advantages),
      ...(reference && { reference: carrier.lend(reference) }),
      ...(hidden && matrix && { referenceStates: { hidden: carrier.lend(hidden), weight: carrier.lend(matrix) } }),
      klCoefficient,
      temperature: rollout.temperature,
      entropyCoefficient: algorithm.entropyCoefficient,
      step,
      lr,
    })),
  );
  const entropies = stack.use(hostTensor(memory, concatenated(answers.map(({ entropies }) => entropies.toFloats()))));
  const seconds = (performance.now() - start) / 1000;
  const report = await detector.peer.request((carrier) => ({
    type: "report",
    advantages: carrier.lend(advantages),
    entropies: carrier.lend(entropies),
    stepSeconds: seconds,
  }));
  const flags = report.flags && stack.use(take(report.flags)), clusters = report.clusters && stack.use(take(report.clusters));
  const promptLengths = groups.map(({ prompt }) => prompt.tokens.size), total = lengths.reduce((a, b) => a + b, 0);
  const all = total + promptLengths.reduce((a, b) => a + b, 0) * rollout.n, stats = await policy.peer.request(() => ({ type: "stats" }));
  // A prompt is computed once for all of its answers; FLOPs are those of the usual count, each answer with a prompt of its own.
  const sequences = groups.flatMap(({ answers }, i) => answers.lengths.map((length) => promptLengths[i]! + length));
  const flops = trainingFlops({ ...stats, sequences }) * config.batch.ppoEpochs / timing["timing_s/update_actor"]!,
    peak = peakFlops(stats.device);
  const metrics: Record<string, number> = {
    ...Object.fromEntries(names.map((name) => [`reward/${name}`, mean(rewards.map(({ parts }) => parts[name]!))])),
    "reward/overall": mean(rewards.map(({ overall }) => overall)),
    "reward/failures": rewards.filter(({ reason }) => reason !== undefined).length,
    "reward/zero_std": groups.filter((_, i) => new Set(totals.slice(i * rollout.n, (i + 1) * rollout.n)).size === 1).length / groups.length,
    ...spread("critic/score", rewards.map(({ overall }) => overall)),
    ...spread("critic/rewards", totals),
    ...spread("critic/advantages", [...advantages.toFloats()]),
    ...spread("response_length", lengths),
    "response_length/clip_ratio": finish.filter((end) => end !== "stop").length / finish.length,
    ...spread("prompt_length", promptLengths),
    ...update.metrics,
    ...given_.metrics,
    ...report.metrics,
    ...timing,
    "timing_s/step": (performance.now() - start) / 1000,
    "perf/total_num_tokens": all,
    "perf/time_per_step": seconds,
    "perf/throughput": all / seconds,
    "perf/tflops_actor": flops / 1e12,
    ...(peak !== undefined && { "perf/mfu_actor": flops / peak }),
    "perf/max_memory_allocated_gb": stats.peak / 2 ** 30,
    "perf/cpu_memory_used_gb": Deno.memoryUsage().rss / 2 ** 30,
  };
  const numbers = {
    advantages,
    weights,
    entropies,
    ...(flags && { flags }),
    ...(clusters && { clusters }),
    ...(reference && { reference }),
  };
  const rollouts = rolloutLines({ step, groups, rewards, tokenizer, numbers, limit: config.logging.rolloutSamples });
  const reasons = [...new Set(rewards.flatMap(({ reason }) => reason ?? []))];
  return { metrics, rollouts, skippedInRow: update.skippedInRow, responses: lengths.length, reasons };
}

function mean(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((a, b) => a + b, 0) / known.length;
}
