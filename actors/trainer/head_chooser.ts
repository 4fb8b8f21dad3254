import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { chosenLayers } from "../../model/regions.ts";
import { type Config, connectivityOf } from "../config/schema.ts";
import type { HeadsRule } from "../config/types.ts";
import { groupMessage } from "../prompts.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import { type CountedGroup, countedGroup, roll, takeRows } from "./roll.ts";
import type { Session } from "./session.ts";

type Heads = readonly (readonly [layer: number, head: number])[];

/** What is logged of a choice. */
interface Choice {
  /** `atrl/heads`: the number of heads in use; `atrl/heads_changed`: how many of them are new; `atrl_heads/L.H`: the number by which each of them was ranked. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/**
 * Chooses the attention heads whose connectivity counts, by `atrl.heads` as a rule: before the first step from answers to the first rows, then in every so
 * many steps from the step's own answers, for the steps after it. Only answers count, and no labels.
 */
export class HeadChooser {
  readonly #memory: ActorMemory;
  readonly #note: (words: string) => void;
  #rule: HeadsRule | undefined;
  #config: Config | undefined;
  #heads: Heads | undefined;
  /** Not yet reported. */
  #first: Choice | undefined;
  #hasProbed = false;

  /** @param given `heads`: of a checkpoint. `note`: receives a message for each choice that changes the heads. */
  constructor(memory: ActorMemory, given: { heads: Heads | undefined; note: (words: string) => void }) {
    this.#memory = memory;
    this.#heads = given.heads;
    this.#note = given.note;
  }

  /** The heads in use; undefined before the first choice. */
  get heads(): Heads | undefined {
    return this.#heads;
  }

  /** Returns a configuration with the heads in use. If there are none yet, it lets the policy answer the first rows and chooses by the answers. */
  async apply(config: Config, { session, tokenizer }: { session: Session; tokenizer: Tokenizer }): Promise<Config> {
    this.#rule = config.atrl.heads as HeadsRule;
    this.#config = config;
    if (!this.#heads && !this.#hasProbed) {
      this.#hasProbed = true;
      this.#first = await this.#firstChoice(session, tokenizer);
    }
    return this.#heads
      ? { ...config, atrl: { ...config.atrl, heads: this.#heads.map(([layer, head]) => [layer, head] as const) } }
      : config;
  }

  /** Chooses anew by a step's answers if that is due. @returns What the step reports. */
  async after(session: Session, { groups, step }: { groups: readonly CountedGroup[]; step: number }): Promise<Choice | undefined> {
    const { every, prompts } = this.#rule!, first = this.#first;
    this.#first = undefined;
    if (step % every !== 0) return first;
    const { metrics, seconds } = await this.#choose(session, groups.slice(0, prompts));
    return { metrics, seconds: seconds + (first?.seconds ?? 0) };
  }

  async #firstChoice(session: Session, tokenizer: Tokenizer): Promise<Choice> {
    const start = performance.now();
    using stack = new DisposableStack();
    const groups = await this.#probe(session, tokenizer);
    for (const group of groups) stack.use(group);
    const { metrics } = await this.#choose(session, groups);
    return { metrics, seconds: (performance.now() - start) / 1000 };
  }

  /** Samples answers to the first rows. */
  async #probe(session: Session, tokenizer: Tokenizer): Promise<CountedGroup[]> {
    const config = this.#config!, { train } = await session.loader.peer.request<"sizes">(() => ({ type: "sizes" }));
    // More rows than are needed, since some may be bad or too long.
    const indices = Array.from({ length: Math.min(4 * this.#rule!.prompts, train) }, (_, i) => i);
    const loaded = await session.loader.peer.request<"load">(() => ({ type: "load", split: "train", indices }));
    const rows = takeRows(this.#memory, loaded.rows), kept = rows.slice(0, this.#rule!.prompts);
    for (const { prompt } of rows.slice(kept.length)) prompt[Symbol.dispose]();
    if (kept.length === 0) return [];
    const groups = await roll(this.#memory, session, { config, rows: kept, draw: 0, tokenizer });
    return groups.map((group) => countedGroup(group, config));
  }

  /** Chooses by the answers of groups. Heads stay as they are where no answer is to a prompt with pictures. */
  async #choose(session: Session, groups: readonly CountedGroup[]): Promise<Choice> {
    const start = performance.now(), { rule, keep } = this.#rule!, before = this.#heads ?? [];
    const { layers: _, heads: __, ...connectivity } = connectivityOf(this.#config!);
    const { heads } = await session.policy.peer.request<"rankHeads">((carrier) => ({
      type: "rankHeads",
      groups: groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor))),
      rule,
      connectivity,
    }));
    const best = this.#counting(heads).slice(0, keep);
    if (best.length > 0) this.#heads = best.map(({ layer, head }) => [layer, head] as const).sort(([a, b], [c, d]) => a - c || b - d);
    const now = this.#heads ?? [], changed = now.filter(([l, h]) => !before.some(([a, b]) => a === l && b === h)).length;
    if (changed > 0) this.#note(`Attention heads by ${rule}, as [layer, head]: ${now.map((head) => `[${head.join(", ")}]`).join(" ")}`);
    const scores = best.map(({ layer, head, score }): [string, number] => [`atrl_heads/${layer}.${head}`, score]);
    const metrics = { "atrl/heads": now.length, "atrl/heads_changed": changed, ...Object.fromEntries(scores) };
    return { metrics, seconds: (performance.now() - start) / 1000 };
  }

  /** Heads of the layers that count, with a number to rank them by. */
  #counting<T extends { layer: number; score: number }>(heads: readonly T[]): T[] {
    const { layers } = this.#config!.atrl, count = 1 + Math.max(-1, ...heads.map(({ layer }) => layer));
    const counts = count > 0 ? chosenLayers(layers, count) : [];
    return heads.filter(({ layer, score }) => counts[layer] && Number.isFinite(score));
  }
}
