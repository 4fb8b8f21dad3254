// deno-lint-ignore-file no-await-in-loop -- a run is one thing after another
import { KedgeError } from "../../ffi/errors.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { Coefficient } from "../../rl/divergences/coefficient.ts";
import { checkResume } from "../config/resume.ts";
import type { Config } from "../config/schema.ts";
import { type TunableChanges, valueAt } from "../config/tunable.ts";
import type { DataPrints, TrainerEvent, TrainerMessage, TrainerReplies, TrainerStatus } from "../messages.ts";
import { type Checkpoint, Checkpoints } from "../run/checkpoints.ts";
import { type Line, Lines } from "../run/lines.ts";
import { bringModel } from "../run/model_folder.ts";
import { TensorBoard } from "../run/tensorboard.ts";
import { Tunings } from "../run/tunings.ts";
import { removeAll } from "../run/whole_file.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Behaviour, Start, Turn } from "../runtime/serve.ts";
import { type Beginning, divergenceOf, Session } from "./session.ts";
import { explained } from "./failure.ts";
import { askPolicy } from "./ask_policy.ts";
import { Batches } from "./batches.ts";
import { JobQueue } from "./job_queue.ts";
import { BEGINNING, resumeData } from "./passes.ts";
import { newModel } from "./new_model.ts";
import { makeReference } from "./reference.ts";
import { newest, type Saved } from "./saved.ts";
import { runStep } from "./step.ts";
import { checkSupported } from "./supported.ts";
import { scheduleOf, warmStart } from "./warm_start.ts";

/** What a trainer is started with. */
export interface TrainerOptions {
  readonly config: Config;
  /** What paths of reward modules are relative to: a URL. */
  readonly base: string;
  /** The run's directory. */
  readonly run: string;
  /** Whether it goes on from the last checkpoint, where there is one. Default true. */
  readonly resume?: boolean;
  /** Worker modules by actor's name ("policy", "critic", "anchor_detector", "evaluator", "loader"), in place of the built-in ones: URLs. */
  readonly modules?: Readonly<Record<string, string>>;
  /** Ends after the warm start, whose model is the checkpoint of step 0. Default false. */
  readonly warmStartOnly?: boolean;
}

/** Owner of the loop and of the run's directory. */
export class Trainer implements Behaviour<TrainerMessage> {
  readonly #memory: ActorMemory;
  readonly #emit: (event: TrainerEvent) => void;
  /** As it was given. */
  readonly #given: Config;
  /** What was tuned since. */
  readonly #tunings: Tunings;
  readonly #jobs: JobQueue;
  /** As it is in use at the step under way. */
  #config: Config;
  readonly #run: string;
  readonly #base: string;
  readonly #modules: Readonly<Record<string, string>> | undefined;
  readonly #checkpoints: Checkpoints;
  readonly #warm: Checkpoints;
  readonly #metrics: Lines;
  readonly #rollouts: Lines;
  readonly #quarantine: Lines;
  readonly #board: TensorBoard | undefined;
  readonly #finished = Promise.withResolvers<TrainerStatus>();
  readonly #resumes: boolean;
  readonly #warmOnly: boolean;
  /** Folder of the model that the configuration names. */
  #model: string | undefined;
  #session: Session | undefined;
  #state: TrainerStatus["state"] = "starting";
  /** What it goes back to after a pause. */
  #phase: "warm-start" | "running" = "running";
  #step = 0;
  /** The step under way, or, between two, the one before. */
  #underWay = 0;
  #last = Infinity;
  #evaluated: { step: number; metrics: Record<string, number> } | undefined;
  #batches: Batches | undefined;
  #data: DataPrints | undefined;
  #origin = BEGINNING;
  /** The checkpoint that is gone on from, until its data are compared; and whether they are others. */
  #from: Saved | undefined;
  #isOther = false;
  #kl: Coefficient | undefined;
  #stopping = false;
  #score: number | undefined;

  constructor({ memory, options, emit }: Start<TrainerOptions>) {
    this.#memory = memory;
    this.#emit = emit;
    this.#config = this.#given = options.config;
    this.#run = options.run;
    this.#tunings = new Tunings(options.run, options.config);
    this.#jobs = new JobQueue((paused) => this.#become(paused ? "paused" : this.#phase));
    this.#base = options.base;
    this.#modules = options.modules;
    this.#resumes = options.resume ?? true;
    this.#warmOnly = options.warmStartOnly ?? false;
    const { saveLimit, saveBest } = options.config.trainer, { maxFileBytes: maxBytes, tensorboard } = options.config.logging;
    this.#checkpoints = new Checkpoints(options.run, { saveLimit, saveBest });
    this.#warm = new Checkpoints(options.run, { saveLimit: 1, saveBest: false, kind: "warm" });
    this.#metrics = new Lines(`${options.run}/metrics.jsonl`, { maxBytes });
    this.#rollouts = new Lines(`${options.run}/rollouts.jsonl`, { maxBytes });
    this.#quarantine = new Lines(`${options.run}/quarantine.jsonl`, { maxBytes });
    this.#board = tensorboard ? new TensorBoard(options.run, { maxBytes }) : undefined;
  }

  async handle(message: TrainerMessage, turn: Turn): Promise<TrainerReplies[TrainerMessage["type"]]> {
    switch (message.type) {
      case "start":
        void this.#train();
        return await this.#finished.promise;
      case "stop":
        if (this.#ended) return this.#status();
        this.#stopping = true;
        this.#jobs.resume();
        this.#become("stopping");
        return this.#status();
      case "pause":
        this.#must("pause", ["starting", "warm-start", "running", "paused"]);
        this.#jobs.pause();
        return this.#status();
      case "resume":
        this.#must("resume", ["starting", "warm-start", "running", "paused"]);
        this.#jobs.resume();
        return this.#status();
      case "checkpoint":
        return await this.#atRest("checkpoint", async () => {
          const path = this.#checkpoints.steps().includes(this.#step) ? `${this.#run}/checkpoints/step-${this.#step}` : await this.#save();
          return { step: this.#step, path };
        });
      case "evaluate":
        return await this.#atRest("evaluate", async () => {
          if (this.#evaluated?.step === this.#step) return this.#evaluated;
          const metrics = await this.#evaluate();
          this.#log({ step: this.#step, ...metrics });
          return { step: this.#step, metrics };
        });
      case "tune":
        return this.#tune(message.changes);
      case "generate":
        return { step: this.#step, ...await askPolicy(this.#memory, this.#session, { message, turn, state: this.#state }) };
      case "status":
        return this.#status();
    }
  }

  get #ended(): boolean {
    return this.#state === "done" || this.#state === "stopped" || this.#state === "failed";
  }

  /** @throws {KedgeError} `State` where the run is in none of these. */
  #must(action: string, states: readonly TrainerStatus["state"][]): void {
    if (!states.includes(this.#state)) throw new KedgeError("State", `Cannot ${action}: the run is ${this.#state}`, { state: this.#state });
  }

  /** Does something after the step under way. */
  #atRest<T>(action: string, work: () => Promise<T>): Promise<T> {
    if (this.#phase !== "running") throw new KedgeError("State", `Cannot ${action}: the run is ${this.#state}`, { state: this.#state });
    this.#must(action, ["running", "paused"]);
    return this.#jobs.ask(work);
  }

  #tune(changes: TunableChanges): TrainerReplies["tune"] {
    this.#must("tune", ["starting", "warm-start", "running", "paused"]);
    const fromStep = Math.max(this.#step, this.#underWay) + 1, now = this.#tunings.config(fromStep);
    if (fromStep > this.#last) {
      throw new KedgeError("State", "Cannot tune: the run ends with the step under way", { state: this.#state });
    }
    if ("algorithm.kl.coefficient" in changes && !divergenceOf(this.#given)) {
      const words = "Cannot tune algorithm.kl.coefficient: this run began without a divergence, and has loaded no reference";
      throw new KedgeError("State", words, { state: this.#state, path: "algorithm.kl.coefficient" });
    }
    const value = (path: string) => path === "algorithm.kl.coefficient" && this.#kl ? this.#kl.value : valueAt(now, path);
    const changed = Object.entries(changes).map(([path, to]) => ({ path, from: value(path), to })).filter(({ from, to }) => from !== to);
    const tuning = { changed, fromStep };
    if (changed.length === 0) return tuning;
    this.#tunings.add(fromStep, Object.fromEntries(changed.map(({ path, to }) => [path, to])));
    this.#emit({ kind: "tuned", tuning });
    return tuning;
  }

  #status(): TrainerStatus {
    const { maxSteps } = this.#given.trainer, pausing = this.#jobs.pausing;
    return {
      state: this.#state,
      step: this.#step,
      maxSteps: Math.min(maxSteps, this.#last),
      pausing,
      accounts: this.#session?.accounts() ?? {},
    };
  }

  /** Enters a state, and tells of it. */
  #become(state: TrainerStatus["state"]): void {
    if (state === this.#state || (this.#stopping && (state === "running" || state === "warm-start"))) return;
    this.#state = state;
    this.#emit({ kind: "status", status: this.#status() });
  }

  #note(text: string): void {
    this.#emit({ kind: "note", text });
  }

  /** Runs the whole, and again from the last checkpoint where an actor dies, as often as the configuration allows. */
  async #train(): Promise<void> {
    const { maxRestarts, restartWindowMinutes } = this.#config.trainer, restarts: number[] = [];
    for (;;) {
      try {
        await this.#attempt(restarts.length > 0 || this.#resumes);
        this.#jobs.close(new KedgeError("State", `Cannot do it: the run is ${this.#state}`, { state: this.#state }));
        this.#finished.resolve(this.#status());
        return;
      } catch (error) {
        await this.#session?.[Symbol.asyncDispose]();
        this.#session = undefined;
        const now = performance.now(), recent = restarts.filter((at) => now - at < restartWindowMinutes * 60_000);
        if (!(error instanceof KedgeError && error.code === "Actor") || recent.length >= maxRestarts || this.#stopping) {
          const told = explained(this.#run, error as Error);
          this.#become("failed");
          this.#jobs.close(told);
          return this.#finished.reject(told);
        }
        restarts.push(now);
        this.#note(`${error.message}. Restarting from the last checkpoint (${recent.length + 1} of ${maxRestarts})`);
      }
    }
  }

  /** The folder of the run's start: the hub's or the user's, or one that is made. */
  #initialModel(): string {
    return this.#model ??= newModel(this.#run, this.#config);
  }

  async #attempt(resume: boolean): Promise<void> {
    const { trainer } = this.#config;
    checkSupported(this.#config);
    const { path } = this.#given.model;
    if (path !== null) this.#model ??= await bringModel(this.#run, path, (words) => this.#note(words));
    this.#checkpoints.sweep();
    this.#dropBatches();
    const checkpoint = resume ? newest([this.#checkpoints, this.#warm], (text) => this.#note(text)) : undefined;
    const saved = checkpoint?.state as Saved | undefined, warm = saved?.warm;
    if (saved) checkResume(saved.config, this.#given);
    [this.#from, this.#origin, this.#isOther] = [saved, BEGINNING, false];
    const isLater = (line: Line) => warm !== undefined && !(line["sft_step"] as number <= warm);
    for (const lines of [this.#metrics, this.#rollouts, this.#quarantine]) lines.discardAfter(saved?.step ?? -1, isLater);
    this.#step = this.#underWay = saved?.step ?? 0;
    this.#config = this.#tunings.config(this.#step);
    this.#score = checkpoint?.score;
    const term = divergenceOf(this.#given), begins = !saved || warm !== undefined;
    this.#kl = term && new Coefficient(term.coefficient, saved ? { value: saved.klCoefficient } : {});
    if (saved) this.#note(`Resumed from ${checkpoint!.path}`);
    if (!begins) this.#warm.clear(); // of a start that was cut off behind its warm start
    if (begins && !await this.#begin(term !== undefined, checkpoint)) return await this.#end();
    if (this.#warmOnly) return await this.#end();
    const { path: folder, state } = begins ? this.#checkpoints.read(0) : checkpoint!, { optimizer } = state as Saved;
    this.#session ??= await this.#open({
      model: folder,
      optimizer,
      ...(term && { reference: makeReference(this.#run, this.#checkpoints) }),
    });
    this.#enter("running");
    if (trainer.valBeforeTrain && this.#step === 0 && !this.#stopping) {
      const made = this.#metrics.entries().find((line) => "val/accuracy" in line); // by a start that was cut off
      if (made) this.#score = made["val/accuracy"] as number;
      else this.#log({ step: 0, ...await this.#evaluate() });
    }
    await this.#loop(saved);
    await this.#end();
  }

  async #open(beginning: Omit<Beginning, "files" | "base" | "modules" | "onNote">): Promise<Session> {
    const onNote = (words: string) => this.#note(words);
    const own = { ...beginning, files: this.#initialModel(), base: this.#base, modules: this.#modules, onNote };
    this.#session = await Session.open(this.#memory, this.#given, own);
    this.#data = await this.#session.loader.peer.request<"prints">(() => ({ type: "prints" }));
    if (this.#from) this.#compareData(this.#from);
    this.#from = undefined;
    return this.#session;
  }

  /** Says how the files of rows differ from those of the checkpoint. @throws {KedgeError} `BadCheckpoint` where they may not. */
  #compareData(saved: Saved): void {
    const { origin, isOther, notes } = resumeData(saved, this.#data!, this.#given);
    this.#origin = origin;
    this.#isOther = isOther;
    for (const words of notes) this.#note(words);
  }

  /**
   * The warm start, or what is left of it, and the checkpoint of step 0 behind it. With a reference the session ends: that is the model as it is then.
   *
   * @returns Whether it came to its end.
   */
  async #begin(reference: boolean, from: Checkpoint | undefined): Promise<boolean> {
    this.#enter("warm-start");
    const { optimizer, warm = 0 } = (from?.state ?? {}) as Partial<Saved>;
    this.#session = await this.#open({ model: from?.path ?? this.#initialModel(), ...(optimizer && { optimizer, warm: true }) });
    const done = await warmStart(this.#memory, this.#session, {
      config: this.#config,
      from: warm,
      log: (line) => this.#log(line),
      save: (step) => this.#save({ warm: step }),
      stopped: async () => (await this.#jobs.rest(), this.#stopping),
    });
    if (done !== undefined) {
      const words = `Stopped in the warm start, after ${done} of its ${this.#config.sft!.steps} steps: ${this.#warm.path(done)}`;
      this.#note(done > 0 ? words : "Stopped before the first step");
      return false;
    }
    await this.#save();
    this.#warm.clear();
    removeAll(`${this.#run}/reference`); // of a start that was given up
    if (!reference) return true;
    await this.#session[Symbol.asyncDispose]();
    this.#session = undefined;
    return true;
  }

  async #end(): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
    this.#session = undefined;
    this.#become(this.#stopping && (this.#step < this.#last || this.#phase === "warm-start") ? "stopped" : "done");
  }

  #enter(phase: "warm-start" | "running"): void {
    this.#phase = phase;
    this.#become(phase);
  }

  async #loop(saved: Saved | undefined): Promise<void> {
    const session = this.#session!, tokenizer = Tokenizer.fromFolder(this.#initialModel());
    // Answers that wait are of the rows as they were.
    const drawn = saved && { draws: saved.draws, sampling: this.#isOther ? undefined : saved.sampling };
    const own = { config: this.#given, tokenizer, saved: drawn, origin: this.#origin, quarantine: this.#quarantine };
    const batches = this.#batches = await Batches.open(this.#memory, session, own), last = this.#last = batches.last;
    let skipped = 0;
    while (this.#step < last && !this.#stopping) {
      await this.#jobs.rest();
      if (this.#stopping) break;
      const step = this.#step + 1, start = performance.now(), timing: Record<string, number> = {};
      this.#applyTunings(step);
      const { trainer, optim, logging } = this.#config, rate = scheduleOf(optim, trainer.maxSteps);
      const { groups, scores, metrics: sampled } = await batches.next({ step, config: this.#config, timing });
      try {
        const settings = { step, lr: rate(this.#step), klCoefficient: this.#kl?.value ?? 0 };
        const given = { config: this.#config, groups, scores, settings, tokenizer, start, timing };
        const { metrics, rollouts, skippedInRow, responses, reasons } = await runStep(this.#memory, session, given);
        this.#kl?.update(metrics["actor/kl_loss"] ?? metrics["actor/kl_penalty"] ?? NaN, responses);
        if (reasons.length > 0) {
          this.#note(`Step ${step}: ${metrics["reward/failures"]} answers were not graded: ${reasons.slice(0, 3).join("; ")}`);
        }
        this.#step = step;
        skipped = skippedInRow;
        const due = (freq: number) => step === last || (freq > 0 && step % freq === 0);
        const val = due(trainer.valFreq) ? await this.#evaluate() : {};
        this.#log({ step, ...metrics, ...sampled, ...val, ...this.#accounts() });
        if (logging.rollouts !== "none") {
          this.#rollouts.append(...rollouts);
          this.#emit({ kind: "rollouts", step, samples: rollouts.length });
        }
        if (due(trainer.saveFreq) || skipped >= trainer.maxSkipped) await this.#save();
      } finally {
        for (const group of groups) group[Symbol.dispose]();
      }
      if (skipped >= this.#given.trainer.maxSkipped) {
        throw new KedgeError(
          "Diverged",
          `Cannot go on: ${skipped} updates in a row had a gradient that is not finite; the checkpoint of step ${step} holds the last good weights`,
          { step },
        );
      }
    }
    await this.#jobs.jobs();
    await batches.end();
    if (this.#stopping && !this.#checkpoints.steps().includes(this.#step)) await this.#save();
    if (this.#stopping && this.#step < last) this.#note(`Stopped after step ${this.#step}: ${this.#checkpoints.path(this.#step)}`);
    this.#dropBatches();
  }

  /** Bytes of the actors that are at rest between two steps; the loader is at work on the next. */
  #accounts(): Record<string, number> {
    const all = Object.entries(this.#session!.accounts()).filter(([name]) => name !== "loader");
    return Object.fromEntries(all.map(([name, bytes]) => [`perf/account_bytes/${name}`, bytes]));
  }

  #dropBatches(): void {
    this.#batches?.[Symbol.dispose]();
    this.#batches = undefined;
  }

  /** Takes up what was tuned for this step. */
  #applyTunings(step: number): void {
    this.#underWay = step;
    const changes = this.#tunings.from(step);
    this.#config = this.#tunings.config(step);
    const kl = changes["algorithm.kl.coefficient"];
    if (kl !== undefined && this.#kl) this.#kl = new Coefficient(divergenceOf(this.#given)!.coefficient, { value: kl as number });
    if ("rollout.temperature" in changes) this.#batches?.dropWaiting();
  }

  async #evaluate(): Promise<Record<string, number>> {
    const start = performance.now();
    const { metrics } = await this.#session!.evaluator.peer.request(() => ({ type: "evaluate", step: this.#step }));
    this.#score = metrics["val/accuracy"];
    const all = { ...metrics, "timing_s/validation": (performance.now() - start) / 1000 };
    this.#evaluated = { step: this.#step, metrics: all };
    return all;
  }

  /** @param within `warm`: steps of the warm start that are done, of a checkpoint within it. */
  async #save(within: { warm?: number } = {}): Promise<string> {
    const { saveBest } = this.#config.trainer, { warm } = within;
    const state: Omit<Saved, "optimizer"> = {
      ...within,
      config: this.#given,
      step: this.#step,
      klCoefficient: this.#kl?.value ?? 0,
      ...this.#batches?.state() ?? { draws: 0, sampling: undefined },
      data: this.#data!,
      origin: this.#origin,
    };
    const saved = await this.#session!.policy.peer.request(() => ({
      type: "save",
      run: this.#run,
      step: warm ?? this.#step,
      state,
      saveLimit: warm === undefined ? this.#config.trainer.saveLimit : 1,
      saveBest,
      kind: warm === undefined ? "step" : "warm",
      ...(this.#score !== undefined && { score: this.#score }),
    }));
    if (warm === undefined) this.#emit({ kind: "checkpoint", step: this.#step });
    return saved.path;
  }

  #log(line: Line): void {
    const stamped = { ...line, time: new Date().toISOString() };
    this.#metrics.append(stamped);
    this.#board?.scalars(line.step, line);
    this.#emit({ kind: "metrics", line: stamped });
  }

  async close(): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]();
  }
}
