import { z } from "zod";
import type { Config } from "../config/types.ts";
import { type TunableChanges, tunableSchema, valueAt, withChanges } from "../config/tunable.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { linesForward } from "./line_pieces.ts";
import { Lines } from "./lines.ts";

const FILE = "tuning.jsonl";

/** Changes by path, each as it may be changed. */
const changesSchema = z.record(z.string(), z.unknown()).superRefine((changes, context) => {
  for (const [path, value] of Object.entries(changes)) {
    const input = path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
    const { error } = tunableSchema.safeParse(input);
    for (const { message } of error?.issues ?? []) context.addIssue({ code: "custom", path: [path], message });
  }
});

const tuningSchema = z.looseObject({
  /** The first step that is made with it. */
  step: z.int().positive(),
  changes: changesSchema,
  /** What the configuration said of each path then. */
  base: z.record(z.string(), z.unknown()),
});

interface Tuning {
  readonly step: number;
  readonly changes: TunableChanges;
  readonly base: TunableChanges;
}

/**
 * The changes of a file's lines. A last line without its end is left out: whoever made the change was killed, or is at it.
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
      const what = "mend or remove the line: without it the run goes on without that change";
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
   * Reads what there is, and writes nothing.
   *
   * @param config Without changes.
   * @throws {KedgeError} `BadCheckpoint` for a line that is none of a change.
   */
  constructor(run: string, config: Config) {
    this.#config = config;
    this.#lines = new Lines(`${run}/${FILE}`);
    this.#made = readTunings(this.#lines.path);
  }

  /** Notes a change. @throws {KedgeError} `State` where there were too many. */
  add(step: number, changes: TunableChanges): void {
    if (this.#made.length >= MOST) {
      const words = `Cannot tune: this run was tuned ${MOST} times, which is the most; what changes with every step is for optim.schedule`;
      throw new KedgeError("State", words, { tunings: this.#made.length });
    }
    const base = Object.fromEntries(Object.keys(changes).map((path) => [path, valueAt(this.#config, path)]));
    const made = { step, time: new Date().toISOString(), changes, base };
    this.#lines.cutTorn(); // the next line would run on in it
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
