import { type ConfigSource, type LoadedConfig, loadedConfig } from "../../actors/config/load.ts";
import type { TrainerEvent } from "../../actors/messages.ts";
import { callCommand, type CommandArgument, type CommandName, type CommandReply } from "../../actors/run_commands.ts";
import { TrainingRun, type TrainingRunOptions } from "../../actors/training_run.ts";
import { KedgeError } from "../../ffi/errors.ts";
import type { ChatPiece, ChatReply, ChatRequest, RunState, RunStatus } from "../../actors/run_control.ts";
import { Interpreter } from "./chat.ts";
import { WatchedRun } from "./watched_run.ts";

/** How a controlled run ended, or why it is not active. */
interface Rest {
  readonly state: RunState;
  readonly step: number;
  readonly maxSteps: number;
  readonly error?: string;
}

/**
 * A run in this process that is started, watched and steered from outside. After it was stopped or has failed, it can be restarted from its
 * last checkpoint.
 *
 * @example
 * ```ts
 * import { RunController } from "@kedge/kedge/control";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * await using control = new RunController({ sets: [`runDir=${Deno.makeTempDirSync()}`] });
 * assertEquals((await control.status()).state, "idle");
 * await assertRejects(() => control.pause(), KedgeError, "the run is idle");
 * ```
 */
export class RunController extends WatchedRun implements AsyncDisposable {
  /** The configuration is loaded once, so that editing the file does not affect later starts. */
  readonly #loaded: LoadedConfig;
  readonly #options: Omit<TrainingRunOptions, "resume">;
  readonly #interpreter = new Interpreter();
  #resume: boolean;
  #run: TrainingRun | undefined;
  #opening: Promise<void> | undefined;
  #ended: Promise<RunStatus> | undefined;
  #rest: Rest;

  /**
   * Makes a run that waits for its start.
   *
   * @param source The configuration, as for `TrainingRun.open`, whose options these are. A file is read once, here. `resume` applies to the
   * first start.
   * @throws {RangeError} for an invalid configuration.
   */
  constructor(source: ConfigSource | LoadedConfig, { resume = true, ...options }: TrainingRunOptions = {}) {
    const loaded = loadedConfig(source), { config } = loaded;
    super(config);
    this.#loaded = loaded;
    this.#options = options;
    this.#resume = resume;
    this.#rest = { state: "idle", step: this.lastStep, maxSteps: config.trainer.maxSteps };
  }

  /** Resolves with the status at the end of the last start; undefined before the first start. */
  get ended(): Promise<RunStatus> | undefined {
    return this.#ended;
  }

  /** See `WatchedRun`. */
  protected override async askStatus(): Promise<RunStatus> {
    const { name } = this;
    try {
      if (this.#run) return await this.#run.status();
    } catch (error) {
      if (!(error instanceof KedgeError && error.code === "Actor")) throw error; // it has ended meanwhile
    }
    if (this.#opening) return { ...this.#rest, name, state: "starting", pausing: false, accounts: {} };
    return { ...this.#rest, name, pausing: false, accounts: {} };
  }

  /** See `RunControl`. */
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
      const run = await TrainingRun.open(this.#loaded, {
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
      this.#ended.catch(() => {}); // its status reports the error
    } catch (error) {
      this.#rest = { ...this.#rest, state: "failed", error: (error as Error).message };
      await this.#tell();
      throw error;
    } finally {
      this.#opening = undefined;
    }
  }

  /** Trains, and records how it ends. */
  async #follow(run: TrainingRun): Promise<RunStatus> {
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
        // The end of a run is reported in #follow, after the run has freed its memory.
        if (!["done", "stopped", "failed"].includes(event.status.state)) {
          this.emit({ kind: "status", data: event.status });
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

  /** Returns the active run. @throws {KedgeError} `State` if there is none. */
  async #under(action: string): Promise<TrainingRun> {
    await this.#opening?.catch(() => {});
    this.forget();
    if (!this.#run) throw this.#refuse(action, this.#rest.state);
    return this.#run;
  }

  /** See `CommandedRun`. */
  protected override async command<C extends CommandName>(name: C, argument?: CommandArgument<C>): Promise<CommandReply<C>> {
    await this.#opening?.catch(() => {});
    const isOver = !this.#run && (this.#rest.state === "stopped" || this.#rest.state === "done");
    if (name === "stop" && isOver) return await this.status() as CommandReply<C>;
    return await callCommand(await this.#under(name), name, argument as CommandArgument<C>);
  }

  /** See `RunControl`. */
  override async chat(
    request: ChatRequest,
    options: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void } = {},
  ): Promise<ChatReply> {
    const run = await this.#under("answer"), { state } = await run.status();
    if (state === "starting") throw this.#refuse("answer", state); // its folder may not exist yet
    return await this.#interpreter.ask(run, request, { ...options, config: this.config() });
  }

  /** Ends the run at once. To end it in order, stop it and wait for `ended` first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opening?.catch(() => {});
    await this.#run?.[Symbol.asyncDispose]();
    await this.#ended?.catch(() => {});
  }
}
