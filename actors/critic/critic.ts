import { estimateAdvantages, type Estimator } from "../../rl/advantages/estimator.ts";
import type { RewardBatch } from "../../rl/advantages/batch.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { weightedAdvantage } from "../../rl/credit/advantage.ts";
import { type Divergence, DivergenceMetrics, divergenceValues } from "../../rl/divergences/divergence.ts";
import { divergenceRewards, type DivergenceTerm } from "../../rl/divergences/term.ts";
import { GraderPool, type GraderPoolOptions } from "../../verify/pool/grader_pool.ts";
import { planReward, type RewardSpec } from "../../verify/registry.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { CriticMessage, CriticReplies } from "../messages.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Behaviour, Start, Turn } from "../runtime/serve.ts";

/** The options that a critic is started with. */
export interface CriticOptions {
  readonly reward: RewardSpec;
  /** The URL that module paths are relative to. */
  readonly base: string;
  readonly grader: GraderPoolOptions;
  readonly estimator: Estimator;
  /** Undefined: there is no divergence. */
  readonly divergence?: DivergenceTerm;
}

type AdvantagesMessage = Extract<CriticMessage, { type: "advantages" }>;

/** Grades answers and turns their rewards into advantages. It has no network of its own. */
export class Critic implements Behaviour<CriticMessage> {
  readonly #memory: ActorMemory;
  readonly #options: CriticOptions;
  readonly #pool: GraderPool;
  readonly #metrics: DivergenceMetrics;

  constructor({ memory, options }: Start<CriticOptions>) {
    this.#memory = memory;
    this.#options = options;
    this.#pool = new GraderPool(planReward(options.reward, options.base), options.grader);
    this.#metrics = new DivergenceMetrics(memory.device);
  }

  async handle(message: CriticMessage, turn: Turn): Promise<CriticReplies[CriticMessage["type"]]> {
    if (message.type === "score") return { rewards: await this.#pool.grade(message.samples) };
    return this.#advantages(message, turn);
  }

  #advantages(message: AdvantagesMessage, turn: Turn): CriticReplies["advantages"] {
    const { rewards, keys, lengths, parts, baselines, klCoefficient } = message, { device } = this.#memory;
    const tokenRewards = this.#divergenceRewards(message, turn);
    const batch: RewardBatch = {
      rewards,
      groups: keys,
      lengths,
      parts,
      ...(tokenRewards && { tokenRewards }),
      ...(baselines && { baselines }),
    };
    using responses = Responses.of(device, lengths);
    using advantage = Tensor.from(device, Float32Array.from(estimateAdvantages(this.#options.estimator, batch)));
    const weighted = weightedAdvantage(responses, { weights: turn.borrow(message.weights), advantage, perToken: true });
    const metrics = tokenRewards && { "actor/kl_penalty": this.#metrics.read()!.mean, "actor/kl_coef": klCoefficient };
    return { advantages: turn.move(weighted), metrics: metrics ?? {} };
  }

  /** The rewards by token that a divergence in the reward stands for; undefined where the message has no log-probs of the reference. */
  #divergenceRewards({ divergence: message, klCoefficient }: AdvantagesMessage, turn: Turn): Float64Array | undefined {
    if (!message) return undefined;
    const { device } = this.#memory, policy = turn.borrow(message.logprobs).toFloats();
    using logprob = Tensor.from(device, policy);
    using reference = Tensor.from(device, turn.borrow(message.reference).toFloats());
    using weights = Tensor.full(device, [policy.length], { value: 1 / policy.length });
    using values = divergenceValues(
      logprob,
      { reference, weights, old: logprob },
      { ...this.#options.divergence as Divergence, metrics: this.#metrics },
    );
    return divergenceRewards(values.toFloats(), klCoefficient);
  }

  async close(): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    this.#metrics[Symbol.dispose]();
  }
}
