import { type ConfigSource, loadConfig } from "../../actors/config/load.ts";
import type { TunableChanges } from "../../actors/config/tunable.ts";
import type { TrainerEvent, TrainerStatus } from "../../actors/messages.ts";
import { TrainingRun, type TrainingRunOptions } from "../../actors/training_run.ts";
import { KedgeError } from "../../ffi/errors.ts";
import type { ChatPiece, ChatReply, ChatRequest, RunState, RunStatus, Tuning } from "../../actors/run_control.ts";
import { Interpreter } from "./chat.ts";
import { WatchedRun } from "./watched_run.ts";

/** How a run that is controlled ended, or why it is not under way. */
interface Rest {
  readonly state: RunState;
  readonly step: number;
  readonly maxSteps: number;
  readonly error?: string;
}

/**
 * A run of this process that is started, watched and steered from outside. It may be started again after it was stopped or has failed, and then goes on from its last
 * checkpoint.
 *
 * @example
 * ```ts
 * import { RunController } from "./run_controller.ts";
 * import { KedgeError } from "../../ffi/errors.ts";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * await using control = new RunController({ sets: [`runDir=${Deno.makeTempDirSync()}`] });
 * assertEquals((await control.status()).state, "idle");
 * await assertRejects(() => control.pause(), KedgeError, "the run is idle");
 * ```
 */
export class RunController extends WatchedRun implements AsyncDisposable {
  readonly #source: ConfigSource;
  readonly #options: Omit<TrainingRunOptions, "resume">;
  readonly #interpreter = new Interpreter();
  #resume: boolean;
  #run: TrainingRun | undefined;
  #opening: Promise<void> | undefined;
  #ended: Promise<TrainerStatus> | undefined;
  #rest: Rest;

  /**
   * A run that waits for its start.
   *
   * @param source As of `TrainingRun.open`, whose options these are; `resume` is of the first start.
   * @throws {RangeError} for a configuration that makes no sense.
   */
  constructor(source: ConfigSource, { resume = true, ...options }: TrainingRunOptions = {}) {
    const { config } = loadConfig(source);
    super(config);
    this.#source = source;
    this.#options = options;
    this.#resume = resume;
    this.#rest = { state: "idle", step: this.lastStep, maxSteps: config.trainer.maxSteps };
  }

  /** How the last start came to its end; undefined before the first. */
  get ended(): Promise<TrainerStatus> | undefined {
    return this.#ended;
  }

  /** As of `WatchedRun`. */
  protected override async askStatus(): Promise<RunStatus> {
    const { name } = this;
    try {
      if (this.#run) return { name, ...await this.#run.status() };
    } catch (error) {
      if (!(error instanceof KedgeError && error.code === "Actor")) throw error; // it ended meanwhile
    }
    if (this.#opening) return { ...this.#rest, name, state: "starting", pausing: false, accounts: {} };
    return { ...this.#rest, name, pausing: false, accounts: {} };
  }

  /** As of `RunControl`. */
  override async start(): Promise<RunStatus> {
    if (!this.#run && !this.#opening) {
      if (this.#rest.state === "done") throw this.#refuse("start", "done");
      this.#opening = this.#open();
      await this.#tell();
    }
    await this.#opening;
    const status = await this.status();
    if (status.state === "stopping") throw this.#refuse("start", "stopping");
    return status;
  }

  async #open(): Promise<void> {
    try {
      const run = await TrainingRun.open(this.#source, {
        ...this.#options,
        resume: this.#resume,
        onEvent: (event) => {
          this.#options.onEvent?.(event);
          this.#forward(event);
        },
      });
      this.#resume = true;
      this.#run = run;
      this.#ended = this.#follow(run);
      this.#ended.catch(() => {}); // told by its status
    } catch (error) {
      this.#rest = { ...this.#rest, state: "failed", error: (error as Error).message };
      await this.#tell();
      throw error;
    } finally {
      this.#opening = undefined;
    }
  }

  /** Trains, and notes how it ends. */
  async #follow(run: TrainingRun): Promise<TrainerStatus> {
    let rest: Rest = this.#rest;
    try {
      const status = await run.start(), { state, step, maxSteps } = status;
      rest = { state, step, maxSteps };
      return status;
    } catch (error) {
      rest = {
        state: "failed",
        step: this.lastStep,
        maxSteps: rest.maxSteps,
        error: (error as Error).message,
      };
      throw error;
    } finally {
      await run[Symbol.asyncDispose]();
      this.#rest = rest;
      this.#run = undefined;
      await this.#tell();
    }
  }

  #forward(event: TrainerEvent): void {
    switch (event.kind) {
      case "status":
        // Its end is told when all that it held is free.
        if (!["done", "stopped", "failed"].includes(event.status.state)) {
          this.emit({ kind: "status", data: { name: this.name, ...event.status } });
        }
        break;
      case "metrics":
        this.emit({ kind: "metrics", data: event.line });
        break;
      case "rollouts":
        this.emit({ kind: "rollouts", data: { step: event.step, samples: event.samples } });
        break;
      case "checkpoint":
        this.emit({ kind: "checkpoint", data: { step: event.step } });
        break;
      case "tuned":
        this.emit({ kind: "tuned", data: event.tuning });
        break;
      case "note":
        this.emit({ kind: "note", data: { text: event.text } });
    }
  }

  async #tell(): Promise<void> {
    this.forget();
    this.emit({ kind: "status", data: await this.status() });
  }

  #refuse(action: string, state: RunState): KedgeError {
    return new KedgeError("State", `Cannot ${action}: the run is ${state}`, { state });
  }

  /** The run that is under way. @throws {KedgeError} `State` where there is none. */
  async #under(action: string): Promise<TrainingRun> {
    await this.#opening?.catch(() => {});
    this.forget();
    if (!this.#run) throw this.#refuse(action, this.#rest.state);
    return this.#run;
  }

  /** As of `RunControl`. */
  override async pause(): Promise<RunStatus> {
    return { name: this.name, ...await (await this.#under("pause")).pause() };
  }

  /** As of `RunControl`. */
  override async resume(): Promise<RunStatus> {
    return { name: this.name, ...await (await this.#under("resume")).resume() };
  }

  /** As of `RunControl`. */
  override async stop(): Promise<RunStatus> {
    await this.#opening?.catch(() => {});
    if (!this.#run && (this.#rest.state === "stopped" || this.#rest.state === "done")) return await this.status();
    return { name: this.name, ...await (await this.#under("stop")).stop() };
  }

  /** As of `RunControl`. */
  override async checkpoint(): Promise<{ readonly step: number; readonly path: string }> {
    return await (await this.#under("checkpoint")).checkpoint();
  }

  /** As of `RunControl`. */
  override async evaluate(): Promise<{ readonly step: number; readonly metrics: Readonly<Record<string, number>> }> {
    return await (await this.#under("evaluate")).evaluate();
  }

  /** As of `RunControl`. */
  override async tune(changes: TunableChanges): Promise<Tuning> {
    return await (await this.#under("tune")).tune(changes);
  }

  /** As of `RunControl`. */
  override async chat(
    request: ChatRequest,
    options: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void } = {},
  ): Promise<ChatReply> {
    const run = await this.#under("answer"), { state } = await run.status();
    if (state === "starting") throw this.#refuse("answer", state); // its folder may not be there yet
    return await this.#interpreter.ask(run, request, { ...options, config: this.config() });
  }

  /** Ends the run where it stands. To end it in order, stop it and wait for `ended` first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opening?.catch(() => {});
    await this.#run?.[Symbol.asyncDispose]();
    await this.#ended?.catch(() => {});
  }
}
