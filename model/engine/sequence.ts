import type { Tensor } from "../../tensor/tensor.ts";
import type { RegionMap } from "../regions.ts";
import { type Completion, type Finish, type Look, Recorder } from "./completion.ts";
import { sequenceWords, type Words } from "./keys.ts";
import type { Needs } from "./limits.ts";
import type { Plan } from "./request.ts";

/** What visual sinks are found from: attention of each row after the last visual token on each visual token, [rows, 2 + visual tokens]. */
interface SinkSums {
  readonly tensor: Tensor;
  /** The prompt's first row that counts. */
  readonly first: number;
  readonly rows: number;
}

/** A prompt in the cache, shared by its samples. */
export class Prefix implements Disposable {
  /** Rows that are in the cache. */
  done = 0;
  /** What the vision tower gave, until all of it is embedded: [visual tokens, hidden]. */
  embeddings: Tensor | undefined;
  sinks: SinkSums | undefined;
  /** Set at prefill, where connectivity is asked for. */
  regions: RegionMap | undefined;
  /** What the last row saw. */
  look: Look | undefined;

  /** @param slot Its row among the final hidden states; `start`: its first row in the cache; `mask`: its slot among the masks, -1 for none. */
  constructor(readonly job: Job, readonly place: { readonly slot: number; readonly start: number; readonly mask: number }) {}

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

  /** Frees what it holds for reading. */
  [Symbol.dispose](): void {
    this.embeddings?.[Symbol.dispose]();
    this.sinks?.tensor[Symbol.dispose]();
    this.embeddings = this.sinks = undefined;
  }
}

/** A sample in the making. */
export class Sequence {
  readonly recorder = new Recorder();
  readonly words: Words;
  /** Why it ended, while its last token's row is still to be run (row "self"). */
  ended: Finish | undefined;

  /** @param start Its first row in the cache. */
  constructor(readonly prefix: Prefix, readonly sample: number, readonly start: number) {
    this.words = sequenceWords(prefix.plan.key, sample);
  }

  /** Tokens so far. */
  get length(): number {
    return this.recorder.tokens.length;
  }
}

/** A request on its way. */
export class Job {
  /** Samples that were given a place in the batch. */
  started = 0;
  prefix: Prefix | undefined;
  readonly completions: (Completion | undefined)[];
  #left: number;
  /** Names its connectivity options: rows that differ in it do not share an attention call. */
  readonly look: string;
  readonly #settled: (error?: unknown) => void;
  /** Whether it was answered. */
  over = false;

  /** @param settled Called once: when all samples are there, or with the error that ended it. */
  constructor(
    readonly plan: Plan,
    readonly needs: Needs,
    settled: (error?: unknown) => void,
    readonly ended: (sample: number, completion: Completion) => void,
  ) {
    this.completions = new Array(plan.n).fill(undefined);
    this.#left = plan.n;
    this.look = JSON.stringify(plan.connectivity) ?? "";
    this.#settled = settled;
  }

  /** Notes a finished sample. */
  complete(sample: number, completion: Completion): void {
    this.completions[sample] = completion;
    this.#left--;
    this.ended(sample, completion);
    if (this.#left === 0) this.settle();
  }

  /** Answers. */
  settle(error?: unknown): void {
    if (this.over) return;
    this.over = true;
    this.#settled(error);
  }
}
