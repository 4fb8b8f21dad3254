import { pieces } from "../../tensor/packing.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { GraderPool, type GraderPoolOptions } from "../../verify/pool/grader_pool.ts";
import { planReward, type RewardSpec } from "../../verify/registry.ts";
import type {
  EvaluatorMessage,
  EvaluatorReplies,
  LoaderMessage,
  LoaderReplies,
  PolicyMessage,
  PolicyReplies,
  ReadyRow,
} from "../messages.ts";
import { heldAnswers, type HeldPrompt, heldPrompt, promptMessage } from "../prompts.ts";
import type { Peer } from "../runtime/peer.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Message } from "../runtime/protocol.ts";
import type { Behaviour, Start } from "../runtime/serve.ts";
import { wilson } from "./wilson.ts";

/** What an evaluator is started with. */
export interface EvaluatorOptions {
  /** Folder of the tokenizer. */
  readonly model: string;
  readonly reward: RewardSpec;
  readonly base: string;
  readonly grader: GraderPoolOptions;
  /** Rows of the held-out set that are asked. */
  readonly limit: number;
  /** Answers to a row, where not greedy. */
  readonly n: number;
  readonly temperature: number;
  readonly topP: number;
  readonly greedy: boolean;
  readonly maxTokens: number;
  readonly seed: number;
}

/** Owner of the held-out rows: asks the policy for an answer to each, sampled at temperature 1 and greedily, and grades them. */
export class Evaluator implements Behaviour<EvaluatorMessage> {
  readonly #memory: ActorMemory;
  readonly #options: EvaluatorOptions;
  readonly #pool: GraderPool;
  readonly #tokenizer: Tokenizer;
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
  }

  connect(name: string, peer: (memory: ActorMemory) => Peer<Message, Record<string, unknown>>): void {
    if (name === "policy") this.#policy = peer(this.#memory) as unknown as Peer<PolicyMessage, PolicyReplies>;
    else this.#loader = peer(this.#memory) as unknown as Peer<LoaderMessage, LoaderReplies>;
  }

  async handle(_message: EvaluatorMessage): Promise<EvaluatorReplies["evaluate"]> {
    const { n, temperature, topP } = this.#options, sampled = await this.#ask({ n, temperature, topP });
    if (!sampled) return { metrics: {} };
    const metrics: Record<string, number> = {
      "val/accuracy": sampled.accuracy.value,
      "val/accuracy_low": sampled.accuracy.low,
      "val/accuracy_high": sampled.accuracy.high,
      "val/reward_score": sampled.reward,
      "val_response_length/mean": sampled.length,
      "val/dropped": this.#dropped,
    };
    if (this.#options.greedy) metrics["val/accuracy_greedy"] = (await this.#ask({ n: 1, temperature: 0 }))!.accuracy.value;
    return { metrics };
  }

  async #load(): Promise<{ row: ReadyRow; prompt: HeldPrompt }[]> {
    const { val } = await this.#loader!.request<"sizes">(() => ({ type: "sizes" }));
    const indices = Array.from({ length: Math.min(val, this.#options.limit) }, (_, i) => i);
    const { rows, bad, overlong } = await this.#loader!.request(() => ({ type: "load", split: "val", indices }));
    this.#dropped = bad.length + overlong.length;
    const take = (handle: Parameters<ReturnType<ActorMemory["account"]>["receive"]>[0]) =>
      this.#memory.account(handle.device).receive(handle);
    return rows.map((row) => ({ row, prompt: heldPrompt(row.prompt, take) }));
  }

  /** Undefined where there are no held-out rows. */
  async #ask(sampling: { n: number; temperature: number; topP?: number }) {
    const rows = this.#rows ??= await this.#load(), { maxTokens, seed } = this.#options;
    if (rows.length === 0) return undefined;
    const { answers } = await this.#policy!.request((carrier) => ({
      type: "rollout",
      prompts: rows.map(({ prompt }) => promptMessage(prompt, (tensor) => carrier.lend(tensor))),
      sampling: { ...sampling, maxTokens, seed },
    }));
    const inputs = answers.flatMap((message, i) => {
      using answer = heldAnswers(message, (handle) => this.#memory.account(handle.device).receive(handle));
      return pieces(answer.tokens.toArray() as Int32Array<ArrayBuffer>, answer.lengths).map((tokens, sample) => ({
        ...rows[i]!.row.input,
        response: this.#tokenizer.decode(tokens, { skipSpecialTokens: true }),
        tokens: tokens.length,
        finish: answer.finish[sample] === "stop" ? "stop" as const : "length" as const,
      }));
    });
    const graded = await this.#pool.grade(inputs), mean = (of: readonly number[]) => of.reduce((a, b) => a + b, 0) / of.length;
    const right = graded.reduce((sum, { overall, parts }) => sum + (parts["accuracy"] ?? overall), 0);
    return {
      accuracy: wilson(right, graded.length),
      reward: mean(graded.map(({ overall }) => overall)),
      length: mean(inputs.map(({ tokens }) => tokens)),
    };
  }

  async close(): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    for (const { prompt } of this.#rows ?? []) prompt[Symbol.dispose]();
  }
}
