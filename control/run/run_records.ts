import type { Config } from "../../actors/config/types.ts";
import { Tunings } from "../../actors/run/tunings.ts";
import type { CheckpointInfo, RunControl, StepRollouts } from "../run_control.ts";
import { RunFiles } from "./run_files.ts";

/** What a run's directory says of it: the part of a {@linkcode RunControl} that asks no actor. */
export class RunRecords implements Pick<RunControl, "config" | "tuned" | "metrics" | "rollouts" | "checkpoints"> {
  readonly #config: Config;
  readonly #files: RunFiles;
  #tuningsRead: Tunings | undefined;

  /** @param config Without what was tuned. */
  constructor(config: Config) {
    this.#config = config;
    this.#files = new RunFiles(this.path);
  }

  /** The run's directory. */
  get path(): string {
    return `${this.#config.runDir}/${this.#config.name}`;
  }

  /** Something has happened: what was read is looked at again. */
  changed(): void {
    this.#tuningsRead = undefined;
    this.#files.changed();
  }

  get #tunings(): Tunings {
    return this.#tuningsRead ??= new Tunings(this.path, this.#config);
  }

  config(): Config {
    return this.#tunings.config(Infinity);
  }

  tuned(): Readonly<Record<string, unknown>> {
    return this.#tunings.at(Infinity);
  }

  metrics(query: { since: number; limit: number }): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return this.#files.metrics(query);
  }

  rollouts(step?: number): Promise<StepRollouts> {
    return this.#files.rollouts(step);
  }

  checkpoints(): Promise<readonly CheckpointInfo[]> {
    return Promise.resolve(this.#files.checkpoints());
  }

  /** The step of the last checkpoint; 0 where there is none. */
  get lastStep(): number {
    return this.#files.checkpoints().at(-1)?.step ?? 0;
  }
}
