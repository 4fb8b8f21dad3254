// deno-lint-ignore-file no-await-in-loop -- a slot makes one run after the other
/**
 * Makes the runs of a comparison, side by side in this process.
 *
 * @module
 */
import { loadConfig } from "../../actors/config/load.ts";
import { removeAll } from "../../actors/run/whole_file.ts";
import { SpareThreads } from "../../actors/runtime/spare_threads.ts";
import { train } from "../../actors/training_run.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { readOutcome, readWarmOutcome, type StoredOutcome, storedOutcome, storeOutcome, type WarmOutcome } from "./outcome.ts";
import type { RunJob, WarmJob } from "./plan.ts";

/** How runs are made. */
export interface RunnerOptions {
  /** The folder of the runs. */
  readonly dir: string;
  /** The folder of the warm starts. */
  readonly warmDir: string;
  /** Runs that go side by side. */
  readonly slots: number;
  /** Threads of a run; null: all cores. */
  readonly threads: number | null;
}

/** How a list of runs is made. */
export interface Work {
  /** Ends the work: no run is begun any more, and those under way stop after their step. */
  readonly signal: AbortSignal;
  /** Is told of each run that ends. `isFresh`: whether it was made now, and not read. */
  readonly onEnd?: (isFresh: boolean) => void;
}

interface Ended<R> {
  readonly isFresh: boolean;
  readonly result: R;
}

/** Makes runs in slots. A slot makes one run after the other, and keeps its threads until the runner is disposed of. */
export class Runner implements Disposable {
  readonly #options: RunnerOptions;
  readonly #spares: readonly SpareThreads[];

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#spares = Array.from({ length: options.slots }, () => new SpareThreads());
  }

  /** Makes the warm starts that are not there yet. @returns The outcome of each; undefined if the signal came before. */
  async warmStarts(jobs: readonly WarmJob[], work: Work): Promise<(WarmOutcome | undefined)[]> {
    return await this.#inSlots(jobs, work, async (job, spares) => {
      const { warmDir } = this.#options, run = `${warmDir}/${job.name}`, stored = this.storedWarm(job);
      if (stored) return { isFresh: false, result: stored };
      const start = performance.now(), loaded = loadConfig({ file: job.file, sets: [...job.sets, ...this.#place(warmDir, job)] });
      const { state } = await train(loaded, { warmStartOnly: true, spares, signal: work.signal });
      if (state !== "done") return undefined;
      const result = readWarmOutcome(run, { sets: job.sets, seconds: (performance.now() - start) / 1000 });
      storeOutcome(run, result);
      return { isFresh: true, result };
    });
  }

  /** Returns the outcome of a warm start; undefined if it is not there. */
  storedWarm(job: WarmJob): WarmOutcome | undefined {
    return storedOutcome<WarmOutcome>(`${this.#options.warmDir}/${job.name}`, job.sets);
  }

  /** Makes the runs that are not there yet. @returns The outcomes of all, in order; if the signal came, of those that are finished. */
  async runs(jobs: readonly RunJob[], work: Work): Promise<StoredOutcome[]> {
    const ended = await this.#inSlots(jobs, work, async (job, spares) => {
      const run = `${this.#options.dir}/${job.name}`, stored = storedOutcome<StoredOutcome>(run, job.sets);
      if (stored) return { isFresh: false, result: stored };
      const outcome = await this.#run(job, run, { spares, signal: work.signal });
      return outcome && { isFresh: true, result: outcome };
    });
    return ended.filter((outcome) => outcome !== undefined);
  }

  /** Returns the outcomes of the runs that are there. */
  stored(jobs: readonly RunJob[]): StoredOutcome[] {
    return jobs.flatMap((job) => storedOutcome<StoredOutcome>(`${this.#options.dir}/${job.name}`, job.sets) ?? []);
  }

  /** Makes a run. @returns Undefined if it was stopped. */
  async #run(
    job: RunJob,
    run: string,
    { spares, signal }: { spares: SpareThreads; signal: AbortSignal },
  ): Promise<StoredOutcome | undefined> {
    const { dir, warmDir } = this.#options, start = performance.now();
    const model = job.warmStart === undefined ? [] : [`model.path=${warmDir}/${job.warmStart}/checkpoints/step-0`, "sft=null"];
    let failed: string | undefined;
    try {
      const loaded = loadConfig({ file: job.file, sets: [...job.sets, ...model, ...this.#place(dir, job)] });
      const { state } = await train(loaded, { resume: false, spares, signal });
      if (state !== "done") return undefined;
    } catch (error) {
      if (!(error instanceof KedgeError && error.code === "Diverged")) throw error;
      failed = error.message;
    }
    const seconds = (performance.now() - start) / 1000;
    const outcome = readOutcome(run, { ...job.place, sets: job.sets, seconds, ...(failed !== undefined && { failed }) });
    storeOutcome(run, outcome);
    removeAll(`${run}/checkpoints`);
    return outcome;
  }

  /** The settings that say where and how a run is made, and do not change its numbers. */
  #place(dir: string, { name }: WarmJob): string[] {
    return [`runDir=${dir}`, `name=${name}`, `threads=${this.#options.threads}`];
  }

  /** Does jobs in the slots. @returns The results in the jobs' order; undefined where the signal came before. @throws The first error. */
  async #inSlots<J, R>(
    jobs: readonly J[],
    { signal, onEnd }: Work,
    make: (job: J, spares: SpareThreads) => Promise<Ended<R> | undefined>,
  ): Promise<(R | undefined)[]> {
    const results: (R | undefined)[] = jobs.map(() => undefined);
    let next = 0, hasFailed = false;
    const ends = await Promise.allSettled(this.#spares.map(async (spares) => {
      while (next < jobs.length && !signal.aborted && !hasFailed) {
        const i = next++,
          ended = await make(jobs[i]!, spares).catch((error) => {
            hasFailed = true;
            throw error;
          });
        if (!ended) continue;
        results[i] = ended.result;
        onEnd?.(ended.isFresh);
      }
    }));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    return results;
  }

  /** Ends the threads. */
  [Symbol.dispose](): void {
    for (const spares of this.#spares) spares[Symbol.dispose]();
  }
}
