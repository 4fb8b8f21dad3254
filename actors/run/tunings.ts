import type { Config } from "../config/types.ts";
import { type TunableChanges, valueAt, withChanges } from "../config/tunable.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Lines } from "./lines.ts";

interface Tuning {
  /** The first step that is made with it. */
  readonly step: number;
  readonly changes: TunableChanges;
  /** What the configuration said of each path then. */
  readonly base: TunableChanges;
}

/** Changes of a run, at most: all of them are read where it is resumed, and each is looked at in every step. */
const MOST = 10_000;

/**
 * What was tuned while a run went on: `tuning.jsonl`. A run that is resumed makes each change again at the step at which it was made, so that it learns what an
 * uninterrupted one does. A path whose value in the configuration has changed since is the configuration's again.
 */
export class Tunings {
  readonly #config: Config;
  readonly #lines: Lines;
  readonly #made: Tuning[];

  /**
   * Reads what there is.
   *
   * @param config Without changes.
   */
  constructor(run: string, config: Config) {
    this.#config = config;
    this.#lines = new Lines(`${run}/tuning.jsonl`);
    this.#made = this.#lines.read() as unknown as Tuning[];
  }

  /** Notes a change. @throws {KedgeError} `State` where there were too many. */
  add(step: number, changes: TunableChanges): void {
    if (this.#made.length >= MOST) {
      const words = `Cannot tune: this run was tuned ${MOST} times, which is the most; what changes with every step is for optim.schedule`;
      throw new KedgeError("State", words, { tunings: this.#made.length });
    }
    const base = Object.fromEntries(Object.keys(changes).map((path) => [path, valueAt(this.#config, path)]));
    const made = { step, time: new Date().toISOString(), changes, base };
    this.#lines.append(made);
    this.#made.push(made);
  }

  /** What holds at a step, by path. */
  at(step: number): Record<string, unknown> {
    return Object.assign({}, ...this.#made.filter((made) => made.step <= step).map((made) => this.#valid(made)));
  }

  /** What is changed at exactly this step. */
  from(step: number): Record<string, unknown> {
    return Object.assign({}, ...this.#made.filter((made) => made.step === step).map((made) => this.#valid(made)));
  }

  /** The configuration as it is used at a step. */
  config(step: number): Config {
    return withChanges(this.#config, this.at(step));
  }

  #valid({ changes, base }: Tuning): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(changes).filter(([path]) => (base[path] ?? null) === (valueAt(this.#config, path) ?? null)),
    );
  }
}
