// deno-lint-ignore-file no-await-in-loop -- one step after the other
import { KedgeError } from "../../ffi/errors.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { Coefficient } from "../../rl/divergences/coefficient.ts";
import { knowsClasses, NO_CLASSES } from "../config/checks.ts";
import { divergenceOf, scheduleOf } from "../config/for_actors.ts";
import { type Config, isHeadsRule } from "../config/schema.ts";
import { type TunableChanges, valueAt } from "../config/tunable.ts";
import type { DataPrints } from "../messages.ts";
import type { RunState, Tuning } from "../run_commands.ts";
import type { Checkpoint, Checkpoints } from "../run/checkpoints.ts";
import type { Line } from "../run/lines.ts";
import { Tunings } from "../run/tunings.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import { AnswerClasses, type Classifier, openClassifier } from "./answer_classes.ts";
import { Batches } from "./batches.ts";
import { HeadChooser } from "./head_chooser.ts";
import type { Conductor, SharedJob } from "./conductor.ts";
import { BEGINNING, resumeData } from "./passes.ts";
import type { RunLog } from "./run_log.ts";
import type { Saved } from "./saved.ts";
import type { Session } from "./session.ts";
import { runStep, type StepResult } from "./step.ts";

/** The options that a loop is made with. */
export interface LoopOptions {
  readonly memory: ActorMemory;
  /** The configuration without tuned values. */
  readonly config: Config;
  /** The URL that paths of users' modules are relative to. */
  readonly base: string;
  /** The run's directory. */
  readonly run: string;
  readonly checkpoints: Checkpoints;
  readonly log: RunLog;
  /** Says between two steps what all ranks do: the commands that came, a pause, the end. */
  readonly conductor: Conductor;
  /** The lanes of the run's updates, which a checkpoint keeps. */
  readonly lanes: () => number;
}

type Metrics = Record<string, number>;

/** What holds from a step on. */
interface Tuned {
  /** The values that change with this step, by path. */
  readonly changes: Readonly<Record<string, unknown>>;
  readonly config: Config;
}

/**
 * The steps of a run, one after the other, and what goes on from one to the next: the configuration in use, the coefficient of the
 * divergence, the batches, the last evaluation. It writes checkpoints of all that.
 */
export class TrainingLoop implements Disposable {
  readonly #options: LoopOptions;
  readonly #tunings: Tunings;
  /** The configuration in use at the step under way. */
  #config: Config;
  #session: Session | undefined;
  #classifier: Classifier | undefined;
  /** Steps that are done. */
  #step = 0;
  /** The step under way; between two steps, the one before. */
  #underWay = 0;
  #last = Infinity;
  /** The accuracy of the last evaluation, or of the checkpoint that the run goes on from. */
  #score: number | undefined;
  #evaluated: { readonly step: number; readonly metrics: Metrics } | undefined;
  #batches: Batches | undefined;
  #kl: Coefficient | undefined;
  #heads: HeadChooser | undefined;
  /** What the checkpoint holds that the run goes on from. */
  #saved: Saved | undefined;
  #data: DataPrints | undefined;
  #origin = BEGINNING;
  /** Whether the rows to train on have changed since the checkpoint. */
  #isOtherData = false;

  /** Begins at step 0. */
  constructor(options: LoopOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#tunings = new Tunings(options.run, options.config);
  }

  /** Steps that are done. */
  get step(): number {
    return this.#step;
  }

  /** The run's last step; Infinity until the data are known. */
  get last(): number {
    return this.#last;
  }

  /** Goes on from a checkpoint; undefined: begins at step 0. */
  restore(checkpoint: Checkpoint | undefined): void {
    this[Symbol.dispose]();
    const saved = this.#saved = checkpoint?.state as Saved | undefined, term = divergenceOf(this.#options.config);
    this.#step = this.#underWay = saved?.step ?? 0;
    this.#config = this.#tunings.config(this.#step);
    this.#score = checkpoint?.score;
    this.#kl = term && new Coefficient(term.coefficient, saved ? { value: saved.klCoefficient } : {});
    [this.#data, this.#origin, this.#isOtherData, this.#heads] = [undefined, BEGINNING, false, undefined];
  }

  /**
   * Takes up the actors, and says how their files of rows differ from those of the checkpoint.
   *
   * @throws {KedgeError} `BadCheckpoint` where they differ and may not.
   */
  async attach(session: Session): Promise<void> {
    const { config, base, log } = this.#options, isFirst = this.#data === undefined;
    this.#session = session;
    this.#classifier ??= await openClassifier(config, base);
    this.#data = await session.loader.peer.request<"prints">(() => ({ type: "prints" }));
    if (!this.#saved || !isFirst) return;
    const { origin, isOther, notes } = resumeData(this.#saved, this.#data, config);
    this.#origin = origin;
    this.#isOtherData = isOther;
    for (const words of notes) log.note(words);
  }

  /**
   * Makes the steps until the last one, or until the run is to stop.
   *
   * @param files The tokenizer's folder.
   * @throws {KedgeError} `Diverged` where too many updates in a row were skipped.
   */
  async run(files: string): Promise<void> {
    const { memory, config, log, conductor, checkpoints } = this.#options, session = this.#session!;
    const tokenizer = Tokenizer.fromFolder(files), { maxSkipped } = config.trainer;
    const classes = this.#classifier && new AnswerClasses(tokenizer, this.#classifier),
      batches = this.#batches = await this.#openBatches(tokenizer),
      last = this.#last = batches.last;
    const follow = (job: SharedJob) => job === "evaluate" ? this.#evaluate() : this.save();
    while (this.#step < last) {
      const step = this.#step + 1, go = await conductor.rest(() => this.#tunedFor(step), follow);
      if (go.stops) break;
      this.#apply(step, go.payload);
      const heads = await this.#chooseHeads(tokenizer);
      const { trainer, optim } = this.#config, lr = scheduleOf(optim, trainer.maxSteps)(this.#step), klCoefficient = this.#kl?.value ?? 0;
      const result = await runStep({ memory, session, batches, tokenizer, classes, heads, config: this.#config, step, lr, klCoefficient });
      this.#step = step;
      await this.#record(result);
      if (result.skippedInRow < maxSkipped) continue;
      const words = `Cannot go on: ${result.skippedInRow} updates in a row had a gradient that is not finite`;
      throw new KedgeError("Diverged", `${words}; the checkpoint of step ${step} holds the last good weights`, { step });
    }
    const { stops } = await conductor.finish(() => null, follow);
    await batches.end();
    if (stops) {
      const saves = this.#config.trainer.saveFreq !== null;
      if (saves && await conductor.ranks.first(() => !checkpoints.steps().includes(this.#step))) await this.save();
      if (this.#step < last) log.note(`Stopped after step ${this.#step}: ${saves ? checkpoints.path(this.#step) : "without a checkpoint"}`);
    }
    this[Symbol.dispose]();
  }

  /** Puts the heads that a rule has chosen into the configuration of the step; the first time, it chooses them. */
  async #chooseHeads(tokenizer: Tokenizer): Promise<HeadChooser | undefined> {
    const { memory, log } = this.#options;
    if (!isHeadsRule(this.#config.atrl.heads)) return undefined;
    this.#heads ??= new HeadChooser(memory, { heads: this.#saved?.heads, note: (words) => log.note(words) });
    this.#config = await this.#heads.apply(this.#config, { session: this.#session!, tokenizer });
    return this.#heads;
  }

  #openBatches(tokenizer: Tokenizer): Promise<Batches> {
    const { memory, config, log } = this.#options, saved = this.#saved;
    // Answers that wait for a step are of the rows as they were.
    const drawn = saved && { draws: saved.draws, sampling: this.#isOtherData ? undefined : saved.sampling };
    const options = {
      config,
      tokenizer,
      saved: drawn,
      origin: this.#origin,
      quarantine: (...lines: readonly Line[]) => log.quarantine(...lines),
    };
    return Batches.open(memory, this.#session!, options);
  }

  /** Writes down a step, evaluates and saves where that is due. */
  async #record({ metrics, rollouts, skippedInRow, responses, reasons }: StepResult): Promise<void> {
    const { log } = this.#options, step = this.#step, { trainer, logging } = this.#config;
    this.#kl?.update(metrics["actor/kl_loss"] ?? metrics["actor/kl_penalty"] ?? NaN, responses);
    if (reasons.length > 0) {
      log.note(`Step ${step}: ${metrics["reward/failures"]} answers were not graded: ${reasons.slice(0, 3).join("; ")}`);
    }
    const isDue = (freq: number | null) => freq !== null && (step === this.#last || (freq > 0 && step % freq === 0));
    const evaluation = isDue(trainer.valFreq) ? await this.#evaluate() : {};
    log.metrics({ step, ...metrics, ...evaluation, ...this.#accounts() });
    if (logging.rollouts !== "none") log.rollouts(step, rollouts);
    if (isDue(trainer.saveFreq) || skippedInRow >= this.#options.config.trainer.maxSkipped) await this.save();
  }

  /** Bytes of the actors that are at rest between two steps; the loader is at work on the next. */
  #accounts(): Metrics {
    const atRest = Object.entries(this.#session!.accounts()).filter(([name]) => name !== "loader");
    return Object.fromEntries(atRest.map(([name, bytes]) => [`perf/account_bytes/${name}`, bytes]));
  }

  /** Returns what was tuned for a step. From then on, a change is one for a later step. */
  #tunedFor(step: number): Tuned {
    this.#underWay = step;
    return { changes: this.#tunings.from(step), config: this.#tunings.config(step) };
  }

  /** Takes up what was tuned for a step. */
  #apply(step: number, { changes, config }: Tuned): void {
    const { device, threads } = this.#options.config, kl = changes["algorithm.kl.coefficient"];
    this.#underWay = step;
    this.#config = { ...config, device, threads }; // these may differ between ranks
    if (kl !== undefined && this.#kl) {
      this.#kl = new Coefficient(divergenceOf(this.#options.config)!.coefficient, { value: kl as number });
    }
    if ("rollout.temperature" in changes) this.#batches?.dropWaiting();
  }

  /**
   * Changes live-tunable fields from the step after the one under way.
   *
   * @param state Where the run is, for errors.
   * @throws {KedgeError} `State` where there is no such step, or the change is of a divergence that the run began without, or to an oracle without classes.
   */
  tune(changes: TunableChanges, state: RunState): Tuning {
    const { config, log } = this.#options, fromStep = Math.max(this.#step, this.#underWay) + 1, now = this.#tunings.config(fromStep);
    if (fromStep > this.#last) throw new KedgeError("State", "Cannot tune: the run ends with the step under way", { state });
    const path = "algorithm.kl.coefficient";
    if (path in changes && !divergenceOf(config)) {
      const words = `Cannot tune ${path}: this run began without a divergence, and has loaded no reference`;
      throw new KedgeError("State", words, { state, path });
    }
    if (changes["atrl.mode"] === "oracle" && !knowsClasses(config)) {
      throw new KedgeError("State", `Cannot tune atrl.mode: ${NO_CLASSES}`, { state, path: "atrl.mode" });
    }
    const value = (key: string) => key === path && this.#kl ? this.#kl.value : valueAt(now, key);
    const changed = Object.entries(changes).map(([path, to]) => ({ path, from: value(path), to })).filter(({ from, to }) => from !== to);
    const tuning = { changed, fromStep };
    if (changed.length === 0) return tuning;
    this.#tunings.add(fromStep, Object.fromEntries(changed.map(({ path, to }) => [path, to])));
    log.emit({ kind: "tuned", tuning });
    return tuning;
  }

  async #evaluate(): Promise<Metrics> {
    const start = performance.now(), step = this.#step;
    const { metrics } = await this.#session!.evaluator.peer.request<"evaluate">(() => ({ type: "evaluate", step }));
    this.#score = metrics["val/accuracy"];
    const all = { ...metrics, "timing_s/validation": (performance.now() - start) / 1000 };
    this.#evaluated = { step, metrics: all };
    return all;
  }

  /** Evaluates after the steps that are done, unless that was done already, and logs it. */
  async evaluate(): Promise<{ readonly step: number; readonly metrics: Metrics }> {
    if (this.#evaluated?.step === this.#step) return this.#evaluated;
    const metrics = await this.#options.conductor.together("evaluate", () => this.#evaluate());
    this.#options.log.metrics({ step: this.#step, ...metrics });
    return { step: this.#step, metrics };
  }

  /** Evaluates before the first step. A start that was cut off may have done it already. */
  async evaluateFirst(): Promise<void> {
    const { log, conductor } = this.#options, accuracy = await conductor.ranks.first(() => log.first("val/accuracy") ?? null);
    if (accuracy !== null) this.#score = accuracy;
    else log.metrics({ step: 0, ...await this.#evaluate() });
  }

  /** Returns the checkpoint of the steps that are done, and writes it where it is not there yet. */
  async checkpoint(): Promise<{ readonly step: number; readonly path: string }> {
    const { checkpoints, conductor } = this.#options, step = this.#step;
    const isThere = checkpoints.steps().includes(step);
    return { step, path: isThere ? checkpoints.path(step) : await conductor.together("checkpoint", () => this.save()) };
  }

  /**
   * Writes a checkpoint.
   *
   * @param within `warm`: steps of the warm start that are done, of a checkpoint within it.
   * @returns Its path.
   */
  async save(within: { warm?: number } = {}): Promise<string> {
    const { run, config, log } = this.#options, { saveLimit, saveBest } = this.#config.trainer, step = this.#step, { warm } = within;
    const state: Omit<Saved, "optimizer"> = {
      ...within,
      config,
      step,
      klCoefficient: this.#kl?.value ?? 0,
      lanes: this.#options.lanes(),
      ...this.#batches?.state() ?? { draws: 0, sampling: undefined },
      data: this.#data!,
      modules: log.modules,
      origin: this.#origin,
      ...(this.#heads?.heads && { heads: this.#heads.heads }),
    };
    const { path } = await this.#session!.policy.peer.request<"save">(() => ({
      type: "save",
      run,
      step: warm ?? step,
      state,
      saveLimit: warm === undefined ? saveLimit : 1,
      saveBest,
      kind: warm === undefined ? "step" : "warm",
      ...(this.#score !== undefined && { score: this.#score }),
    }));
    if (warm === undefined) log.emit({ kind: "checkpoint", step });
    return path;
  }

  /** Frees the answers that wait for a step. */
  [Symbol.dispose](): void {
    this.#batches?.[Symbol.dispose]();
    this.#batches = undefined;
  }
}
