import type { Config } from "../../actors/config/types.ts";
import { CommandedRun } from "../../actors/run_commands.ts";
import { Tunings } from "../../actors/run/tunings.ts";
import type {
  ChatPiece,
  ChatReply,
  ChatRequest,
  CheckpointInfo,
  RunControl,
  RunEvent,
  RunStatus,
  StepRollouts,
} from "../../actors/run_control.ts";
import { RunFiles } from "./run_files.ts";

/** Milliseconds for which a status is reused if nothing has happened. Many requests then rarely interrupt the run. */
const PATIENCE = 100;

/**
 * The common part of all controlled runs, in whichever process they train: their files, their listeners, and a briefly cached status.
 *
 * @example
 * ```ts
 * import { RunController, WatchedRun } from "@kedge/kedge/control";
 * import { assertEquals } from "@std/assert";
 *
 * await using control = new RunController({ sets: [`runDir=${Deno.makeTempDirSync()}`] });
 * assertEquals([control instanceof WatchedRun, control.name, control.tuned()], [true, "board", {}]);
 * assertEquals(await control.metrics({ since: -1, limit: 1 }), []);
 * ```
 */
export abstract class WatchedRun extends CommandedRun implements RunControl {
  readonly #config: Config;
  readonly #files: RunFiles;
  readonly #listeners = new Set<(event: RunEvent) => void>();
  #tuningsRead: Tunings | undefined;
  /** The last requested status, if nothing has happened since. */
  #asked: { readonly at: number; readonly status: Promise<RunStatus> } | undefined;

  /**
   * Makes a run from its configuration.
   *
   * @param config The configuration without later changes.
   */
  constructor(config: Config) {
    super();
    this.#config = config;
    this.#files = new RunFiles(this.path);
  }

  /** Requests the status. */
  protected abstract askStatus(): Promise<RunStatus>;

  /** The run's name. */
  get name(): string {
    return this.#config.name;
  }

  /** The run's directory. */
  get path(): string {
    return `${this.#config.runDir}/${this.#config.name}`;
  }

  /** The step of the last checkpoint; 0 if there is none. */
  protected get lastStep(): number {
    return this.#files.checkpoints().at(-1)?.step ?? 0;
  }

  /** Discards the cached status. */
  protected forget(): void {
    this.#asked = undefined;
    this.#tuningsRead = undefined;
    this.#files.changed();
  }

  /** Sends an event to all listeners. */
  protected emit(event: RunEvent): void {
    this.forget();
    for (const listener of this.#listeners) listener(event);
  }

  get #tunings(): Tunings {
    return this.#tuningsRead ??= new Tunings(this.path, this.#config);
  }

  /** See `RunControl`. */
  config(): Config {
    return this.#tunings.config(Infinity);
  }

  /** See `RunControl`. */
  tuned(): Readonly<Record<string, unknown>> {
    return this.#tunings.at(Infinity);
  }

  /** See `RunControl`. */
  status(): Promise<RunStatus> {
    const now = performance.now();
    if (!this.#asked || now - this.#asked.at > PATIENCE) this.#asked = { at: now, status: this.askStatus() };
    return this.#asked.status;
  }

  /** See `RunControl`. */
  metrics(query: { since: number; limit: number }): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return this.#files.metrics(query);
  }

  /** See `RunControl`. */
  rollouts(step?: number): Promise<StepRollouts> {
    return this.#files.rollouts(step);
  }

  /** See `RunControl`. */
  checkpoints(): Promise<readonly CheckpointInfo[]> {
    return Promise.resolve(this.#files.checkpoints());
  }

  /** See `RunControl`. */
  listen(listener: (event: RunEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** See `RunControl`. */
  abstract start(): Promise<RunStatus>;
  /** See `RunControl`. */
  abstract chat(request: ChatRequest, options?: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void }): Promise<ChatReply>;
}
