// deno-lint-ignore-file no-await-in-loop -- one word of rank 0 after the other
import type { Ranks } from "../runtime/ranks.ts";
import type { JobQueue } from "./job_queue.ts";

/** What all ranks do together between two steps, because somebody asked rank 0 for it. */
export type SharedJob = "evaluate" | "checkpoint";

/** What rank 0 tells the others between two steps. */
type Word = { readonly kind: "go"; readonly stops: boolean; readonly payload: unknown } | { readonly kind: "wait" } | {
  readonly kind: SharedJob;
};

/** Options of {@linkcode Conductor}. */
export interface ConductorOptions {
  readonly ranks: Ranks;
  /** The commands that rank 0 was given. */
  readonly jobs: JobQueue;
  /** Whether the run is to stop, as rank 0 knows it. */
  readonly isStopping: () => boolean;
  /** Is called on the other ranks when the run is to stop. */
  readonly stop: () => void;
}

/** Milliseconds between two words in a pause, so that those who wait know that rank 0 lives. */
const BEAT = 1000;

/**
 * Keeps the ranks of a run at the same place of it. Commands reach rank 0 alone. Between two steps it tells the others what it was asked
 * for, so that all change at the same step.
 */
export class Conductor {
  readonly #options: ConductorOptions;
  #busy = 0;
  #telling: Promise<unknown> = Promise.resolve();

  constructor(options: ConductorOptions) {
    this.#options = options;
  }

  /** The ranks. */
  get ranks(): Ranks {
    return this.#options.ranks;
  }

  /** Does the commands that wait, and waits as long as the run is paused. See {@linkcode Conductor.finish} for what it returns. */
  rest<T>(payload: () => T, follow: (job: SharedJob) => Promise<unknown>): Promise<{ stops: boolean; payload: T }> {
    return this.#between(() => this.#options.jobs.rest(), payload, follow);
  }

  /**
   * Does the commands that wait.
   *
   * @param follow Makes what rank 0 was asked for on another rank.
   * @returns `stops`: whether the run is to stop. `payload`: that of rank 0.
   */
  finish<T>(payload: () => T, follow: (job: SharedJob) => Promise<unknown>): Promise<{ stops: boolean; payload: T }> {
    return this.#between(() => this.#options.jobs.runAll(), payload, follow);
  }

  /** Whether the run is to stop, as all ranks know it at this place. */
  async stops(): Promise<boolean> {
    const { ranks, isStopping, stop } = this.#options, stops = await ranks.tell(isStopping());
    if (stops && !ranks.isFirst) stop();
    return stops;
  }

  /** On rank 0: lets all ranks do a job together. */
  async together<T>(job: SharedJob, work: () => Promise<T>): Promise<T> {
    this.#busy++;
    try {
      await this.#tell({ kind: job });
      return await work();
    } finally {
      this.#busy--;
    }
  }

  async #between<T>(
    work: () => Promise<void>,
    payload: () => T,
    follow: (job: SharedJob) => Promise<unknown>,
  ): Promise<{ stops: boolean; payload: T }> {
    const { ranks, isStopping, stop } = this.#options;
    if (!ranks.isFirst) {
      for (;;) {
        const word = await ranks.tell<Word>();
        if (word.kind === "go") {
          if (word.stops) stop();
          return { stops: word.stops, payload: word.payload as T };
        }
        if (word.kind !== "wait") await follow(word.kind);
      }
    }
    const beat = setInterval(() => this.#busy === 0 && void this.#tell({ kind: "wait" }).catch(() => {}), BEAT);
    try {
      await work();
    } finally {
      clearInterval(beat);
    }
    const go = { stops: isStopping(), payload: payload() };
    await this.#tell({ kind: "go", ...go });
    return go;
  }

  async #tell(word: Word): Promise<void> {
    if (this.#options.ranks.size === 1) return;
    await (this.#telling = this.#telling.catch(() => {}).then(() => this.#options.ranks.tell(word)));
  }
}
