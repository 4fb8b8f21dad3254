/**
 * Reads the arguments of a command, explains mistakes in them, and maps errors to exit codes. Exit code 0: the command did what was asked.
 * 1: it failed. 2: the arguments or the configuration are wrong, and nothing was done. 130: a run was stopped before its end.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { meantKey } from "../actors/config/meant.ts";
import { nearest } from "../actors/config/nearest.ts";
import { isDataFile } from "../data/open.ts";
import { KedgeError } from "../ffi/errors.ts";
import { pathFault, type PathKind } from "./command/paths.ts";

/** Is thrown for wrong arguments or a wrong configuration. The command ends with code 2. */
export class UsageError extends TypeError {
  /** The error's name, "UsageError". */
  override readonly name = "UsageError";
}

/** The arguments that a command accepts. */
export interface CommandOptions<V extends string, F extends string = never> {
  /** The command as the user types it, such as "deno task eval". */
  readonly name: string;
  /** The verb for error messages, such as "evaluate". */
  readonly action: string;
  readonly help: string;
  /** Options with a value, each with its placeholder in the help: "FILE", "DIR", "N", "a.b=value". */
  readonly values?: Readonly<Record<V, string>>;
  /** The options that are required. */
  readonly required?: readonly NoInfer<V>[];
  /** The options that may be repeated. */
  readonly repeated?: readonly NoInfer<V>[];
  /** The options whose value may be omitted. */
  readonly bare?: readonly NoInfer<V>[];
  /** Options without a value. */
  readonly flags?: readonly F[];
  /** The flags that are on by default. `--no-NAME` turns them off. */
  readonly negatable?: readonly NoInfer<F>[];
  /** Options that do not exist but that people try, each with the option to use instead, such as "--image FILE". */
  readonly others?: Readonly<Record<string, string>>;
  /** The placeholder for positional arguments, such as "ADDRESS", and their maximum number. Default: none. */
  readonly rest?: { readonly name: string; readonly most: number };
}

const asksForHelp = (args: readonly string[]) =>
  args.slice(0, args.includes("--") ? args.indexOf("--") : args.length).some((arg) => arg === "--help" || arg === "-h");

/** The parsed arguments of a command. */
export class CommandLine<V extends string, F extends string = never> {
  readonly #args: readonly string[];
  readonly #command: CommandOptions<V, F>;
  readonly #names: readonly V[];
  readonly #values: Readonly<Partial<Record<string, string[]>>> = {};
  readonly #flags: Readonly<Partial<Record<string, boolean>>> = {};
  /** Whether the help was requested. */
  readonly help: boolean;
  /** The positional arguments. */
  readonly rest: readonly string[] = [];

  /** @throws {UsageError} for an unexpected argument, and for an option that is unknown, missing, repeated or without its value. */
  constructor(args: readonly string[], command: CommandOptions<V, F>) {
    this.#args = args;
    this.#command = command;
    this.#names = Object.keys(command.values ?? {}) as V[];
    this.help = asksForHelp(args);
    if (this.help) return;
    const { flags = [], negatable = [], repeated = [], bare = [], required = [], rest } = command;
    let positional = 0;
    const { _, "--": after = [], ...given } = parseArgs([...args], {
      "--": true,
      boolean: flags,
      string: [...this.#names, "_"],
      collect: this.#names,
      negatable,
      default: Object.fromEntries(negatable.map((name) => [name, true])),
      unknown: (arg, key) => {
        if (key !== undefined) throw this.error(this.#unknownOption(arg, key));
        if (++positional > (rest?.most ?? 0)) throw this.error(this.#unwanted(arg));
      },
    });
    if (after.length > 0) throw this.error(`"${after[0]}" follows "--", after which nothing is read; leave the "--" out`);
    for (const name of flags) {
      const odd = args.find((arg) => arg.startsWith(`--${name}=`) && !/=(true|false)$/.test(arg));
      if (odd) throw this.error(`--${name} accepts no value, but got "${odd.slice(odd.indexOf("=") + 1)}"`);
    }
    for (const name of this.#names) {
      const values = given[name] as string[];
      if (values.includes("") && !bare.includes(name)) throw this.error(`--${name} needs a value: ${this.#usage(name)}`);
      if (values.length > 1 && !repeated.includes(name)) {
        throw this.error(`--${name} is given ${values.length} times: ${values.map((value) => `"${value}"`).join(" and ")}`);
      }
    }
    const missing = required.filter((name) => (given[name] as string[]).length === 0);
    if (missing.length > 0) throw this.error(`missing ${missing.map((name) => this.#usage(name)).join(" and ")}`);
    this.rest = _ as string[];
    this.#values = given as Record<string, string[]>;
    this.#flags = given as Record<string, boolean>;
  }

  /** Makes an error about these arguments that also names the help. */
  error(words: string, options?: ErrorOptions): UsageError {
    const { action, name } = this.#command;
    return new UsageError(`Cannot ${action}: ${words}\n${name} --help lists the options`, options);
  }

  #usage(name: V): string {
    return `--${name} ${this.#command.values![name]}`;
  }

  /** Returns the option before an argument. The argument would be its value if it did not begin with "-". */
  #before(arg: string): V | undefined {
    const before = this.#args[this.#args.indexOf(arg) - 1];
    return this.#names.find((name) => before === `--${name}`);
  }

  #unknownOption(arg: string, key: string): string {
    const known = [...this.#names, ...this.#command.flags ?? [], "help"], before = this.#before(arg);
    const [, name = key, value] = /^--?([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (known.includes(name)) {
      if (/^-[^-]/.test(arg)) return `"${arg}" is not an option; options begin with two dashes: --${name}`;
      return `--${name} needs a value${this.#names.includes(name as V) ? `: ${this.#usage(name as V)}` : ""}`;
    }
    const { others = {} } = this.#command, other = Object.keys(others).find((one) => one === name);
    if (other !== undefined) return `unknown option "${arg}"; did you mean ${others[other]}?`;
    const near = nearest(name, known);
    if (near !== undefined) return `unknown option "${arg}"; did you mean --${near}?`;
    const isSet = this.#names.includes("set" as V), path = isSet ? meantKey(name) : undefined;
    if (path !== undefined) {
      const next = this.#args[this.#args.indexOf(arg) + 1], own = value ?? (next?.startsWith("-") ? undefined : next) ?? "VALUE";
      return `unknown option "${arg}"; did you mean --set ${path}=${own}?`;
    }
    if (before !== undefined) return `--${before} needs a value; write one that begins with "-" as --${before}=${arg}`;
    return `unknown option "${arg}"`;
  }

  #unwanted(arg: string): string {
    const { values, rest, flags = [] } = this.#command, at = this.#args.indexOf(arg), set = this.#args[at - 1];
    if (rest && rest.most > 0) return `unexpected argument "${arg}": only ${rest.most} ${rest.name} is accepted`;
    const isSet = this.#names.includes("set" as V);
    if (isSet && this.#args[at - 2] === "--set" && !set!.includes("=")) {
      return `unexpected argument "${arg}"; --set takes one argument: --set ${set}=${arg}`;
    }
    if (isSet && /^[\w.]+=/.test(arg)) return `unexpected argument "${arg}"; did you mean --set ${arg}?`;
    if (["help", ...this.#names, ...flags].includes(arg)) return `unexpected argument "${arg}"; did you mean --${arg}?`;
    const asked = this.#names.find((name) => this.#args[at - 2] === `--${name}`);
    if (asked && values![asked] === "TEXT") {
      return `unexpected argument "${arg}"; put a text of several words in quotes: --${asked} "${set} ${arg} ..."`;
    }
    if (isSet && isDataFile(arg)) return `unexpected argument "${arg}"; did you mean --set data.task=files --set data.trainFiles=${arg}?`;
    if (isSet && pathFault(arg, "model") === undefined) return `unexpected argument "${arg}"; did you mean --set model.path=${arg}?`;
    const kind = pathFault(arg, "file") === undefined ? "FILE" : pathFault(arg, "folder") === undefined ? "DIR" : undefined;
    const open = (name: V) => !this.#args.some((other) => other === `--${name}` || other.startsWith(`--${name}=`));
    const option = kind && this.#names.find((name) => values![name].split("|").includes(kind) && open(name));
    return `unexpected argument "${arg}"${option ? `; did you mean --${option} ${arg}?` : ""}`;
  }

  /** Tells whether a flag is on. */
  flag(name: F): boolean {
    return this.#flags[name] === true;
  }

  /** Returns an option's value: undefined if the option is absent, "" if it has no value. */
  text(name: V): string | undefined {
    return this.#values[name]?.at(-1);
  }

  /** Returns the values of an option that may be repeated. */
  all(name: V): readonly string[] {
    return this.#values[name] ?? [];
  }

  /** Returns the value of a required option. */
  needed(name: V): string {
    return this.text(name)!;
  }

  /** Reads a number in [min, max], which is whole if `whole` is set. @throws {UsageError} for another value. */
  number(name: V, { min = 0, max = Infinity, whole = true }: { min?: number; max?: number; whole?: boolean } = {}): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : this.#number(name, text, { min, max, whole });
  }

  /** Reads positive whole numbers, separated by commas. */
  counts(name: V): number[] {
    return this.list(name).map((text) => this.#number(name, text, { min: 1, max: Infinity, whole: true }));
  }

  /** Reads texts, separated by commas. The list is empty if the option is absent. */
  list(name: V): string[] {
    return this.text(name)?.split(",").map((text) => text.trim()) ?? [];
  }

  /** Reads one of several words. @throws {UsageError} for another word. */
  choice<T extends string>(name: V, all: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text !== undefined) this.#among(name, text, all);
    return text as T | undefined;
  }

  /**
   * Reads some of several words, separated by commas. The list is empty if the option is absent. @throws {UsageError} for another word.
   */
  choices<T extends string>(name: V, all: readonly T[]): T[] {
    const texts = this.list(name);
    for (const text of texts) this.#among(name, text, all);
    return texts as T[];
  }

  #among(name: V, text: string, all: readonly string[]): void {
    if (all.includes(text)) return;
    const near = nearest(text, all);
    throw this.error(`--${name} is "${text}", but must be one of ${all.join(", ")}${near === undefined ? "" : `; did you mean ${near}?`}`);
  }

  /** Reads the name of a device. @throws {UsageError} for another text. */
  device(name: V): string | undefined {
    const text = this.text(name);
    if (text === undefined || /^(auto|cpu|cuda(:\d+)?)$/.test(text)) return text;
    throw this.error(`--${name} is "${text}", but must be auto, cpu, cuda or cuda:N`);
  }

  /**
   * Computes something from an option's value. @throws {UsageError} in place of a RangeError, which explains what is wrong with the value.
   */
  async resolved<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new UsageError(`${cause.message}\n${this.#command.name} --help lists the options`, { cause });
    }
  }

  /** Reads a path and checks what it names. @throws {UsageError} that says what it names instead. */
  path(name: V, kind: PathKind): string | undefined {
    const path = this.text(name), fault = path === undefined ? undefined : pathFault(path, kind);
    if (fault !== undefined) throw this.error(`--${name} ${path}: ${fault}`);
    return path;
  }

  #number(name: V, text: string, { min, max, whole }: { min: number; max: number; whole: boolean }): number {
    const value = text.trim() === "" ? NaN : Number(text);
    if (value >= min && value <= max && (whole ? Number.isSafeInteger(value) : Number.isFinite(value))) return value;
    const range = max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`;
    throw this.error(`--${name} is "${text}", but must be ${whole ? "a whole number" : "a number"} ${range}`);
  }
}

/** Tells whether an error's message is meant for the user, as those of Kedge and of the system are. */
function isExpected(error: Error): boolean {
  return error instanceof KedgeError || /^Cannot [^:]+: /.test(error.message) ||
    Object.values(Deno.errors).some((kind) => error instanceof kind);
}

/** Returns what a command prints for an error, and its exit code. An unexpected error is printed with its stack trace. */
export function endOf(error: unknown): { code: 1 | 2; words: string } {
  if (error instanceof UsageError) return { code: 2, words: error.message };
  if (error instanceof Error && isExpected(error)) return { code: 1, words: error.message };
  const trace = error instanceof Error ? error.stack ?? error.message : String(error);
  return { code: 1, words: `This is a bug in Kedge; please report it with these lines:\n${trace}` };
}

/** Runs a command as the main program. It prints errors and sets the exit code. */
export async function runCommand(command: (args: readonly string[]) => number | Promise<number>): Promise<never> {
  try {
    Deno.exit(await command(Deno.args));
  } catch (error) {
    const { code, words } = endOf(error);
    // deno-lint-ignore no-console -- a command
    console.error(words);
    Deno.exit(code);
  }
}

/**
 * Reads the arguments of a program without a function of its own. If the help is requested, or if the arguments or `check` find a mistake,
 * the process ends here.
 */
export function programLine<V extends string, F extends string = never>(
  command: CommandOptions<V, F>,
  check: (line: CommandLine<V, F>) => void = () => {},
): CommandLine<V, F> {
  try {
    const line = new CommandLine(Deno.args, command);
    if (!line.help) {
      check(line);
      return line;
    }
    // deno-lint-ignore no-console -- a command
    console.log(command.help);
    Deno.exit(0);
  } catch (error) {
    const { code, words } = endOf(error);
    // deno-lint-ignore no-console -- as above
    console.error(words);
    Deno.exit(code);
  }
}
