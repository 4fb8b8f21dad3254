import type { Tensor } from "../../tensor/tensor.ts";
import type { RegionMap } from "../regions.ts";
import type { PageHolder } from "./cache_pages.ts";
import { type Completion, type Finish, Recorder, type RowAttention } from "./completion.ts";
import { sequenceWords, type Words } from "./keys.ts";
import type { Needs } from "./limits.ts";
import type { Plan } from "./request.ts";

/** Sums from which visual sinks are found: attention of each row after the last visual token on each visual token, [rows, 2 + visual tokens]. */
interface SinkSums {
  readonly tensor: Tensor;
  /** The prompt's first row that counts. */
  readonly first: number;
  readonly rows: number;
}

/** A prompt in the cache, shared by its samples. */
export class Prefix implements Disposable {
  /** The number of its rows that are in the cache. */
  done = 0;
  /** What the vision tower gave, until all of it is read: `VisualFeatures`, each [visual tokens, hidden]. */
  features: readonly Tensor[] = [];
  sinks: SinkSums | undefined;
  /** Set at prefill, where connectivity is asked for. */
  regions: RegionMap | undefined;
  /** Attention of the prompt's last row, which predicts the first token. */
  lastRow: RowAttention | undefined;

  /** @param slots `slot`: its row among the final hidden states; `start`: its first row in the cache; `mask`: its slot among the masks, -1 for none. */
  constructor(readonly job: Job, readonly slots: { readonly slot: number; readonly start: number; readonly mask: number }) {}

  get plan(): Plan {
    return this.job.plan;
  }

  /** Rows. */
  get length(): number {
    return this.plan.prompt.tokens.length;
  }

  /** Whether its samples can start. */
  get ready(): boolean {
    return this.done === this.length;
  }

  /** Frees what the vision tower gave. */
  releaseFeatures(): void {
    for (const tensor of this.features) tensor[Symbol.dispose]();
    this.features = [];
  }

  /** Frees the tensors that only the prefill needs. */
  [Symbol.dispose](): void {
    this.releaseFeatures();
    this.sinks?.tensor[Symbol.dispose]();
    this.sinks = undefined;
  }
}

/** A sample that is being generated, or that has given up its place in the cache for others and waits to go on. */
export class Sequence implements PageHolder {
  readonly recorder: Recorder;
  readonly words: Words;
  readonly pages: number[] = [];
  /** Tokens whose keys and values are in the cache, or will be by the steps that are under way. */
  cached = 0;
  /** Draws of steps that are under way. */
  pending = 0;
  /** The place of its last such draw among those of its step. */
  draw = -1;
  /** Whether it has left the batch for good: steps that are under way may have run it in vain. */
  over = false;
  /** Why it ended, while its last token's row is still to be run (row "self" or "both"). */
  ended: Finish | undefined;

  /** @param age Its place in the order in which all sequences were started. */
  constructor(readonly job: Job, readonly sample: number, readonly age: number) {
    this.recorder = new Recorder(job.plan.connectivity?.row === "both");
    this.words = sequenceWords(job.plan.key, sample);
  }

  /** Tokens so far. */
  get length(): number {
    return this.recorder.tokens.length;
  }

  /** Tokens, with those that steps under way will draw, unless it is known to have ended. */
  get drawn(): number {
    return this.ended ? this.length : this.length + this.pending;
  }

  /** Whether it draws a token after those that it has and those that are under way. */
  get goesOn(): boolean {
    return !this.ended && this.drawn < this.job.plan.maxTokens;
  }

  /** Tokens that the cache holds after the next step. The last token of a response is not read again, unless its own row is to be measured. */
  get next(): number {
    return Math.min(this.drawn, this.mostOwn);
  }

  get mostOwn(): number {
    return this.job.needs.own;
  }

  /** Its prompt's place; there is one while the sequence is in the batch. */
  get prefix(): Prefix {
    return this.job.prefix!;
  }
}

/** A request that is not answered yet. */
export class Job {
  /** Samples that have entered the batch. */
  started = 0;
  prefix: Prefix | undefined;
  /** The regions of a prompt that was read: they outlive its place in the cache. */
  regions: RegionMap | undefined;
  readonly completions: (Completion | undefined)[];
  #left: number;
  /** The connectivity options as text. Rows share an attention call only if it is the same. */
  readonly connectivityKey: string;
  readonly #settled: (error?: unknown) => void;
  /** Whether the request is settled. */
  over = false;

  /** @param settled Called once: when all samples are complete, or with the error that ended the request. */
  constructor(
    readonly plan: Plan,
    readonly needs: Needs,
    settled: (error?: unknown) => void,
    readonly ended: (sample: number, completion: Completion) => void,
  ) {
    this.completions = new Array(plan.n).fill(undefined);
    this.#left = plan.n;
    this.connectivityKey = JSON.stringify(plan.connectivity) ?? "";
    this.#settled = settled;
  }

  /** The regions of its profiles, as far as they are known. */
  get profileRegions(): RegionMap | undefined {
    return this.prefix?.regions ?? this.regions ?? this.plan.regions;
  }

  /** Records a finished sample. */
  complete(sample: number, completion: Completion): void {
    this.completions[sample] = completion;
    this.#left--;
    this.ended(sample, completion);
    if (this.#left === 0) this.settle();
  }

  /** Settles the request, once. */
  settle(error?: unknown): void {
    if (this.over) return;
    this.over = true;
    this.#settled(error);
  }
}
