import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { overlongReward } from "../../rl/shaping.ts";
import { type Config, connectivityOf } from "../config/schema.ts";
import type { ReadyRow } from "../messages.ts";
import { groupMessage, heldAnswers, type HeldPrompt, heldPrompt, pieces, promptMessage } from "../prompts.ts";
import { hostTensor, type Place } from "../runtime/place.ts";
import type { Line } from "../run/lines.ts";
import { rolloutLines } from "./rollout_lines.ts";
import { askCredit } from "./credit.ts";
import type { Session } from "./session.ts";

/** A row of the step, its prompt taken up. */
export interface StepRow {
  readonly row: ReadyRow;
  readonly prompt: HeldPrompt;
}

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
}

/** Takes up the prompts of rows that came from the loader. */
export function takeRows(place: Place, rows: readonly ReadyRow[]): StepRow[] {
  return rows.map((row) => ({ row, prompt: heldPrompt(row.prompt, (handle) => place.account(handle.device).receive(handle)) }));
}

/** Mean, largest and smallest, under EasyR1's names. */
function spread(name: string, values: readonly number[]): Record<string, number> {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return {};
  const [low, high] = known.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity] as [number, number]);
  return { [`${name}/mean`]: known.reduce((a, b) => a + b, 0) / known.length, [`${name}/max`]: high, [`${name}/min`]: low };
}

/**
 * One step: rollout; anchors and rewards side by side; advantages; update. What it holds is freed at its end, also where it fails.
 */
export async function runStep(
  place: Place,
  session: Session,
  given: { config: Config; rows: readonly StepRow[]; settings: StepSettings; tokenizer: Tokenizer; signal?: AbortSignal },
): Promise<StepResult> {
  const { config, rows, settings: { step, lr, klCoefficient }, tokenizer, signal } = given, { policy, critic, detector } = session;
  const { rollout, data, algorithm, seed } = config, start = performance.now(), timing: Record<string, number> = {};
  const timed = async <T>(name: string, work: Promise<T>): Promise<T> => {
    const since = performance.now(), result = await work;
    timing[`timing_s/${name}`] = (performance.now() - since) / 1000;
    return result;
  };
  const take = (handle: Parameters<ReturnType<Place["account"]>["receive"]>[0]) => place.account(handle.device).receive(handle);
  using stack = new DisposableStack();

  const rolled = await timed(
    "gen",
    policy.peer.request((carrier) => ({
      type: "rollout",
      prompts: rows.map(({ prompt }) => promptMessage(prompt, (tensor) => carrier.lend(tensor))),
      sampling: {
        n: rollout.n,
        temperature: rollout.temperature,
        topK: rollout.topK,
        topP: rollout.topP,
        minP: rollout.minP,
        maxTokens: data.maxResponseLength,
        seed: seed * 1_000_003 + step,
        connectivity: connectivityOf(config),
      },
    }), signal ? { signal } : {}),
  );
  const answers = rolled.answers.map((message) => stack.use(heldAnswers(message, take)));
  signal?.throwIfAborted();
  const lengths = answers.flatMap((answer) => answer.lengths), finish = answers.flatMap((answer) => answer.finish);
  const tokens = answers.map((answer) => pieces(answer.tokens.toArray() as Int32Array<ArrayBuffer>, answer.lengths));
  const texts = tokens.map((own) => own.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: true })));

  const groups = rows.map(({ prompt }, i) => ({
    prompt,
    answers: answers[i]!,
    counts: answers[i]!.finish.map((end) => !algorithm.maskTruncated || end === "stop"),
  }));
  const detected = timed("anchors", askCredit(place, session, { config, indices: rows.map(({ row }) => row.index), groups, step }));
  const samples = rows.flatMap(({ row }, i) =>
    texts[i]!.map((response, sample) => ({
      ...row.input,
      response,
      tokens: answers[i]!.lengths[sample]!,
      finish: answers[i]!.finish[sample] === "stop" ? "stop" as const : "length" as const,
    }))
  );
  const scored = timed("reward", critic.peer.request(() => ({ type: "score", samples })));
  const [{ weights: weightsHandle }, { rewards }] = await Promise.all([detected, scored]);
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
      keys: rows.flatMap(({ row }, i) => answers[i]!.lengths.map(() => row.id)),
      lengths,
      weights: carrier.lend(weights),
      groups: klCoefficient > 0 ? groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor))) : [],
      klCoefficient,
    })),
  );
  const advantages = stack.use(take(given_.advantages)), reference = given_.reference && stack.use(take(given_.reference));
  const update = await timed(
    "update_actor",
    policy.peer.request((carrier) => ({
      type: "update",
      groups: groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor))),
      advantages: carrier.lend(advantages),
      ...(reference && { reference: carrier.lend(reference) }),
      klCoefficient,
      step,
      lr,
    })),
  );
  const entropies = stack.use(hostTensor(place, concatenated(answers.map(({ entropies }) => entropies.toFloats()))));
  const seconds = (performance.now() - start) / 1000;
  const report = await detector.peer.request((carrier) => ({
    type: "report",
    advantages: carrier.lend(advantages),
    entropies: carrier.lend(entropies),
    stepSeconds: seconds,
  }));
  const flags = report.flags && stack.use(take(report.flags)), clusters = report.clusters && stack.use(take(report.clusters));
  const promptLengths = rows.map(({ prompt }) => prompt.tokens.size), total = lengths.reduce((a, b) => a + b, 0);
  const all = total + promptLengths.reduce((a, b) => a + b, 0) * rollout.n, stats = await policy.peer.request(() => ({ type: "stats" }));
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
  const rollouts = rolloutLines({ step, rows, answers, tokens, texts, rewards, tokenizer, numbers, limit: config.logging.rolloutSamples });
  return { metrics, rollouts, skippedInRow: update.skippedInRow, responses: lengths.length };
}

function mean(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((a, b) => a + b, 0) / known.length;
}

function concatenated(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
