import { parseArgs } from "@std/cli/parse-args";

/** What a command takes. */
export interface CommandOptions<N extends string> {
  /** What it does, for errors, as "evaluate". */
  readonly action: string;
  readonly help: string;
  /** Options with a value, without their dashes. */
  readonly names: readonly N[];
  /** Of these, those that must be given. */
  readonly required: readonly N[];
}

/** A command's options, read from the command line. */
export class CommandLine<N extends string> {
  readonly #values: Readonly<Partial<Record<string, string>>>;
  readonly #command: CommandOptions<N>;
  /** Whether only the help is asked for. */
  readonly help: boolean;

  /** @throws {TypeError} For an option that is unknown, empty or missing, with the help. */
  constructor(args: readonly string[], command: CommandOptions<N>) {
    this.#command = command;
    const { help, _, ...values } = parseArgs([...args], {
      boolean: ["help"],
      string: [...command.names],
      unknown: (arg) => {
        throw this.#error(`"${arg}" is no option`);
      },
    });
    this.help = help === true;
    this.#values = values as Partial<Record<string, string>>;
    if (this.help) return;
    const empty = command.names.find((name) => this.#values[name] === "");
    if (empty) throw this.#error(`--${empty} has no value`);
    const missing = command.required.filter((name) => this.#values[name] === undefined);
    if (missing.length > 0) throw this.#error(`no ${missing.map((name) => `--${name}`).join(", ")} given`);
  }

  #error(words: string): TypeError {
    return new TypeError(`Cannot ${this.#command.action}: ${words}\n\n${this.#command.help}`);
  }

  /** An option's value; undefined where it is not given. */
  text(name: N): string | undefined {
    return this.#values[name];
  }

  /** The value of an option that must be given. */
  needed(name: N): string {
    return this.#values[name]!;
  }

  /** A number in [min, max]; a whole one with `whole`. @throws {TypeError} For another. */
  number(name: N, { min = 0, max = Infinity, whole = true }: { min?: number; max?: number; whole?: boolean } = {}): number | undefined {
    const text = this.#values[name];
    return text === undefined ? undefined : this.#number(name, text, { min, max, whole });
  }

  /** Whole numbers of 1 or more, between commas. */
  counts(name: N): number[] {
    return this.list(name).map((text) => this.#number(name, text, { min: 1, max: Infinity, whole: true }));
  }

  /** Texts between commas; none where the option is not given. */
  list(name: N): string[] {
    return this.#values[name]?.split(",").map((text) => text.trim()) ?? [];
  }

  /** One of a few words. @throws {TypeError} For another. */
  choice<T extends string>(name: N, all: readonly T[]): T | undefined {
    const text = this.#values[name];
    if (text !== undefined && !all.includes(text as T)) throw this.#error(`--${name} is ${text}, not one of ${all.join(", ")}`);
    return text as T | undefined;
  }

  #number(name: N, text: string, { min, max, whole }: { min: number; max: number; whole: boolean }): number {
    const value = text.trim() === "" ? NaN : Number(text);
    if (value >= min && value <= max && (whole ? Number.isSafeInteger(value) : Number.isFinite(value))) return value;
    const range = max === Infinity ? `of ${min} or more` : `from ${min} to ${max}`;
    throw this.#error(`--${name} is ${text}, not ${whole ? "an integer" : "a number"} ${range}`);
  }
}

/** Runs a command as the process: its errors as words, its code as the exit code. */
export async function runCommand(command: (args: readonly string[]) => number | Promise<number>): Promise<never> {
  try {
    Deno.exit(await command(Deno.args));
  } catch (error) {
    // deno-lint-ignore no-console -- a command
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
