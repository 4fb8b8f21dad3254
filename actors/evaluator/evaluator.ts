import { pieces } from "../../tensor/packing.ts";
import type { TensorHandle } from "../../tensor/handle.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { GraderPool, type GraderPoolOptions } from "../../verify/pool/grader_pool.ts";
import { planReward, type RewardSpec } from "../../verify/registry.ts";
import type {
  AnswersMessage,
  EvaluatorMessage,
  EvaluatorReplies,
  LoaderMessage,
  LoaderReplies,
  PolicyMessage,
  PolicyReplies,
  ReadyRow,
} from "../messages.ts";
import { heldAnswers, type HeldPrompt, heldPrompt, promptMessage } from "../prompts.ts";
import type { Place } from "../../ffi/world.ts";
import { Ranks } from "../runtime/ranks.ts";
import type { Peer } from "../runtime/peer.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Message } from "../runtime/protocol.ts";
import type { Behaviour, Start } from "../runtime/serve.ts";
import { type Answer, gradeAnswers, type Prediction } from "./evaluate.ts";
import { wilson } from "./wilson.ts";

/** The options that an evaluator is started with. */
export interface EvaluatorOptions {
  /** The folder of the tokenizer. */
  readonly model: string;
  readonly reward: RewardSpec;
  /** The URL that paths of reward modules are relative to. */
  readonly base: string;
  readonly grader: GraderPoolOptions;
  /** The most rows of the held-out set that are asked. */
  readonly limit: number;
  /** The answers to a row; greedy answers are one. */
  readonly n: number;
  readonly temperature: number;
  readonly topP: number;
  /** Whether the rows are asked once more, with the likeliest token taken. */
  readonly greedy: boolean;
  readonly maxTokens: number;
  readonly seed: number;
  /** The place of this process, where several ranks share the rows. */
  readonly place?: Place;
}

/** Owner of the held-out rows: asks the policy for sampled answers to each, and for a greedy one, and has them graded. */
export class Evaluator implements Behaviour<EvaluatorMessage> {
  readonly #memory: ActorMemory;
  readonly #options: EvaluatorOptions;
  readonly #pool: GraderPool;
  readonly #tokenizer: Tokenizer;
  readonly #ranks: Ranks;
  #policy: Peer<PolicyMessage, PolicyReplies> | undefined;
  #loader: Peer<LoaderMessage, LoaderReplies> | undefined;
  #rows: { row: ReadyRow; prompt: HeldPrompt }[] | undefined;
  /** Rows that cannot be asked: unreadable, or too long. */
  #dropped = 0;

  constructor({ memory, options }: Start<EvaluatorOptions>) {
    this.#memory = memory;
    this.#options = options;
    this.#pool = new GraderPool(planReward(options.reward, options.base), options.grader);
    this.#tokenizer = Tokenizer.fromFolder(options.model);
    this.#ranks = Ranks.at(options.place, "evaluator");
  }

  connect(name: string, peer: (memory: ActorMemory) => Peer<Message, Record<string, unknown>>): void {
    if (name === "policy") this.#policy = peer(this.#memory) as unknown as Peer<PolicyMessage, PolicyReplies>;
    else this.#loader = peer(this.#memory) as unknown as Peer<LoaderMessage, LoaderReplies>;
  }

  async handle(_message: EvaluatorMessage): Promise<EvaluatorReplies["evaluate"]> {
    const { n, temperature, topP, greedy } = this.#options, sampled = await this.#ask({ n, temperature, topP });
    if (sampled.length === 0) return { metrics: {} };
    const { value, low, high } = accuracyOf(sampled);
    const metrics: Record<string, number> = {
      "val/accuracy": value,
      "val/accuracy_low": low,
      "val/accuracy_high": high,
      "val/reward_score": mean(sampled.map(({ reward }) => reward)),
      "val_response_length/mean": mean(sampled.map(({ tokens }) => tokens)),
      "val/dropped": this.#dropped,
    };
    if (greedy) metrics["val/accuracy_greedy"] = accuracyOf(await this.#ask({ n: 1, temperature: 0 })).value;
    return { metrics };
  }

  async #load(): Promise<{ row: ReadyRow; prompt: HeldPrompt }[]> {
    const { val } = await this.#loader!.request<"sizes">(() => ({ type: "sizes" }));
    const indices = this.#ranks.share(Array.from({ length: Math.min(val, this.#options.limit) }, (_, i) => i));
    const { rows, bad, overlong } = await this.#loader!.request<"load">(() => ({ type: "load", split: "val", indices }));
    this.#dropped = (await this.#ranks.gather(bad.length + overlong.length)).reduce((a, b) => a + b, 0);
    return rows.map((row) => ({ row, prompt: heldPrompt(row.prompt, (handle) => this.#memory.receive(handle)) }));
  }

  /** Asks every held-out row and has the answers graded; none where there are no rows. With several ranks, each asks its share. */
  async #ask(sampling: { n: number; temperature: number; topP?: number }): Promise<Prediction[]> {
    return (await this.#ranks.gather(await this.#askShare(sampling))).flat();
  }

  async #askShare(sampling: { n: number; temperature: number; topP?: number }): Promise<Prediction[]> {
    const rows = this.#rows ??= await this.#load(), { maxTokens, seed } = this.#options;
    if (rows.length === 0) return [];
    const { answers } = await this.#policy!.request<"rollout">((carrier) => ({
      type: "rollout",
      prompts: rows.map(({ prompt }) => promptMessage(prompt, (tensor) => carrier.lend(tensor))),
      sampling: { ...sampling, maxTokens, seed },
    }));
    const questions = rows.map(({ row: { id, prompt, input } }) => ({ id, prompt, input }));
    return await gradeAnswers(this.#pool, { questions, answers: answers.map((message) => this.#read(message)) });
  }

  /** Takes up the answers to a row, and reads them. */
  #read(message: AnswersMessage): Answer[] {
    using held = heldAnswers(message, (handle: TensorHandle) => this.#memory.receive(handle));
    const tokens = pieces(held.tokens.toArray() as Int32Array<ArrayBuffer>, held.lengths);
    return tokens.map((ids, sample) => ({
      text: this.#tokenizer.decode(ids, { skipSpecialTokens: true }),
      tokens: ids.length,
      finish: held.finish[sample]!,
    }));
  }

  async close(): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    for (const { prompt } of this.#rows ?? []) prompt[Symbol.dispose]();
  }
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

/** The accuracy with its interval. */
function accuracyOf(predictions: readonly Prediction[]): ReturnType<typeof wilson> {
  return wilson(predictions.reduce((sum, { accuracy }) => sum + accuracy, 0), predictions.length);
}
