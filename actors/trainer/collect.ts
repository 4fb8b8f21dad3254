import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { DynamicSampler, type DynamicSamplerState, type GroupCounts } from "../../rl/sampling.ts";
import type { Config } from "../config/schema.ts";
import type { ReadyRow, RewardMessage } from "../messages.ts";
import type { HeldAnswers } from "../prompts.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import { type RolledGroup, rolledGroup, type Scores, takeRows } from "./roll.ts";

/** A group with its rewards, waiting for a step. */
export interface ScoredGroup {
  readonly group: RolledGroup;
  readonly rewards: readonly RewardMessage[];
  readonly baseline: number | undefined;
}

/** A group in a checkpoint: its row, from which the prompt is made again, and numbers, which JSON keeps to the bit. */
export interface SavedGroup {
  readonly index: number;
  readonly lengths: readonly number[];
  readonly finish: HeldAnswers["finish"];
  readonly tokens: readonly number[];
  readonly logprobs: readonly number[];
  readonly entropies: readonly number[];
  readonly connectivity: readonly number[] | undefined;
  readonly profile: readonly number[] | undefined;
  readonly regions: number;
  readonly boxes: HeldAnswers["boxes"];
  readonly rewards: readonly RewardMessage[];
  readonly baseline: number | undefined;
  readonly greedy: string | undefined;
}

/** Collects groups that are worth a step (dynamic sampling), and owns those that wait. */
export class Collector implements Disposable {
  readonly #sampler: DynamicSampler<ScoredGroup>;
  readonly #key: string;

  constructor(config: Config, state?: DynamicSamplerState<ScoredGroup>) {
    this.#sampler = new DynamicSampler(config.data.rolloutBatchSize, { ...config.algorithm.onlineFiltering!, ...(state && { state }) });
    this.#key = config.algorithm.filterKey;
  }

  /** Groups that are missing. */
  get needs(): number {
    return this.#sampler.needs;
  }

  /** Takes groups in with their scores; those that teach nothing are freed. @throws {KedgeError} `BadData` after too many batches. */
  add(groups: readonly RolledGroup[], { rewards, baselines }: Scores): void {
    let at = 0;
    const scored = groups.map((group, i): ScoredGroup => ({
      group,
      rewards: rewards.slice(at, at += group.tokens.length),
      baseline: baselines?.[i],
    }));
    const before = new Set(this.#sampler.state.surplus);
    try {
      this.#sampler.add(
        scored.map((one) => ({ group: one, accuracies: one.rewards.map(({ overall, parts }) => parts[this.#key] ?? overall) })),
      );
    } finally {
      const kept = new Set(this.#sampler.state.surplus);
      for (const one of scored) if (!kept.has(one) && !before.has(one)) one.group[Symbol.dispose]();
    }
  }

  /** The groups of a step, which are the caller's from then on. */
  take(): { groups: RolledGroup[]; scores: Scores; metrics: Record<string, number> } {
    const { groups, tries, counts } = this.#sampler.take(), baselines = groups.flatMap(({ baseline }) => baseline ?? []);
    return {
      groups: groups.map(({ group }) => group),
      scores: { rewards: groups.flatMap(({ rewards }) => rewards), ...(baselines.length > 0 && { baselines }) },
      metrics: {
        "sampling/tries": tries,
        "sampling/kept": counts.kept,
        "sampling/all_wrong": counts.allWrong,
        "sampling/all_right": counts.allRight,
        "sampling/not_graded": counts.notGraded,
        "sampling/surplus": this.#sampler.state.surplus.length,
      },
    };
  }

  /** What a checkpoint keeps. */
  state(): { surplus: SavedGroup[]; tries: number; counts: GroupCounts } {
    const { surplus, tries, counts } = this.#sampler.state;
    return { surplus: surplus.map(saved), tries, counts };
  }

  [Symbol.dispose](): void {
    for (const { group } of this.#sampler.state.surplus) group[Symbol.dispose]();
  }
}

function saved({ group: { row, answers, greedy }, rewards, baseline }: ScoredGroup): SavedGroup {
  const { lengths, finish, regions, boxes } = answers, floats = (tensor: HeldAnswers["logprobs"]) => [...tensor.toFloats()];
  return {
    index: row.index,
    lengths,
    finish,
    tokens: Array.from(answers.tokens.toArray(), Number),
    logprobs: floats(answers.logprobs),
    entropies: floats(answers.entropies),
    connectivity: answers.connectivity && floats(answers.connectivity),
    profile: answers.profile && floats(answers.profile),
    regions,
    boxes,
    rewards,
    baseline,
    greedy,
  };
}

/** Makes waiting groups again, from their rows as the loader gave them anew. */
export function restoreGroups(
  memory: ActorMemory,
  groups: readonly SavedGroup[],
  rows: readonly ReadyRow[],
  tokenizer: Tokenizer,
): ScoredGroup[] {
  return takeRows(memory, rows).map((row, i) => {
    const { lengths, finish, tokens, logprobs, entropies, connectivity, profile, regions, boxes, rewards, baseline, greedy } = groups[i]!;
    const floats = (numbers: readonly number[]) => hostTensor(memory, Float32Array.from(numbers));
    const tensors = {
      tokens: hostTensor(memory, Int32Array.from(tokens)),
      logprobs: floats(logprobs),
      entropies: floats(entropies),
      ...(connectivity && { connectivity: floats(connectivity) }),
      ...(profile && { profile: floats(profile) }),
    };
    const answers: HeldAnswers = {
      lengths,
      finish,
      regions,
      boxes,
      ...tensors,
      [Symbol.dispose]() {
        for (const tensor of Object.values(tensors)) tensor[Symbol.dispose]();
      },
    };
    return { group: rolledGroup(row, answers, tokenizer, greedy), rewards, baseline };
  });
}
