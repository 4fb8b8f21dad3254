// deno-lint-ignore-file no-await-in-loop -- one batch after another
import { KedgeError } from "../../ffi/errors.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import type { Config } from "../config/schema.ts";
import type { LoaderReplies } from "../messages.ts";
import type { Line } from "../run/lines.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import { Collector, restoreGroups } from "./collect.ts";
import { Prefetch } from "./prefetch.ts";
import { type Origin, Passes } from "./passes.ts";
import { roll, type RolledGroup, score, type Scores, takeRows } from "./roll.ts";
import type { Saved } from "./saved.ts";
import type { Session } from "./session.ts";
import { timedInto } from "./timing.ts";

/** Options of {@linkcode Batches}. */
export interface BatchesOptions {
  /** The configuration without tuned values. */
  readonly config: Config;
  readonly tokenizer: Tokenizer;
  /** From a checkpoint: the batches that were drawn, and the answers that wait for a step. */
  readonly saved?: Pick<Saved, "draws" | "sampling"> | undefined;
  /** Where the passes over the current rows began. */
  readonly origin: Origin;
  /** Takes rows that cannot be read. */
  readonly quarantine: (...lines: readonly Line[]) => void;
}

/** The sampled batches of a run. Rows are loaded ahead. With dynamic sampling, answers that a step does not need wait for the next one. */
export class Batches implements Disposable {
  readonly #memory: ActorMemory;
  readonly #session: Session;
  readonly #options: BatchesOptions;
  readonly #passes: Passes;
  readonly #prefetch: Prefetch<LoaderReplies["load"]>;
  /** Collects groups for dynamic sampling. */
  #collector: Collector | undefined;
  #draws: number;
  /** The run's last step: `maxSteps`, or an earlier one at which the epochs end. */
  readonly last: number;

  private constructor(
    memory: ActorMemory,
    session: Session,
    { options, train, collector }: { options: BatchesOptions; train: number; collector: Collector | undefined },
  ) {
    const { config, saved, origin } = options;
    const { trainer: { maxSteps, totalEpochs }, data: { rolloutBatchSize: batchSize, shuffle, prefetch }, seed } = config;
    this.#memory = memory;
    this.#session = session;
    this.#options = options;
    this.#passes = new Passes(train, { seed, shuffle, batchSize, origin });
    this.last = totalEpochs === null || !Number.isFinite(train) ? maxSteps : Math.min(maxSteps, this.#passes.lastStep(totalEpochs));
    this.#collector = collector;
    this.#draws = saved?.draws ?? 0;
    const end = collector ? Infinity : this.last, ahead = Math.max(1, prefetch);
    this.#prefetch = new Prefetch((batch) => this.#load(batch), { first: this.#draws, end, ahead });
  }

  /** Begins, or continues from a checkpoint. @throws {KedgeError} `BadData` if there are no rows. */
  static async open(memory: ActorMemory, session: Session, options: BatchesOptions): Promise<Batches> {
    const { train } = await session.loader.peer.request<"sizes">(() => ({ type: "sizes" }));
    if (train === 0) throw new KedgeError("BadData", "Cannot train: data.trainFiles has no rows");
    const collector = options.config.algorithm.onlineFiltering === null ? undefined : await restored(memory, session, options);
    return new Batches(memory, session, { options, train, collector });
  }

  /**
   * Returns the groups of the next step. They are those of one batch or, with dynamic sampling, of as many batches as are needed.
   *
   * @param now `config`: the configuration in use at the step. `timing`: the seconds are added to it.
   */
  async next(now: { step: number; config: Config; timing: Record<string, number> }): Promise<
    { groups: RolledGroup[]; scores: Scores | undefined; metrics: Record<string, number> }
  > {
    const { step, config, timing } = now, { tokenizer } = this.#options;
    const session = this.#session, timed = timedInto(timing), lost = { "data/bad": 0, "data/overlong": 0 };
    const next = async () => {
      const loaded = await this.#prefetch.next(), rows = takeRows(this.#memory, loaded.rows), draw = ++this.#draws;
      lost["data/bad"] += loaded.bad.length;
      lost["data/overlong"] += loaded.overlong.length;
      this.#setAside(step, loaded);
      return await timed("gen", roll(this.#memory, session, { config, rows, draw, tokenizer }));
    };
    const collector = this.#collector;
    if (!collector) return { groups: await next(), scores: undefined, metrics: lost };
    while (collector.needs > 0) {
      const groups = await next();
      collector.add(groups, await timed("reward", score(session, groups)));
    }
    const { metrics, ...taken } = collector.take();
    return { ...taken, metrics: { ...lost, ...metrics } };
  }

  /** Drops the answers that wait for a step, because they were sampled at another temperature. */
  dropWaiting(): void {
    if (!this.#collector) return;
    this.#collector[Symbol.dispose]();
    this.#collector = new Collector(this.#options.config);
  }

  /** Returns what a checkpoint keeps. */
  state(): Pick<Saved, "draws" | "sampling"> {
    return { draws: this.#draws, sampling: this.#collector?.state() };
  }

  /** Frees the rows that were loaded ahead. */
  async end(): Promise<void> {
    for (const { rows } of await this.#prefetch.rest()) takeRows(this.#memory, rows).forEach(({ prompt }) => prompt[Symbol.dispose]());
  }

  /** Frees the answers that wait for a step. */
  [Symbol.dispose](): void {
    this.#collector?.[Symbol.dispose]();
    this.#collector = undefined;
  }

  /** Asks the loader for a batch of prompts. */
  #load(batch: number): Promise<LoaderReplies["load"]> {
    const { logging, rollout } = this.#options.config, indices = this.#passes.indices(batch);
    const images = Math.ceil(logging.rolloutSamples / rollout.n);
    return this.#session.loader.peer.request(() => ({ type: "load", split: "train", indices, images }));
  }

  /** Writes rows that cannot be read to quarantine.jsonl, or ends the run, as the configuration says. */
  #setAside(step: number, { rows, bad, overlong }: LoaderReplies["load"]): void {
    if (bad.length > 0 && this.#options.config.data.badRows === "stop") {
      throw new KedgeError("BadData", `${bad[0]!.reason} (data.badRows "quarantine" would set such rows aside)`, { id: bad[0]!.id });
    }
    this.#options.quarantine(...bad.map((row) => ({ step, ...row })));
    if (rows.length === 0) {
      throw new KedgeError(
        "BadData",
        `Cannot make step ${step}: of its rows ${bad.length} cannot be read, ${overlong.length} are too long`,
        { step },
      );
    }
  }
}

/** Returns the collector with the waiting answers of a checkpoint. The loader prepares their rows again. */
async function restored(memory: ActorMemory, session: Session, { config, saved, tokenizer }: BatchesOptions): Promise<Collector> {
  if (!saved?.sampling) return new Collector(config);
  const { surplus, ...state } = saved.sampling, indices = surplus.map(({ index }) => index), images = indices.length;
  const { rows } = await session.loader.peer.request<"load">(() => ({ type: "load", split: "train", indices, images }));
  return new Collector(config, { ...state, surplus: restoreGroups(memory, surplus, rows, tokenizer) });
}
