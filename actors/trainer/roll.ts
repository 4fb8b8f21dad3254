import { pieces } from "../../tensor/packing.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { overlongReward } from "../../rl/shaping.ts";
import type { TensorHandle } from "../../tensor/handle.ts";
import { type Config, connectivityOf } from "../config/schema.ts";
import type { PolicyReplies, ReadyRow, RewardMessage } from "../messages.ts";
import { type HeldAnswers, heldAnswers, type HeldPrompt, heldPrompt, promptMessage } from "../prompts.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Ranks } from "../runtime/ranks.ts";
import { type AnswersWithGreedy, packAnswers, unpackAnswers } from "./answer_bytes.ts";
import type { Session } from "./session.ts";

/** A row of the step with its prompt. */
export interface StepRow {
  readonly row: ReadyRow;
  readonly prompt: HeldPrompt;
}

/** A row with the policy's answers. */
export interface RolledGroup extends StepRow, Disposable {
  readonly answers: HeldAnswers;
  /** The tokens of each answer. */
  readonly tokens: readonly Int32Array<ArrayBuffer>[];
  readonly texts: readonly string[];
  /** The greedy answer, if the estimator needs it. */
  readonly greedy?: string;
}

/** A group of a step. */
export interface CountedGroup extends RolledGroup {
  /** For each answer, whether it counts in the loss. */
  readonly counts: readonly boolean[];
}

/** The rewards of groups. */
export interface Scores {
  /** The rewards of all answers, group after group. */
  readonly rewards: readonly RewardMessage[];
  /** The rewards of the greedy answers, if there are any. */
  readonly baselines?: readonly number[];
}

/** The answers of a step with their rewards. */
export interface GradedAnswers extends Scores {
  readonly groups: readonly CountedGroup[];
  /** The number of tokens of each answer. */
  readonly lengths: readonly number[];
  /** The reward of each answer, less the punishment of overlong answers. */
  readonly totals: readonly number[];
}

/** Receives the prompts of rows that the loader has prepared. */
export function takeRows(memory: ActorMemory, rows: readonly ReadyRow[]): StepRow[] {
  return rows.map((row) => ({ row, prompt: heldPrompt(row.prompt, (handle) => memory.receive(handle)) }));
}

/** Makes a group. It owns its prompt and its answers. */
export function rolledGroup(row: StepRow, answers: HeldAnswers, tokenizer: Pick<Tokenizer, "decode">, greedy?: string): RolledGroup {
  const tokens = pieces(answers.tokens.toArray() as Int32Array<ArrayBuffer>, answers.lengths);
  return {
    ...row,
    answers,
    tokens,
    texts: tokens.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: true })),
    ...(greedy !== undefined && { greedy }),
    [Symbol.dispose]() {
      answers[Symbol.dispose]();
      row.prompt[Symbol.dispose]();
    },
  };
}

/** Notes which answers of a group count in the loss; the group stays the owner of its prompt and answers. */
export function countedGroup(group: RolledGroup, { algorithm: { maskTruncated } }: Config): CountedGroup {
  return { ...group, counts: group.answers.finish.map((end) => !maskTruncated || end === "stop") };
}

/**
 * Lets the policy answer prompts; with several ranks, each rank's policy those of its share, which then go to all. The groups own the prompts from then on. If it fails, the prompts are freed.
 *
 * @param options `draw`: the number of the batch, from 1. Together with the run's seed it determines the random draws.
 */
export async function roll(
  memory: ActorMemory,
  { policy, ranks }: Session,
  options: { config: Config; rows: readonly StepRow[]; draw: number; tokenizer: Tokenizer; signal?: AbortSignal },
): Promise<RolledGroup[]> {
  const { config, rows: all, draw, tokenizer, signal } = options, rows = ranks.share(all), { rollout, data, algorithm } = config;
  const take = (handle: TensorHandle) => memory.receive(handle);
  const ask = (
    sampling: {
      n: number;
      temperature: number;
      topK?: number;
      topP?: number;
      minP?: number;
      connectivity?: ReturnType<typeof connectivityOf>;
    },
  ) =>
    rows.length === 0
      ? Promise.resolve<PolicyReplies["rollout"]>({ answers: [], seconds: {} })
      : policy.peer.request<"rollout">((carrier) => ({
        type: "rollout",
        prompts: rows.map(({ prompt }) => promptMessage(prompt, (tensor) => carrier.lend(tensor))),
        sampling: { ...sampling, maxTokens: data.maxResponseLength, seed: config.seed * 1_000_003 + draw },
      }), signal ? { signal } : {});
  try {
    const greedy = algorithm.advEstimator.kind === "remax" ? (await ask({ n: 1, temperature: 0 })).answers : undefined;
    const texts = greedy?.map((message) => {
      using answer = heldAnswers(message, take);
      return tokenizer.decode(answer.tokens.toArray() as Int32Array<ArrayBuffer>, { skipSpecialTokens: true });
    });
    const { n, temperature, topK, topP, minP } = rollout;
    const { answers } = await ask({ n, temperature, topK, topP, minP, connectivity: connectivityOf(config) });
    const own = answers.map((message, i) => ({ answers: heldAnswers(message, take), greedy: texts?.[i] }));
    const rolled = await everyones(memory, ranks, own);
    return rolled.map(({ answers, greedy }, i) => rolledGroup(all[i]!, answers, tokenizer, greedy));
  } catch (error) {
    for (const { prompt } of all) prompt[Symbol.dispose]();
    throw error;
  }
}

/** Gives the answers of each rank to all. @returns Those of all ranks, in their order. */
async function everyones(memory: ActorMemory, ranks: Ranks, own: readonly AnswersWithGreedy[]): Promise<readonly AnswersWithGreedy[]> {
  if (ranks.size === 1) return own;
  const all = await ranks.gatherBytes(packAnswers(own));
  for (const { answers } of own) answers[Symbol.dispose]();
  return all.flatMap((bytes) => unpackAnswers(memory, bytes));
}

/** Lets the critic grade the answers of groups; with several ranks, each rank's critic those of its share. */
export async function score(session: Session, all: readonly RolledGroup[]): Promise<Scores> {
  const { ranks } = session, scores = await ranks.gather(await scoreShare(session, ranks.share(all)));
  const baselines = scores.flatMap(({ baselines = [] }) => baselines);
  return { rewards: scores.flatMap(({ rewards }) => rewards), ...(baselines.length > 0 && { baselines }) };
}

async function scoreShare({ critic }: Session, groups: readonly RolledGroup[]): Promise<Scores> {
  if (groups.length === 0) return { rewards: [] };
  const samples = groups.flatMap(({ row, texts, answers }) =>
    texts.map((response, sample) => ({
      ...row.input,
      response,
      tokens: answers.lengths[sample]!,
      finish: answers.finish[sample] === "stop" ? "stop" as const : "length" as const,
    }))
  );
  const greedy = groups.flatMap(({ row, greedy }) => greedy === undefined ? [] : [{ ...row.input, response: greedy }]);
  const { rewards } = await critic.peer.request<"score">(() => ({ type: "score", samples: [...samples, ...greedy] }));
  if (greedy.length === 0) return { rewards };
  return { rewards: rewards.slice(0, samples.length), baselines: rewards.slice(samples.length).map(({ overall }) => overall) };
}

/** Joins the groups of a step with their rewards. */
export function gradedAnswers(config: Config, { groups, scores }: { groups: readonly CountedGroup[]; scores: Scores }): GradedAnswers {
  const { algorithm: { overlong }, data: { maxResponseLength: maxLength } } = config;
  const lengths = groups.flatMap(({ answers }) => answers.lengths);
  const totals = scores.rewards.map(({ overall }, i) =>
    overlong ? overall + overlongReward(lengths[i]!, { maxLength, ...overlong }) : overall
  );
  return { ...scores, groups, lengths, totals };
}
