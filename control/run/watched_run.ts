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

/** Milliseconds for which a status is good where nothing has happened: however many ask, the run is seldom interrupted. */
const PATIENCE = 100;

/**
 * What all runs that are controlled have in common, wherever they train: what their directory says, who listens, and the status that is remembered for a moment.
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
  /** The status that was asked for last, where nothing has happened since. */
  #asked: { readonly at: number; readonly status: Promise<RunStatus> } | undefined;

  /**
   * A run by its configuration.
   *
   * @param config Without what was tuned.
   */
  constructor(config: Config) {
    super();
    this.#config = config;
    this.#files = new RunFiles(this.path);
  }

  /** Asks how it stands. */
  protected abstract askStatus(): Promise<RunStatus>;

  /** The run's name. */
  get name(): string {
    return this.#config.name;
  }

  /** The run's directory. */
  get path(): string {
    return `${this.#config.runDir}/${this.#config.name}`;
  }

  /** The step of the last checkpoint; 0 where there is none. */
  protected get lastStep(): number {
    return this.#files.checkpoints().at(-1)?.step ?? 0;
  }

  /** What is remembered of the run is no longer so. */
  protected forget(): void {
    this.#asked = undefined;
    this.#tuningsRead = undefined;
    this.#files.changed();
  }

  /** Tells all who listen. */
  protected emit(event: RunEvent): void {
    this.forget();
    for (const listener of this.#listeners) listener(event);
  }

  get #tunings(): Tunings {
    return this.#tuningsRead ??= new Tunings(this.path, this.#config);
  }

  /** As of `RunControl`. */
  config(): Config {
    return this.#tunings.config(Infinity);
  }

  /** As of `RunControl`. */
  tuned(): Readonly<Record<string, unknown>> {
    return this.#tunings.at(Infinity);
  }

  /** As of `RunControl`. */
  status(): Promise<RunStatus> {
    const now = performance.now();
    if (!this.#asked || now - this.#asked.at > PATIENCE) this.#asked = { at: now, status: this.askStatus() };
    return this.#asked.status;
  }

  /** As of `RunControl`. */
  metrics(query: { since: number; limit: number }): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return this.#files.metrics(query);
  }

  /** As of `RunControl`. */
  rollouts(step?: number): Promise<StepRollouts> {
    return this.#files.rollouts(step);
  }

  /** As of `RunControl`. */
  checkpoints(): Promise<readonly CheckpointInfo[]> {
    return Promise.resolve(this.#files.checkpoints());
  }

  /** As of `RunControl`. */
  listen(listener: (event: RunEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** As of `RunControl`. */
  abstract start(): Promise<RunStatus>;
  /** As of `RunControl`. */
  abstract chat(request: ChatRequest, options?: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void }): Promise<ChatReply>;
}
