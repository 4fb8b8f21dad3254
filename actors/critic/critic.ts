import { concatenated } from "../../tensor/packing.ts";
import { estimateAdvantages, type Estimator } from "../../rl/advantages/estimator.ts";
import type { RewardBatch } from "../../rl/advantages/batch.ts";
import { Responses } from "../../rl/atrl/responses.ts";
import { weightedAdvantage } from "../../rl/atrl/weights.ts";
import { DivergenceMetrics, divergenceValues } from "../../rl/divergences/divergence.ts";
import { divergenceRewards, type DivergenceTerm } from "../../rl/divergences/term.ts";
import { GraderPool, type GraderPoolOptions } from "../../verify/pool/grader_pool.ts";
import { planReward, type RewardSpec } from "../../verify/registry.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { CriticMessage, CriticReplies, PolicyMessage, PolicyReplies } from "../messages.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import type { Peer } from "../runtime/peer.ts";
import type { Message } from "../runtime/protocol.ts";
import type { Behaviour, Start, Turn } from "../runtime/serve.ts";
import { type CopiedGroup, copyGroups } from "./copy_groups.ts";

type Groups = Extract<CriticMessage, { type: "advantages" }>["groups"];

/** What a critic is started with. */
export interface CriticOptions {
  readonly reward: RewardSpec;
  /** What module paths are relative to. */
  readonly base: string;
  readonly grader: GraderPoolOptions;
  readonly estimator: Estimator;
  /** Undefined: no divergence, and no reference. */
  readonly divergence?: DivergenceTerm;
}

/**
 * Turns answers into advantages. It has no network of its own, and asks a frozen reference only where a divergence has a coefficient above 0.
 */
export class Critic implements Behaviour<CriticMessage> {
  readonly #memory: ActorMemory;
  readonly #options: CriticOptions;
  readonly #pool: GraderPool;
  readonly #metrics: DivergenceMetrics;
  #reference: Peer<PolicyMessage, PolicyReplies> | undefined;

  constructor({ memory, options }: Start<CriticOptions>) {
    this.#memory = memory;
    this.#options = options;
    this.#pool = new GraderPool(planReward(options.reward, options.base), options.grader);
    this.#metrics = new DivergenceMetrics(memory.device);
  }

  connect(_name: string, peer: (memory: ActorMemory) => Peer<Message, Record<string, unknown>>): void {
    this.#reference = peer(this.#memory) as unknown as Peer<PolicyMessage, PolicyReplies>;
  }

  async handle(message: CriticMessage, turn: Turn): Promise<CriticReplies[CriticMessage["type"]]> {
    if (message.type === "score") return { rewards: await this.#pool.grade(message.samples) };
    return await this.#advantages(message, turn);
  }

  async #advantages(message: Extract<CriticMessage, { type: "advantages" }>, turn: Turn): Promise<CriticReplies["advantages"]> {
    const { rewards, keys, lengths, parts, klCoefficient, temperature, groups, baselines } = message, { device } = this.#memory;
    const { divergence } = this.#options, needed = divergence !== undefined && klCoefficient > 0;
    const full = needed && divergence.kind === "full" ? await this.#askStates(groups, turn) : undefined;
    const reference = needed && !full ? await this.#ask(groups, temperature, turn) : undefined;
    const metrics: Record<string, number> = {};
    let tokenRewards: Float64Array | undefined;
    if (reference && divergence!.where === "reward" && divergence!.kind !== "full") {
      const own = concatenated(groups.map(({ logprobs }) => turn.borrow(logprobs).toFloats()));
      using logprob = Tensor.from(device, own);
      using target = Tensor.from(device, reference);
      using weights = Tensor.full(device, [own.length], { value: 1 / own.length });
      using values = divergenceValues(
        logprob,
        { reference: target, weights, old: logprob },
        { ...divergence!, metrics: this.#metrics } as never,
      );
      tokenRewards = divergenceRewards(values.toFloats(), klCoefficient);
      metrics["actor/kl_penalty"] = this.#metrics.read()!.mean;
      metrics["actor/kl_coef"] = klCoefficient;
    }
    const batch: RewardBatch = {
      rewards,
      groups: keys,
      lengths,
      parts,
      ...(tokenRewards && { tokenRewards }),
      ...(baselines && { baselines }),
    };
    const base = Float32Array.from(estimateAdvantages(this.#options.estimator, batch));
    using responses = Responses.of(device, lengths);
    using advantage = Tensor.from(device, base);
    const weighted = weightedAdvantage(responses, { weights: turn.borrow(message.weights), advantage, perToken: true });
    return {
      advantages: turn.move(weighted),
      base: firsts(base, lengths),
      metrics,
      ...(full && { referenceHidden: turn.move(full) }),
      ...(reference && { reference: turn.move(hostTensor(this.#memory, reference)) }),
    };
  }

  /** The reference's log-probs of all tokens. */
  async #ask(groups: Groups, temperature: number, turn: Turn): Promise<Float32Array<ArrayBuffer>> {
    const { logprobs } = await this.#withCopies(groups, turn, (reference, copies) =>
      reference.request<"logprobs">((carrier) => ({
        type: "logprobs",
        temperature,
        groups: copies.map((copy) => copy.message((tensor) => carrier.lend(tensor))),
      })));
    using tensor = turn.receive(logprobs);
    return tensor.toFloats();
  }

  /** What the reference's output matrix is multiplied with, for all tokens. */
  async #askStates(groups: Groups, turn: Turn): Promise<Tensor> {
    const { hidden } = await this.#withCopies(groups, turn, (reference, copies) =>
      reference.request<"predictions">((carrier) => ({
        type: "predictions",
        groups: copies.map((copy) => copy.message((tensor) => carrier.lend(tensor))),
      })));
    return turn.receive(hidden);
  }

  async #withCopies<T>(
    groups: Groups,
    turn: Turn,
    ask: (reference: Peer<PolicyMessage, PolicyReplies>, copies: readonly CopiedGroup[]) => Promise<T>,
  ): Promise<T> {
    if (!this.#reference) throw new RangeError("Cannot take a divergence: no reference is connected");
    const copies = copyGroups(groups, (handle) => turn.borrow(handle));
    try {
      return await ask(this.#reference, copies);
    } finally {
      for (const copy of copies) copy[Symbol.dispose]();
    }
  }

  async close(): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    this.#metrics[Symbol.dispose]();
  }
}

/** The advantage of each response's first token. */
function firsts(values: Float32Array, lengths: readonly number[]): number[] {
  let at = 0;
  return lengths.map((length) => {
    const first = values[at] ?? 0;
    at += length;
    return first;
  });
}
