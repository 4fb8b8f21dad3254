// deno-lint-ignore-file no-await-in-loop -- a run is one thing after another
import { KedgeError } from "../../ffi/errors.ts";
import { ALONE, type Place } from "../../ffi/world.ts";
import { divergenceOf } from "../config/for_actors.ts";
import { lanesFor } from "../config/lanes.ts";
import { atrlChanges, checkResume } from "../config/resume.ts";
import { moduleChanges, modulePrints } from "../config/user_modules.ts";
import type { Config } from "../config/schema.ts";
import type { TrainerMessage, TrainerReplies } from "../messages.ts";
import { callCommand, type Commands, type RunState, type RunStatus } from "../run_commands.ts";
import { type Checkpoint, Checkpoints } from "../run/checkpoints.ts";
import type { Line } from "../run/lines.ts";
import { isAdapterFolder } from "../../model/lora/base.ts";
import { bringModel, type RunModel } from "../run/model_folder.ts";
import { removeAll } from "../run/whole_file.ts";
import { Ranks } from "../runtime/ranks.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Behaviour, Start, Turn } from "../runtime/serve.ts";
import type { SpareThreads } from "../runtime/spare_threads.ts";
import { askPolicy } from "./ask_policy.ts";
import { Conductor } from "./conductor.ts";
import { explained } from "./failure.ts";
import { JobQueue } from "./job_queue.ts";
import { TrainingLoop } from "./loop.ts";
import { newModel } from "./new_model.ts";
import { makeReference } from "./reference.ts";
import { RunLog } from "./run_log.ts";
import { newest, type Saved } from "./saved.ts";
import { type Beginning, Session } from "./session.ts";
import { warmStart } from "./warm_start.ts";

/** The options that a trainer is started with. */
export interface TrainerOptions {
  readonly config: Config;
  /** The URL that paths of users' modules are relative to. */
  readonly base: string;
  /** The run's directory. */
  readonly run: string;
  /** Whether it goes on from the last checkpoint, where there is one. Default true. */
  readonly resume?: boolean;
  /**
   * URLs of worker modules by actor's name ("policy", "critic", "anchor_detector", "evaluator", "loader"), in place of the built-in ones.
   */
  readonly modules?: Readonly<Record<string, string>>;
  /** Whether it ends after the warm start, whose model is the checkpoint of step 0. Default false. */
  readonly warmStartOnly?: boolean;
  /** The place of this process among the ranks of the run. Default: a run of one process. */
  readonly place?: Place;
  /** Whether the threads of its actors are kept for the actors of a next trainer on its thread. Default false. */
  readonly keepsThreads?: boolean;
}

/** States in which a run can be paused and tuned. */
const UNDER_WAY: readonly RunState[] = ["starting", "warm-start", "running", "paused"];

/**
 * Owner of a run's directory: takes commands, starts the actors, and starts them again from the last checkpoint where one dies. The loop
 * makes the steps.
 */
export class Trainer implements Behaviour<TrainerMessage> {
  readonly #memory: ActorMemory;
  readonly #options: TrainerOptions;
  readonly #spares: SpareThreads | undefined;
  readonly #config: Config;
  readonly #checkpoints: Checkpoints;
  /** The checkpoints of the warm start. */
  readonly #warm: Checkpoints;
  readonly #log: RunLog;
  readonly #jobs: JobQueue;
  readonly #loop: TrainingLoop;
  readonly #ranks: Ranks;
  readonly #conductor: Conductor;
  #lanes = 1;
  readonly #finished = Promise.withResolvers<RunStatus>();
  /** The folders of the model that the run begins with: the hub's, the user's, or one that is made. */
  #model: RunModel | undefined;
  #session: Session | undefined;
  #state: RunState = "starting";
  /** The state that it goes back to after a pause. */
  #phase: "warm-start" | "running" = "running";
  #stopping = false;
  /** The action of each command. */
  readonly #commands: Commands = {
    pause: () => this.#underWay("pause", () => (this.#jobs.pause(), this.#status())),
    resume: () => this.#underWay("resume", () => (this.#jobs.resume(), this.#status())),
    stop: () => Promise.resolve(this.#stop()),
    checkpoint: () => this.#betweenSteps("checkpoint", () => this.#loop.checkpoint()),
    evaluate: () => this.#betweenSteps("evaluate", () => this.#loop.evaluate()),
    tune: (changes) => this.#underWay("tune", () => this.#loop.tune(changes, this.#state)),
  };

  constructor({ memory, options, emit, spares }: Start<TrainerOptions>) {
    const { config, base, run, place } = options, { saveLimit, saveBest } = config.trainer;
    const ranks = this.#ranks = Ranks.at(place, "trainer");
    this.#memory = memory;
    this.#options = options;
    this.#spares = options.keepsThreads ? spares : undefined;
    this.#config = config;
    const checkpoints = this.#checkpoints = new Checkpoints(run, { saveLimit, saveBest });
    this.#warm = new Checkpoints(run, { saveLimit: 1, saveBest: false, kind: "warm" });
    const log = this.#log = new RunLog(run, { logging: config.logging, emit, silent: !ranks.isFirst });
    const jobs = this.#jobs = new JobQueue((paused) => this.#become(paused ? "paused" : this.#phase));
    const conductor = this.#conductor = new Conductor({ ranks, jobs, isStopping: () => this.#stopping, stop: () => void this.#stop() });
    this.#loop = new TrainingLoop({ memory, config, base, run, checkpoints, log, conductor, lanes: () => this.#lanes });
  }

  async handle(message: TrainerMessage, turn: Turn): Promise<TrainerReplies[TrainerMessage["type"]]> {
    switch (message.type) {
      case "start":
        void this.#train();
        return await this.#finished.promise;
      case "generate":
        return { step: this.#loop.step, ...await askPolicy(this.#memory, this.#session, { message, turn, state: this.#state }) };
      case "status":
        return this.#status();
      default:
        return await callCommand(this.#commands, message.type, message.argument as never);
    }
  }

  /** Refuses what cannot be done in the state that the run is in. */
  #refusal(action: string): KedgeError {
    return new KedgeError("State", `Cannot ${action}: the run is ${this.#state}`, { state: this.#state });
  }

  /** Does something at once. @throws {KedgeError} `State` where the run is stopping or has ended. */
  #underWay<T>(action: string, work: () => T): Promise<T> {
    if (!UNDER_WAY.includes(this.#state)) throw this.#refusal(action);
    return Promise.resolve(work());
  }

  /** Does something after the step under way. @throws {KedgeError} `State` before the first step and after the end. */
  #betweenSteps<T>(action: string, work: () => Promise<T>): Promise<T> {
    if (this.#phase !== "running" || !["running", "paused"].includes(this.#state)) throw this.#refusal(action);
    return this.#jobs.add(work);
  }

  #stop(): RunStatus {
    if (["done", "stopped", "failed"].includes(this.#state)) return this.#status();
    this.#stopping = true;
    this.#jobs.resume();
    this.#become("stopping");
    return this.#status();
  }

  #status(): RunStatus {
    const { step, last } = this.#loop;
    return {
      state: this.#state,
      name: this.#config.name,
      step,
      maxSteps: Math.min(this.#config.trainer.maxSteps, last),
      pausing: this.#jobs.pausing,
      accounts: this.#session?.accounts() ?? {},
    };
  }

  /** Enters a state, and tells of it. */
  #become(state: RunState): void {
    if (state === this.#state || (this.#stopping && (state === "running" || state === "warm-start"))) return;
    this.#state = state;
    this.#log.emit({ kind: "status", status: this.#status() });
  }

  #enter(phase: "warm-start" | "running"): void {
    this.#phase = phase;
    this.#become(phase);
  }

  /** Runs the whole, and again from the last checkpoint where an actor dies, as often as the configuration allows. */
  async #train(): Promise<void> {
    const { restartWindowMinutes } = this.#config.trainer, restarts: number[] = [];
    // Where an actor of one rank dies, the others wait for it in the middle of something: all of them must begin again.
    const maxRestarts = this.#ranks.size > 1 ? 0 : this.#config.trainer.maxRestarts;
    for (;;) {
      try {
        await this.#attempt(restarts.length > 0 || (this.#options.resume ?? true));
        this.#jobs.close(this.#refusal("do it"));
        this.#finished.resolve(this.#status());
        return;
      } catch (error) {
        await this.#closeSession();
        const now = performance.now(), recent = restarts.filter((at) => now - at < restartWindowMinutes * 60_000);
        if (!(error instanceof KedgeError && error.code === "Actor") || recent.length >= maxRestarts || this.#stopping) {
          const told = explained(this.#options.run, error as Error);
          this.#become("failed");
          this.#jobs.close(told);
          return this.#finished.reject(told);
        }
        restarts.push(now);
        this.#log.note(`${error.message}. Restarting from the last checkpoint (${recent.length + 1} of ${maxRestarts})`);
      }
    }
  }

  /** Trains once: from the last checkpoint or from the start, to the end or to the death of an actor. */
  async #attempt(resume: boolean): Promise<void> {
    const { run, warmStartOnly } = this.#options, { path } = this.#config.model, ranks = this.#ranks;
    if (path !== null) this.#model ??= await ranks.first(() => bringModel(run, path, (words) => this.#log.note(words)));
    this.#checkAdapters();
    const checkpoint = await ranks.first(() => {
      this.#checkpoints.sweep();
      return resume ? newest([this.#checkpoints, this.#warm], (text) => this.#log.note(text)) : undefined;
    });
    const saved = checkpoint?.state as Saved | undefined, warm = saved?.warm;
    if (saved) checkResume(saved.config, this.#config);
    this.#lanes = lanesFor(ranks.size, { wanted: this.#config.world.lanes, saved: saved && (saved.lanes ?? 1) });
    this.#log.modules = modulePrints(this.#config, this.#options.base);
    for (const words of moduleChanges(saved?.modules ?? {}, this.#log.modules)) this.#log.note(words);
    const isLater = (line: Line) => warm !== undefined && !(line["sft_step"] as number <= warm);
    this.#log.discardAfter(saved?.step ?? -1, isLater);
    this.#loop.restore(checkpoint);
    if (saved) this.#log.note(`Resumed from ${checkpoint!.path}`);
    const credit = saved && atrlChanges(saved.config, this.#config);
    if (credit !== undefined) this.#log.note(credit);
    if (!this.#model) {
      const folder = await ranks.first(() => newModel(run, this.#config));
      this.#model = { start: folder, files: folder };
    }
    const begins = !saved || warm !== undefined, hasReference = divergenceOf(this.#config) !== undefined;
    if (!begins && ranks.isFirst) this.#warm.clear(); // of a start that was cut off behind its warm start
    if (begins && !await this.#begin(checkpoint, hasReference)) return await this.#end();
    const evaluates = this.#config.trainer.valBeforeTrain && this.#loop.step === 0 && !await this.#conductor.stops();
    if (warmStartOnly && !evaluates) return await this.#end();
    if (!this.#session) {
      const { path: model, state } = begins ? await ranks.first(() => this.#checkpoints.read(0)) : checkpoint!,
        { optimizer } = state as Saved;
      const made = () => this.#hasAdapters ? "base" : makeReference(run, this.#checkpoints);
      const reference = hasReference && { reference: await ranks.first(made) };
      await this.#open({ model, optimizer, ...reference });
    }
    this.#enter("running");
    if (evaluates) await this.#loop.evaluateFirst();
    if (!warmStartOnly) await this.#loop.run(this.#model.files);
    await this.#end();
  }

  /** Whether the run trains low-rank adapters, so that a divergence refers to the policy's own base. */
  get #hasAdapters(): boolean {
    return this.#config.model.lora !== null || (this.#model !== undefined && isAdapterFolder(this.#model.start));
  }

  /** Refuses to make adapters on adapters. */
  #checkAdapters(): void {
    if (this.#config.model.lora === null || !this.#model || !isAdapterFolder(this.#model.start)) return;
    const words = `model.path ${this.#model.start} holds adapters, which are trained further as they are: set model.lora to null`;
    throw new RangeError(`Cannot begin the run: ${words}, or model.path to a merged model (deno task export --merge)`);
  }

  /** Starts the actors. */
  async #open(beginning: Pick<Beginning, "model" | "optimizer" | "reference" | "warm">): Promise<Session> {
    const { base, modules, place } = this.#options, { files } = this.#model!, onNote = (words: string) => this.#log.note(words);
    const ranks = this.#ranks, world = ranks.size > 1 || this.#lanes > 1 ? { place: place ?? ALONE, lanes: this.#lanes } : undefined;
    const all = { ...beginning, files, base, modules, onNote, ranks, world, spares: this.#spares };
    const session = this.#session = await Session.open(this.#memory, this.#config, all);
    await this.#loop.attach(session);
    return session;
  }

  async #closeSession(): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
    this.#session = undefined;
  }

  /**
   * Makes the warm start, or what is left of it, and writes the checkpoint of step 0 behind it. Where nothing was made, a run without
   * checkpoints does not write it. With a reference the session ends: the reference is the model as it is then. The reference of adapters is
   * their base, which the session has.
   *
   * @param checkpoint Within the warm start; undefined where there is none.
   * @returns Whether it came to its end.
   */
  async #begin(checkpoint: Checkpoint | undefined, hasReference: boolean): Promise<boolean> {
    this.#enter("warm-start");
    const { optimizer, warm = 0 } = (checkpoint?.state ?? {}) as Partial<Saved>;
    const { start } = this.#model!, hasBase = hasReference && this.#hasAdapters;
    const session = await this.#open({
      model: checkpoint?.path ?? start,
      ...(optimizer && { optimizer, warm: true }),
      ...(hasBase && { reference: "base" }),
    });
    const done = await warmStart(this.#memory, session, {
      config: this.#config,
      from: warm,
      log: (line) => this.#log.metrics(line),
      save: (step) => this.#loop.save({ warm: step }),
      isStopped: async () => (await this.#conductor.rest(() => null, () => Promise.resolve())).stops,
    });
    if (done !== undefined) {
      const words = `Stopped in the warm start, after ${done} of its ${this.#config.sft!.steps} steps: ${this.#warm.path(done)}`;
      this.#log.note(done > 0 ? words : "Stopped before the first step");
      return false;
    }
    const isNeeded = this.#config.sft || (hasReference && !hasBase) || this.#options.warmStartOnly;
    if (isNeeded || this.#config.trainer.saveFreq !== null) await this.#loop.save();
    await this.#ranks.first(() => {
      this.#warm.clear();
      removeAll(`${this.#options.run}/reference`); // of a start that was given up
    });
    if (hasReference && !hasBase) await this.#closeSession();
    return true;
  }

  async #end(): Promise<void> {
    await this.#closeSession();
    this.#become(this.#stopping && (this.#loop.step < this.#loop.last || this.#phase === "warm-start") ? "stopped" : "done");
  }

  async close(): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
  }
}
