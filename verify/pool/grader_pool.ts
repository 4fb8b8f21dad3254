/**
 * Grades samples in child processes. A time limit applies to each sample; a child that exceeds it is killed.
 *
 * @module
 */
import { resolve } from "node:path";
import { GraderProcess, type GraderProcessOptions, type Preparation, prepare } from "./grader_process.ts";
import { type Grader, makeGrader, type Outcome, type RewardPlan } from "../plan.ts";
import type { RewardInput, RewardResult } from "../reward.ts";

/** Why the grader gave no reward for a sample. */
export type IncidentKind = "timeout" | "crash" | "garbage" | "threw" | "shape";

/** A sample that made its grader fail. */
export interface GraderIncident {
  /** The kind of failure. */
  readonly kind: IncidentKind;
  /** A description of what happened. */
  readonly reason: string;
  /** The sample's index in the call's list. */
  readonly sample: number;
  /** The sample. */
  readonly input: RewardInput;
}

/** The reward of one sample. */
export interface Graded extends RewardResult {
  /** Why the sample was not graded and its reward is 0; absent if it was graded. */
  readonly reason?: string;
}

/** Options for {@linkcode GraderPool}. */
export interface GraderPoolOptions {
  /**
   * The maximum number of child processes. Default: half of the cores, from 1 to 4. With 0, this thread grades, without a time limit; that is
   * for built-in verifiers only.
   */
  workers?: number;
  /**
   * Milliseconds that a sample may take, counted from when its grading begins. A batch may take this time multiplied by its number of
   * samples. Default: 2,000.
   */
  timeLimit?: number;
  /** Milliseconds that a child may take to load. Default: 60,000. */
  startLimit?: number;
  /** The maximum number of waiting samples. When the queue is full, `grade` waits before it adds more. Default: 4,096. */
  capacity?: number;
  /** The maximum number of samples that a batch grader gets at once. Default: 64. */
  batchSize?: number;
  /** The largest heap of a child, in MiB. Default: 512. */
  memory?: number;
  /** Paths that users' modules may read and import. Default: none. Imports from a module's own folder need no permission. */
  read?: readonly string[];
  /** Hosts, as "host" or "host:port", that users' modules may reach and import from. Default: none. */
  net?: readonly string[];
  /** Environment variables that users' modules may read. Default: none. */
  env?: readonly string[];
  /** The Deno program. Default: the program of this process if it may be run by its path, else "deno". A compiled program must set it. */
  deno?: string;
  /** Is called for every sample that made its grader fail. Results of a wrong shape are reported only once. */
  onIncident?: (incident: GraderIncident) => void;
}

interface Job {
  readonly input: RewardInput;
  readonly sample: number;
  readonly settle: (graded: Graded) => void;
  readonly fail: (error: unknown) => void;
  /** Tells whether the sample's call was cancelled. */
  readonly cancelled: () => boolean;
  /** Whether the sample is graded alone, because the batch that it was in failed. */
  alone: boolean;
}

interface Slot {
  process: GraderProcess | undefined;
  busy: Promise<void> | undefined;
  jobs: readonly Job[];
}

/** The number of samples sent at once to a child that grades one after the other. */
const CHUNK = 8;

/**
 * Grades samples in child processes.
 *
 * The children start when there is work, and stay. If a sample takes too long, crashes its child or makes it print garbage, its reward is
 * 0, its child is killed, and another child grades the rest.
 *
 * Permissions: `--allow-run` of the Deno program. If `--allow-env=HOME,DENO_DIR,PATH` is granted, the children get only these variables.
 * The children may access only what `read`, `net` and `env` name, and the files that users' modules import from their own folders. With
 * `--allow-read` of those folders, this process resolves links to find the files.
 *
 * @example
 * ```ts
 * import { GraderPool, planReward } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new GraderPool(planReward("math", import.meta.url), { workers: 1 });
 * const graded = await pool.grade([{ response: "\\boxed{0.5}", truth: "\\frac12" }, { response: "none", truth: "2" }]);
 * assertEquals(graded.map(({ overall }) => overall), [1, 0]);
 * ```
 */
export class GraderPool implements AsyncDisposable {
  readonly #process: GraderProcessOptions;
  /** Grades in this thread; undefined: child processes do. */
  readonly #here: Grader | undefined;
  #prepared: Promise<Preparation> | undefined;
  readonly #slots: Slot[];
  readonly #queue: Job[] = [];
  readonly #timeLimit: number;
  readonly #capacity: number;
  readonly #batchSize: number;
  readonly #onIncident: ((incident: GraderIncident) => void) | undefined;
  readonly #zeros: Readonly<Record<string, number>>;
  #waiting: (() => void)[] = [];
  readonly #closing = new AbortController();
  #shapeTold = false;

  /**
   * Makes a pool for a reward.
   *
   * @throws RangeError for limits that are not positive, for names with a comma in `read`, `net` and `env`, and for modules with `workers` 0.
   */
  constructor(plan: RewardPlan, options: GraderPoolOptions = {}) {
    const {
      workers = Math.min(4, Math.max(1, navigator.hardwareConcurrency >> 1)),
      timeLimit = 2_000,
      startLimit = 60_000,
      capacity = 4_096,
      batchSize = 64,
      memory = 512,
    } = options;
    if (workers === 0 && plan.modules.length > 0) {
      throw new RangeError(`Cannot make a grader pool: the reward has modules (${plan.modules.join(", ")}), and \`workers\` is 0`);
    }
    for (const [name, value] of Object.entries({ workers: workers === 0 ? 1 : workers, capacity, batchSize, memory })) {
      if (!(Number.isInteger(value) && value >= 1)) throw new RangeError(`Cannot make a grader pool: \`${name}\` is ${value}`);
    }
    for (const [name, value] of Object.entries({ timeLimit, startLimit })) {
      if (!(value > 0 && value < 2 ** 31)) throw new RangeError(`Cannot make a grader pool: \`${name}\` is ${value}`);
    }
    const { read = [], net = [], env = [] } = options;
    for (const [name, values] of Object.entries({ read, net, env })) {
      const odd = values.find((value) => value === "" || value.includes(","));
      if (odd !== undefined) {
        throw new RangeError(
          `Cannot make a grader pool: \`${name}\` holds "${odd}"; Deno accepts no empty name there and no name with a comma`,
        );
      }
    }
    this.#process = {
      plan,
      deno: options.deno ?? ownDeno(),
      read: read.map((path) => resolve(path)),
      net: [...net, ...plan.net ?? []],
      env,
      memory,
      startLimit,
      signal: this.#closing.signal,
    };
    this.#here = workers === 0 ? makeGrader(plan, []) : undefined;
    this.#slots = Array.from({ length: workers }, () => ({ process: undefined, busy: undefined, jobs: [] }));
    this.#timeLimit = timeLimit;
    this.#capacity = capacity;
    this.#batchSize = batchSize;
    this.#onIncident = options.onIncident;
    this.#zeros = Object.fromEntries((plan.parts ?? []).map(({ name }) => [name, 0]));
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Ids of the running child processes. */
  get pids(): number[] {
    return this.#slots.flatMap(({ process }) => process === undefined ? [] : [process.pid]);
  }

  /**
   * Grades samples.
   *
   * @param options `signal`: cancels the call. A child that works on nothing else is killed.
   * @returns One result for each sample, in order.
   * @throws KedgeError if the reward's modules cannot be loaded; the signal's reason; TypeError if the pool is closed.
   */
  async grade(inputs: readonly RewardInput[], options: { signal?: AbortSignal } = {}): Promise<Graded[]> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#here) return await this.#gradeHere(inputs, signal);
    let over = false;
    const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
    stopped.catch(() => {});
    const fail = (error: unknown) => {
      if (over) return;
      over = true;
      stop(error);
      this.#drop();
    };
    const abort = () => fail(signal!.reason);
    signal?.addEventListener("abort", abort);
    try {
      const results: Promise<Graded>[] = [];
      for (const [sample, input] of inputs.entries()) {
        while (this.#queue.length >= this.#capacity && !this.#closed) {
          // deno-lint-ignore no-await-in-loop -- waits for room
          await Promise.race([stopped, new Promise<void>((resolve) => this.#waiting.push(resolve))]);
        }
        if (this.#closed) throw new TypeError("Cannot grade: the pool is closed");
        results.push(
          new Promise((settle) => this.#queue.push({ input, sample, settle, fail, cancelled: () => over, alone: false })),
        );
        if (this.#queue.length === this.#capacity || sample === inputs.length - 1) this.#start();
      }
      return await Promise.race([stopped, Promise.all(results)]);
    } finally {
      over = true;
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Grades in this thread. */
  async #gradeHere(inputs: readonly RewardInput[], signal: AbortSignal | undefined): Promise<Graded[]> {
    const graded: Graded[] = [];
    for (const [sample, input] of inputs.entries()) {
      if (this.#closed) throw new TypeError("Cannot grade: the pool is closed");
      // deno-lint-ignore no-await-in-loop -- one after the other, so that the call can be cancelled between two
      const outcome = await this.#here!.grade(input);
      signal?.throwIfAborted();
      const job = { input, sample, settle: (one: Graded) => void graded.push(one), fail: rethrow, cancelled: () => false, alone: false };
      this.#settle(job, outcome);
    }
    return graded;
  }

  /** Gives work to idle children, and starts new ones. */
  #start(): void {
    const idle = this.#slots.filter(({ busy }) => busy === undefined).sort((a, b) =>
      Number(b.process !== undefined) - Number(a.process !== undefined)
    );
    const useful = Math.min(idle.length, Math.ceil(this.#queue.length / CHUNK));
    for (const slot of idle.slice(0, useful)) {
      slot.busy = this.#work(slot).finally(() => {
        slot.busy = undefined;
        if (this.#queue.length > 0 && !this.#closed) this.#start();
      });
    }
  }

  /** Drops the jobs of cancelled calls, and kills children that work on nothing else. */
  #drop(): void {
    const left = this.#queue.filter((job) => !job.cancelled());
    this.#queue.splice(0, this.#queue.length, ...left);
    this.#room();
    for (const { process, jobs } of this.#slots) if (jobs.length > 0 && jobs.every((job) => job.cancelled())) process?.kill();
  }

  #room(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #take(batch: boolean): Job[] {
    const alone = this.#queue[0]?.alone === true;
    const most = batch ? alone ? 1 : this.#batchSize : Math.min(CHUNK, Math.ceil(this.#queue.length / this.#slots.length));
    let count = 0;
    while (count < most && count < this.#queue.length && this.#queue[count]!.alone === alone) count++;
    const jobs = this.#queue.splice(0, count);
    this.#room();
    return jobs;
  }

  /** Grades until the queue is empty. The promise never rejects. */
  async #work(slot: Slot): Promise<void> {
    while (this.#queue.length > 0 && !this.#closed) {
      try {
        // deno-lint-ignore no-await-in-loop -- a child has one set of samples at a time
        slot.process ??= await GraderProcess.start(this.#process, await (this.#prepared ??= prepare(this.#process)));
      } catch (error) {
        for (const job of this.#queue.splice(0)) job.fail(error);
        this.#room();
        return;
      }
      const { process } = slot, jobs = slot.jobs = this.#closed ? [] : this.#take(process.batch);
      if (jobs.length === 0) return;
      let healthy = false;
      try {
        // deno-lint-ignore no-await-in-loop -- as above
        healthy = process.batch && !jobs[0]!.alone ? await this.#gradeTogether(process, jobs) : await this.#gradeInTurn(process, jobs);
      } catch (error) {
        for (const job of jobs) job.fail(error); // for example, JSON cannot hold an input
      }
      slot.jobs = [];
      if (!healthy) {
        slot.process = undefined;
        // deno-lint-ignore no-await-in-loop -- as above
        await process[Symbol.asyncDispose]();
      }
    }
  }

  /** Puts jobs back at the head of the queue. */
  #return(jobs: readonly Job[]): void {
    this.#queue.unshift(...jobs.filter((job) => !job.cancelled()));
  }

  /** @returns Whether the child may continue. */
  async #gradeInTurn(process: GraderProcess, jobs: readonly Job[]): Promise<boolean> {
    process.send({ inputs: jobs.map(({ input }) => input), together: false });
    for (const [i, job] of jobs.entries()) {
      // deno-lint-ignore no-await-in-loop -- results come one after the other
      const received = await process.next(this.#timeLimit);
      if (received.kind === "graded") this.#settle(job, received.outcome);
      else {
        // deno-lint-ignore no-await-in-loop -- so that all it printed is there
        await process[Symbol.asyncDispose]();
        this.#blame(job, ...this.#explain(received, this.#timeLimit, process));
        this.#return(jobs.slice(i + 1));
        return false;
      }
    }
    return true;
  }

  /** @returns Whether the child may continue. */
  async #gradeTogether(process: GraderProcess, jobs: readonly Job[]): Promise<boolean> {
    const limit = Math.min(2 ** 31 - 1, this.#timeLimit * jobs.length);
    process.send({ inputs: jobs.map(({ input }) => input), together: true });
    const received = await process.next(limit);
    if (received.kind === "batch" && received.outcomes.length === jobs.length) {
      for (const [i, job] of jobs.entries()) this.#settle(job, received.outcomes[i]!);
      return true;
    }
    // Each is graded alone, to find the one that makes it fail.
    for (const job of jobs) job.alone = true;
    this.#return(jobs);
    return received.kind === "failed";
  }

  #explain(received: { kind: string; text?: string }, limit: number, process: GraderProcess): [IncidentKind, string] {
    if (received.kind === "timeout") return ["timeout", `not graded within ${limit} ms; the grader was killed`];
    if (received.kind === "ended") return ["crash", `the grader ended: ${process.printed.trim().slice(-500) || "it printed nothing"}`];
    return ["garbage", `the grader printed ${JSON.stringify(received.text ?? received.kind)} to standard output`];
  }

  #settle(job: Job, outcome: Outcome): void {
    if ("result" in outcome) job.settle(outcome.result);
    else this.#blame(job, outcome.failure, outcome.message);
  }

  #blame(job: Job, kind: IncidentKind, reason: string): void {
    if (job.cancelled() || this.#closed) return;
    const tell = kind !== "shape" || !this.#shapeTold;
    this.#shapeTold ||= kind === "shape";
    job.settle({ overall: 0, parts: this.#zeros, reason });
    if (!tell) return;
    try {
      this.#onIncident?.({ kind, reason, sample: job.sample, input: job.input });
    } catch (error) {
      job.fail(error); // an error that the listener throws ends its call
    }
  }

  /** Kills all children and rejects the samples that are not graded. Returns when the children have exited. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    const error = new TypeError("Cannot grade: the pool is closed");
    for (const job of [...this.#queue.splice(0), ...this.#slots.flatMap(({ jobs }) => jobs)]) job.fail(error);
    this.#room();
    for (const { process } of this.#slots) process?.kill();
    await Promise.all(this.#slots.map(({ busy }) => busy));
    await Promise.all(this.#slots.map(async (slot) => {
      await slot.process?.[Symbol.asyncDispose]();
      slot.process = undefined;
    }));
  }
}

function rethrow(error: unknown): never {
  throw error;
}

/** Returns the Deno program: its path if that may be run, else its name. */
function ownDeno(): string {
  const path = Deno.execPath();
  return Deno.permissions.querySync({ name: "run", command: path }).state === "granted" ? path : "deno";
}
