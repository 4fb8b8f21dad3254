import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { DynamicSampler, type DynamicSamplerState, type GroupCounts } from "../../rl/sampling.ts";
import type { Config } from "../config/schema.ts";
import type { ReadyRow, RewardMessage } from "../messages.ts";
import type { HeldAnswers } from "../prompts.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import { type RolledGroup, rolledGroup, type Scores, takeRows } from "./roll.ts";

/** A group with its rewards, which waits for a step. */
export interface ScoredGroup {
  readonly group: RolledGroup;
  readonly rewards: readonly RewardMessage[];
  readonly baseline: number | undefined;
}

/** A group in a checkpoint. The prompt is made again from the row's index. JSON keeps every bit of the numbers. */
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
  /** Checkpoints of earlier versions lack it. */
  readonly visible?: HeldAnswers["visible"];
  readonly rewards: readonly RewardMessage[];
  readonly baseline: number | undefined;
  readonly greedy: string | undefined;
}

/** Collects groups with a useful signal for dynamic sampling. It owns the groups that wait. */
export class Collector implements Disposable {
  readonly #sampler: DynamicSampler<ScoredGroup>;
  readonly #key: string;

  constructor(config: Config, state?: DynamicSamplerState<ScoredGroup>) {
    this.#sampler = new DynamicSampler(config.data.rolloutBatchSize, { ...config.algorithm.onlineFiltering!, ...(state && { state }) });
    this.#key = config.algorithm.filterKey;
  }

  /** The number of groups that the next step still needs. */
  get needs(): number {
    return this.#sampler.needs;
  }

  /** Adds groups with their scores. Groups without a useful signal are freed. @throws {KedgeError} `BadData` after too many batches. */
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

  /** Returns the groups of a step. The caller owns them from then on. */
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

  /** Returns what a checkpoint keeps. */
  state(): { surplus: SavedGroup[]; tries: number; counts: GroupCounts } {
    const { surplus, tries, counts } = this.#sampler.state;
    return { surplus: surplus.map(saved), tries, counts };
  }

  [Symbol.dispose](): void {
    for (const { group } of this.#sampler.state.surplus) group[Symbol.dispose]();
  }
}

function saved({ group: { row, answers, greedy }, rewards, baseline }: ScoredGroup): SavedGroup {
  const { lengths, finish, regions, boxes, visible } = answers, floats = (tensor: HeldAnswers["logprobs"]) => [...tensor.toFloats()];
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
    visible,
    rewards,
    baseline,
    greedy,
  };
}

/** Of groups in checkpoints of earlier versions: their scores are not debiased. */
const NONE_VISIBLE = { visual: 0, other: 0 };

/** Makes the waiting groups of a checkpoint again. @param rows Their rows, which the loader has prepared again. */
export function restoreGroups(
  memory: ActorMemory,
  groups: readonly SavedGroup[],
  rows: readonly ReadyRow[],
  tokenizer: Tokenizer,
): ScoredGroup[] {
  return takeRows(memory, rows).map((row, i) => {
    const { rewards, baseline, greedy, ...group } = groups[i]!;
    const { lengths, finish, tokens, logprobs, entropies, connectivity, profile, regions, boxes, visible = NONE_VISIBLE } = group;
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
      visible,
      ...tensors,
      [Symbol.dispose]() {
        for (const tensor of Object.values(tensors)) tensor[Symbol.dispose]();
      },
    };
    return { group: rolledGroup(row, answers, tokenizer, greedy), rewards, baseline };
  });
}
