/**
 * A whole run in this process. Programs do with it what `deno task train` does.
 *
 * @module
 */
import { CpuDevice } from "../ffi/cpu_device.ts";
import { deviceOfRank } from "../ffi/open.ts";
import type { Place } from "../ffi/world.ts";
import type { Prompt } from "../model/prompt.ts";
import { openOwner } from "../tensor/owner.ts";
import { type ConfigSource, type LoadedConfig, loadedConfig } from "./config/load.ts";
import type { Config } from "./config/types.ts";
import type { ChatSamplingMessage, CommandMessage, TokenPart, TrainerEvent, TrainerMessage, TrainerReplies } from "./messages.ts";
import { type HeldAnswers, heldAnswers, holdPrompt, promptMessage } from "./prompts.ts";
import { type CommandArgument, CommandedRun, type CommandName, type CommandReply, type RunStatus } from "./run_commands.ts";
import { modelFolder } from "./run/model_folder.ts";
import { openRunFolder, type RunFolder } from "./run/run_folder.ts";
import { writeWhole } from "./run/whole_file.ts";
import { Ranks } from "./runtime/ranks.ts";
import { ActorMemory } from "./runtime/actor_memory.ts";
import type { SpareThreads } from "./runtime/spare_threads.ts";
import { Actor } from "./runtime/spawn.ts";
import { Trackers } from "./trackers/trackers.ts";
import { explained } from "./trainer/failure.ts";
import type { TrainerOptions } from "./trainer/trainer.ts";

/** How a run is opened. */
export interface TrainingRunOptions {
  /** Whether the run resumes from its last checkpoint, if it has one. Default true; false removes the run's checkpoints. */
  readonly resume?: boolean;
  /** Whether the run ends after the supervised warm start. Default false. */
  readonly warmStartOnly?: boolean;
  /** Receives the events of the run. */
  readonly onEvent?: (event: TrainerEvent) => void;
  /**
   * URLs of worker modules by actor's name ("policy", "critic", "anchor_detector", "evaluator", "loader"), in place of the built-in ones.
   */
  readonly modules?: Readonly<Record<string, string>>;
  /**
   * Where the run's threads come from and go to, so that many small runs do not each start threads. One run after the other may use the
   * same. Its numbers do not depend on it. Without it, the threads are new and end with the run.
   */
  readonly spares?: SpareThreads;
  /**
   * The place of this process among several that train together, as `World.join` gives it. Each of them opens the run. Rank 0 writes its
   * files and takes its commands. Default: the run has one process.
   */
  readonly place?: Place;
}

/** A question to the policy. */
export interface Question {
  /** The prompt, as a processor makes it: its pixels are frames. */
  readonly prompt: Prompt;
  /** How answers are sampled. */
  readonly sampling: ChatSamplingMessage;
  /** The key of the random draws. Together with the seed it determines them. */
  readonly key: string;
}

/**
 * An open run. No other process can use its directory. The trainer waits for {@linkcode TrainingRun.start}. A run trains once; open
 * another to continue after its end.
 *
 * @example
 * ```ts
 * import { TrainingRun } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const runDir = Deno.makeTempDirSync();
 * {
 *   await using run = await TrainingRun.open({ sets: [`runDir=${runDir}`, "device=cpu", "name=little"] });
 *   const { state, step } = await run.status();
 *   assertEquals([state, step, run.path], ["starting", 0, `${runDir}/little`]);
 *   assertEquals((await run.tune({ "optim.lr": 5e-5 })).fromStep, 1);
 * }
 * Deno.removeSync(runDir, { recursive: true });
 * ```
 */
export class TrainingRun extends CommandedRun implements AsyncDisposable {
  readonly #opener: CpuDevice;
  readonly #lock: Disposable;
  readonly #trainer: Actor<TrainerMessage, TrainerReplies>;
  readonly #note: (text: string) => void;
  readonly #isFirst: boolean;
  #started: Promise<RunStatus> | undefined;
  #trackers: Trackers | undefined;

  private constructor(
    /** The configuration, with every key filled in. */
    readonly config: Config,
    /** The run's directory. */
    readonly path: string,
    /** The devices and tensors of this thread. */
    readonly memory: ActorMemory,
    parts: {
      opener: CpuDevice;
      lock: Disposable;
      trainer: Actor<TrainerMessage, TrainerReplies>;
      note: (text: string) => void;
      isFirst: boolean;
    },
  ) {
    super();
    this.#opener = parts.opener;
    this.#lock = parts.lock;
    this.#trainer = parts.trainer;
    this.#note = parts.note;
    this.#isFirst = parts.isFirst;
  }

  /**
   * Opens a run: makes and locks its directory, writes config.json, and starts the trainer's thread.
   *
   * @throws {RangeError} if the configuration is wrong, if another process uses the directory, or if the directory is not a run's.
   */
  static async open(source: ConfigSource | LoadedConfig = {}, options: TrainingRunOptions = {}): Promise<TrainingRun> {
    const loaded = loadedConfig(source), { resume = true, warmStartOnly = false, onEvent, modules, spares, place } = options;
    using stack = new DisposableStack();
    const lock = stack.use(await openTogether(loaded.config, { anew: !resume, place })), { path } = lock;
    const { config, base } = { ...loaded, config: place ? atPlace(loaded.config, place) : loaded.config };
    const opener = stack.use(CpuDevice.open({ threads: 1 }));
    const memory = stack.use(new ActorMemory(openOwner(opener), { device: config.device, threads: 1 }));
    const trainer = await Actor.spawn<TrainerMessage, TrainerReplies>(memory, {
      name: "trainer",
      module: new URL("./trainer/worker.ts", import.meta.url),
      device: config.device,
      threads: 1,
      options: {
        config,
        base,
        run: path,
        resume,
        warmStartOnly,
        ...(modules && { modules }),
        ...(place && { place }),
        keepsThreads: spares !== undefined,
      } satisfies TrainerOptions,
      spares,
      ...(onEvent && { onEvent: (event) => onEvent(event as TrainerEvent) }),
    });
    stack.move();
    return new TrainingRun(config, path, memory, {
      opener,
      lock,
      trainer,
      note: (text) => onEvent?.({ kind: "note", text }),
      isFirst: place === undefined || place.rank === 0,
    });
  }

  /** The folder of the tokenizer, the chat template and the image processor. For the built-in task it is made when the run begins. */
  get files(): string {
    return this.config.model.path === null ? `${this.path}/initial` : modelFolder(this.path, this.config.model.path);
  }

  /** Trains. @returns The status at the end, "done" or "stopped". Further calls return the same. @throws The error that ended the run. */
  start(): Promise<RunStatus> {
    return this.#started ??= this.#train();
  }

  async #train(): Promise<RunStatus> {
    const trackers = this.config.logging.trackers.length > 0 && this.#isFirst
      ? this.#trackers = new Trackers(this.path, this.config, this.#note)
      : undefined;
    const status = await this.#trainer.peer.request<"start">(() => ({ type: "start" }));
    if (trackers) trackers.ending = status.state === "done" ? "done" : "stopped";
    return status;
  }

  /** Returns how the run stands. */
  status(): Promise<RunStatus> {
    return this.#trainer.peer.request<"status">(() => ({ type: "status" }));
  }

  /** Sends a command to the trainer. */
  protected override command<C extends CommandName>(name: C, argument?: CommandArgument<C>): Promise<CommandReply<C>> {
    return this.#trainer.peer.request<CommandName>(() => ({ type: name, argument }) as CommandMessage) as Promise<CommandReply<C>>;
  }

  /**
   * Asks the current policy, between two messages of the run. The numbers of the run do not depend on it.
   *
   * @param options `signal` cancels the answer; the tokens so far are returned. `onToken` receives each token as it comes.
   * @returns The answers, which the caller disposes of, and the step whose update came before them.
   * @throws {KedgeError} `State` if no policy is loaded, `OutOfMemory`; {RangeError} for a wrong request.
   */
  async generate(
    { prompt, sampling, key }: Question,
    options: { signal?: AbortSignal; onToken?: (token: TokenPart) => void } = {},
  ): Promise<{ step: number; answers: HeldAnswers }> {
    const { signal, onToken } = options, held = holdPrompt(this.memory, key, prompt);
    const { step, answers } = await this.#trainer.peer.request<"generate">(
      (carrier) => ({ type: "generate", prompt: promptMessage(held, (tensor) => carrier.move(tensor)), sampling }),
      { ...(signal && { signal }), ...(onToken && { onPart: (part) => onToken(part as TokenPart) }) },
    );
    return { step, answers: heldAnswers(answers, (handle) => this.memory.receive(handle)) };
  }

  /** Ends the run's threads, even in the middle of a step, and unlocks its directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#started?.catch(() => {}); // the caller of start() has the error
    await this.#trainer.close();
    await this.#trackers?.[Symbol.asyncDispose]();
    for (const thing of [this.memory, this.#opener, this.#lock]) thing[Symbol.dispose]();
  }
}

/** Opens the run's directory on rank 0. The other ranks wait for that, and use it without a lock. */
async function openTogether(config: Config, { anew, place }: { anew: boolean; place: Place | undefined }): Promise<RunFolder> {
  const ranks = Ranks.at(place, "process"), folder = ranks.isFirst ? openFolder(config, anew) : undefined;
  const path = await ranks.tell(folder?.path);
  return folder ?? { path: path!, [Symbol.dispose]() {} };
}

/** The configuration of a rank: its GPU, or its share of the machine's cores. */
function atPlace(config: Config, { localRank, localSize }: Place): Config {
  const cores = Math.max(1, Math.floor(navigator.hardwareConcurrency / localSize));
  return { ...config, device: deviceOfRank(config.device, localRank), threads: config.threads ?? cores };
}

/** Locks the run's directory, and writes config.json. */
function openFolder(config: Config, anew: boolean): RunFolder {
  let folder: RunFolder | undefined;
  try {
    folder = openRunFolder(config.runDir, { name: config.name, anew });
    writeWhole(`${folder.path}/config.json`, `${JSON.stringify(config, null, 2)}\n`);
    return folder;
  } catch (error) {
    folder?.[Symbol.dispose]();
    throw explained(`${config.runDir}/${config.name}`, error as Error);
  }
}

/** The status of a run at its end. */
export interface TrainResult extends RunStatus {
  /** The run's directory. */
  readonly run: string;
}

/**
 * Trains from a configuration to the end of the run, as `deno task train` does.
 *
 * @param source A file and "a.b=value" settings, or what `loadConfig` made of them. Default: the built-in task.
 * @param options `signal` stops the run after the step under way, with a checkpoint.
 * @throws The error that ended the run: {KedgeError} `BadData`, `Diverged`, `OutOfMemory`, ...; {RangeError} for a wrong configuration.
 *
 * @example
 * ```ts
 * import { train } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const runDir = Deno.makeTempDirSync();
 * const little = ["sft.steps=1", "sft.batchSize=2", "sft.warmupSteps=1", "trainer.maxSteps=1", "data.rolloutBatchSize=2", "rollout.n=2", "val.limit=2"];
 * const losses: unknown[] = [];
 * const { state, step } = await train({ sets: [...little, `runDir=${runDir}`, "device=cpu", "data.maxResponseLength=4"] }, {
 *   onEvent: (event) => event.kind === "metrics" && losses.push(event.line["actor/loss"]),
 * });
 * assertEquals([state, step, losses.length > 0], ["done", 1, true]);
 * Deno.removeSync(runDir, { recursive: true });
 * ```
 */
export async function train(
  source: ConfigSource | LoadedConfig = {},
  options: TrainingRunOptions & { signal?: AbortSignal } = {},
): Promise<TrainResult> {
  const { signal, ...rest } = options;
  await using run = await TrainingRun.open(source, rest);
  const stop = () => void run.stop().catch(() => {});
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    return { ...await run.start(), run: run.path };
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}
