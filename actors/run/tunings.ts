import { z } from "zod";
import type { Config } from "../config/types.ts";
import { type TunableChanges, tunableSchema, valueAt, withChanges } from "../config/tunable.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { linesForward } from "./line_pieces.ts";
import { Lines } from "./lines.ts";

const FILE = "tuning.jsonl";

/** Changes by path. Each value is one that `tunableSchema` takes. */
const changesSchema = z.record(z.string(), z.unknown()).superRefine((changes, context) => {
  for (const [path, value] of Object.entries(changes)) {
    const input = path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
    const { error } = tunableSchema.safeParse(input);
    for (const { message } of error?.issues ?? []) context.addIssue({ code: "custom", path: [path], message });
  }
});

const tuningSchema = z.looseObject({
  /** The first step that is made with the changes. */
  step: z.int().positive(),
  changes: changesSchema,
  /** The configuration's values at these paths when the changes were made. */
  base: z.record(z.string(), z.unknown()),
});

interface Tuning {
  readonly step: number;
  readonly changes: TunableChanges;
  readonly base: TunableChanges;
}

/**
 * Reads the changes of a file. An unfinished last line is left out: its process was killed or is writing it.
 *
 * @throws {KedgeError} `BadCheckpoint` that names the line and the key.
 */
function readTunings(path: string): Tuning[] {
  const made: Tuning[] = [];
  let number = 0;
  for (const { bytes, isEnded } of linesForward(path)) {
    number++;
    if (!isEnded || bytes.length === 0) continue;
    const bad = (words: string) => {
      const what = "mend or remove the line; without it the run continues without that change";
      return new KedgeError("BadCheckpoint", `Cannot read ${path}: line ${number}: ${words}; ${what}`, { path, line: number });
    };
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder().decode(bytes));
    } catch (error) {
      throw bad((error as Error).message);
    }
    const { data, error } = tuningSchema.safeParse(value);
    if (!data) throw bad(error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
    made.push(data);
  }
  return made;
}

/** The most changes of a run. All of them are read when it resumes, and checked in every step. */
const MOST = 10_000;

/**
 * The changes of keys during a run, `tuning.jsonl`. A resumed run makes each change again at the same step, so that it learns what an
 * uninterrupted run does. A change no longer holds if the configuration's value at its path was changed later.
 */
export class Tunings {
  readonly #config: Config;
  readonly #lines: Lines;
  readonly #made: Tuning[];

  /**
   * Reads the file, and writes nothing.
   *
   * @param config The configuration without tuned values.
   * @throws {KedgeError} `BadCheckpoint` for a line that cannot be read as a change.
   */
  constructor(run: string, config: Config) {
    this.#config = config;
    this.#lines = new Lines(`${run}/${FILE}`);
    this.#made = readTunings(this.#lines.path);
  }

  /** Adds a change. @throws {KedgeError} `State` if there are too many. */
  add(step: number, changes: TunableChanges): void {
    if (this.#made.length >= MOST) {
      const words =
        `Cannot tune: this run has been tuned ${MOST} times, which is the limit; use optim.schedule for a value that changes with every step`;
      throw new KedgeError("State", words, { tunings: this.#made.length });
    }
    const base = Object.fromEntries(Object.keys(changes).map((path) => [path, valueAt(this.#config, path)]));
    const made = { step, time: new Date().toISOString(), changes, base };
    this.#lines.cutTorn(); // the next line would be appended to it
    this.#lines.append(made);
    this.#made.push(made);
  }

  /** Returns the tuned values at a step, by path. */
  at(step: number): Record<string, unknown> {
    return Object.assign({}, ...this.#made.filter((made) => made.step <= step).map((made) => this.#valid(made)));
  }

  /** Returns the values that change at exactly this step. */
  from(step: number): Record<string, unknown> {
    return Object.assign({}, ...this.#made.filter((made) => made.step === step).map((made) => this.#valid(made)));
  }

  /** Returns the configuration in use at a step. */
  config(step: number): Config {
    return withChanges(this.#config, this.at(step));
  }

  #valid({ changes, base }: Tuning): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(changes).filter(([path]) => (base[path] ?? null) === (valueAt(this.#config, path) ?? null)),
    );
  }
}
