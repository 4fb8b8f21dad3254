/**
 * What every command does with its arguments: reads them, says what is wrong with them, and ends with a code.
 *
 * Exit codes: 0, it did what was asked; 1, it failed at it; 2, the arguments or the configuration are at fault, and nothing was done; 130, a run was stopped before
 * its end.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { meantKey } from "../actors/config/meant.ts";
import { nearest } from "../actors/config/nearest.ts";
import { isDataFile } from "../data/open.ts";
import { KedgeError } from "../ffi/errors.ts";
import { type Place, placeFault } from "./command/places.ts";

/** Arguments or a configuration that cannot be taken: the command ends with code 2. */
export class UsageError extends TypeError {
  /** "UsageError". */
  override readonly name = "UsageError";
}

/** What a command takes. */
export interface CommandOptions<V extends string, F extends string = never> {
  /** How it is called, as "deno task eval". */
  readonly name: string;
  /** What it does, for errors, as "evaluate". */
  readonly action: string;
  readonly help: string;
  /** Options with a value: what stands for it in the help, as "FILE", "DIR", "N", "a.b=value". */
  readonly values?: Readonly<Record<V, string>>;
  /** Of these, those that must be given. */
  readonly required?: readonly NoInfer<V>[];
  /** Of these, those that may be given again. */
  readonly repeated?: readonly NoInfer<V>[];
  /** Of these, those that may stand without their value. */
  readonly bare?: readonly NoInfer<V>[];
  /** Options without a value. */
  readonly flags?: readonly F[];
  /** Of these, those that are on unless `--no-NAME` turns them off. */
  readonly negatable?: readonly NoInfer<F>[];
  /** Options that there are not, but that people ask for: how it is said here, as "--image FILE". */
  readonly others?: Readonly<Record<string, string>>;
  /** What arguments that are no options are, as "ADDRESS", and how many there may be; default none. */
  readonly rest?: { readonly name: string; readonly most: number };
}

const asksForHelp = (args: readonly string[]) =>
  args.slice(0, args.includes("--") ? args.indexOf("--") : args.length).some((arg) => arg === "--help" || arg === "-h");

/** A command's arguments, read. */
export class CommandLine<V extends string, F extends string = never> {
  readonly #args: readonly string[];
  readonly #command: CommandOptions<V, F>;
  readonly #names: readonly V[];
  readonly #values: Readonly<Partial<Record<string, string[]>>> = {};
  readonly #flags: Readonly<Partial<Record<string, boolean>>> = {};
  /** Whether only the help is asked for. */
  readonly help: boolean;
  /** Arguments that are no options. */
  readonly rest: readonly string[] = [];

  /** @throws {UsageError} for an argument that nothing takes, and for an option that is unknown, without its value, given twice or missing. */
  constructor(args: readonly string[], command: CommandOptions<V, F>) {
    this.#args = args;
    this.#command = command;
    this.#names = Object.keys(command.values ?? {}) as V[];
    this.help = asksForHelp(args);
    if (this.help) return;
    const { flags = [], negatable = [], repeated = [], bare = [], required = [], rest } = command;
    let taken = 0;
    const { _, "--": after = [], ...given } = parseArgs([...args], {
      "--": true,
      boolean: flags,
      string: [...this.#names, "_"],
      collect: this.#names,
      negatable,
      default: Object.fromEntries(negatable.map((name) => [name, true])),
      unknown: (arg, key) => {
        if (key !== undefined) throw this.error(this.#unknownOption(arg, key));
        if (++taken > (rest?.most ?? 0)) throw this.error(this.#unwanted(arg));
      },
    });
    if (after.length > 0) throw this.error(`"${after[0]}" stands after "--", where nothing is read; leave the "--" out`);
    for (const name of flags) {
      const odd = args.find((arg) => arg.startsWith(`--${name}=`) && !/=(true|false)$/.test(arg));
      if (odd) throw this.error(`--${name} takes no value, and not "${odd.slice(odd.indexOf("=") + 1)}"`);
    }
    for (const name of this.#names) {
      const values = given[name] as string[];
      if (values.includes("") && !bare.includes(name)) throw this.error(`--${name} has no value; it is given as ${this.#usage(name)}`);
      if (values.length > 1 && !repeated.includes(name)) {
        throw this.error(`--${name} is given ${values.length} times: ${values.map((value) => `"${value}"`).join(" and ")}`);
      }
    }
    const missing = required.filter((name) => (given[name] as string[]).length === 0);
    if (missing.length > 0) throw this.error(`it needs ${missing.map((name) => this.#usage(name)).join(" and ")}`);
    this.rest = _ as string[];
    this.#values = given as Record<string, string[]>;
    this.#flags = given as Record<string, boolean>;
  }

  /** An error of these arguments, with where the help is. */
  error(words: string, options?: ErrorOptions): UsageError {
    const { action, name } = this.#command;
    return new UsageError(`Cannot ${action}: ${words}\n${name} --help says what it takes`, options);
  }

  #usage(name: V): string {
    return `--${name} ${this.#command.values![name]}`;
  }

  /** The option whose value an argument could have been, had it not begun with "-". */
  #before(arg: string): V | undefined {
    const before = this.#args[this.#args.indexOf(arg) - 1];
    return this.#names.find((name) => before === `--${name}`);
  }

  #unknownOption(arg: string, key: string): string {
    const known = [...this.#names, ...this.#command.flags ?? [], "help"], before = this.#before(arg);
    const [, name = key, value] = /^--?([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (known.includes(name)) {
      if (/^-[^-]/.test(arg)) return `"${arg}" is no option; options have two dashes: --${name}`;
      return `--${name} has no value${this.#names.includes(name as V) ? `; it is given as ${this.#usage(name as V)}` : ""}`;
    }
    const { others = {} } = this.#command, other = Object.keys(others).find((one) => one === name);
    if (other !== undefined) return `there is no option "${arg}"; did you mean ${others[other]}?`;
    const near = nearest(name, known);
    if (near !== undefined) return `there is no option "${arg}"; did you mean --${near}?`;
    const isSet = this.#names.includes("set" as V), path = isSet ? meantKey(name) : undefined;
    if (path !== undefined) {
      const next = this.#args[this.#args.indexOf(arg) + 1], own = value ?? (next?.startsWith("-") ? undefined : next) ?? "VALUE";
      return `there is no option "${arg}"; did you mean --set ${path}=${own}?`;
    }
    if (before !== undefined) return `--${before} has no value; one that begins with "-" is given as --${before}=${arg}`;
    return `there is no option "${arg}"`;
  }

  #unwanted(arg: string): string {
    const { values, rest, flags = [] } = this.#command, at = this.#args.indexOf(arg), set = this.#args[at - 1];
    if (rest && rest.most > 0) return `"${arg}" is one ${rest.name} too many`;
    const isSet = this.#names.includes("set" as V);
    if (isSet && this.#args[at - 2] === "--set" && !set!.includes("=")) {
      return `"${arg}" belongs to no option; --set takes one argument: --set ${set}=${arg}`;
    }
    if (isSet && /^[\w.]+=/.test(arg)) return `"${arg}" belongs to no option; did you mean --set ${arg}?`;
    if (["help", ...this.#names, ...flags].includes(arg)) return `"${arg}" belongs to no option; did you mean --${arg}?`;
    const asked = this.#names.find((name) => this.#args[at - 2] === `--${name}`);
    if (asked && values![asked] === "TEXT") {
      return `"${arg}" belongs to no option; a text of several words stands in quotes: --${asked} "${set} ${arg} ..."`;
    }
    if (isSet && isDataFile(arg)) return `"${arg}" belongs to no option; did you mean --set data.task=files --set data.trainFiles=${arg}?`;
    if (isSet && placeFault(arg, "model") === undefined) return `"${arg}" belongs to no option; did you mean --set model.path=${arg}?`;
    const kind = placeFault(arg, "file") === undefined ? "FILE" : placeFault(arg, "folder") === undefined ? "DIR" : undefined;
    const open = (name: V) => !this.#args.some((other) => other === `--${name}` || other.startsWith(`--${name}=`));
    const option = kind && this.#names.find((name) => values![name].split("|").includes(kind) && open(name));
    return `"${arg}" belongs to no option${option ? `; did you mean --${option} ${arg}?` : ""}`;
  }

  /** Whether a flag is on. */
  flag(name: F): boolean {
    return this.#flags[name] === true;
  }

  /** An option's value; undefined where it is not given, "" where it stands bare. */
  text(name: V): string | undefined {
    return this.#values[name]?.at(-1);
  }

  /** The values of an option that may be given again. */
  all(name: V): readonly string[] {
    return this.#values[name] ?? [];
  }

  /** The value of an option that must be given. */
  needed(name: V): string {
    return this.text(name)!;
  }

  /** A number in [min, max]; a whole one with `whole`. @throws {UsageError} for another. */
  number(name: V, { min = 0, max = Infinity, whole = true }: { min?: number; max?: number; whole?: boolean } = {}): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : this.#number(name, text, { min, max, whole });
  }

  /** Whole numbers of 1 or more, between commas. */
  counts(name: V): number[] {
    return this.list(name).map((text) => this.#number(name, text, { min: 1, max: Infinity, whole: true }));
  }

  /** Texts between commas; none where the option is not given. */
  list(name: V): string[] {
    return this.text(name)?.split(",").map((text) => text.trim()) ?? [];
  }

  /** One of a few words. @throws {UsageError} for another. */
  choice<T extends string>(name: V, all: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text !== undefined) this.#among(name, text, all);
    return text as T | undefined;
  }

  /** Some of a few words, between commas; none where the option is not given. @throws {UsageError} for another. */
  choices<T extends string>(name: V, all: readonly T[]): T[] {
    const texts = this.list(name);
    for (const text of texts) this.#among(name, text, all);
    return texts as T[];
  }

  #among(name: V, text: string, all: readonly string[]): void {
    if (all.includes(text)) return;
    const near = nearest(text, all);
    throw this.error(`--${name} is "${text}", and not one of ${all.join(", ")}${near === undefined ? "" : `; did you mean ${near}?`}`);
  }

  /** The name of a device. @throws {UsageError} for another. */
  device(name: V): string | undefined {
    const text = this.text(name);
    if (text === undefined || /^(auto|cpu|cuda(:\d+)?)$/.test(text)) return text;
    throw this.error(`--${name} is "${text}", and not auto, cpu, cuda or cuda:N`);
  }

  /** Works out what an option's value means. @throws {UsageError} for its RangeError, which says what is wrong with the value. */
  async taken<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new UsageError(`${cause.message}\n${this.#command.name} --help says what it takes`, { cause });
    }
  }

  /** A path that must be what it is to be. @throws {UsageError} that says what it is instead. */
  path(name: V, place: Place): string | undefined {
    const path = this.text(name), fault = path === undefined ? undefined : placeFault(path, place);
    if (fault !== undefined) throw this.error(`--${name} ${path}: ${fault}`);
    return path;
  }

  #number(name: V, text: string, { min, max, whole }: { min: number; max: number; whole: boolean }): number {
    const value = text.trim() === "" ? NaN : Number(text);
    if (value >= min && value <= max && (whole ? Number.isSafeInteger(value) : Number.isFinite(value))) return value;
    const range = max === Infinity ? `of ${min} or more` : `from ${min} to ${max}`;
    throw this.error(`--${name} is "${text}", and not ${whole ? "a whole number" : "a number"} ${range}`);
  }
}

/** Whether an error's words were written for who runs the command: Kedge's own, and the system's. */
function isTold(error: Error): boolean {
  return error instanceof KedgeError || /^Cannot [^:]+: /.test(error.message) ||
    Object.values(Deno.errors).some((kind) => error instanceof kind);
}

/** What a command's error says on the terminal, and the code that it ends with. An error that nobody foresaw keeps its trace. */
export function endOf(error: unknown): { code: 1 | 2; words: string } {
  if (error instanceof UsageError) return { code: 2, words: error.message };
  if (error instanceof Error && isTold(error)) return { code: 1, words: error.message };
  const trace = error instanceof Error ? error.stack ?? error.message : String(error);
  return { code: 1, words: `This is a fault of Kedge's own; please report it with these lines:\n${trace}` };
}

/** Runs a command as the process: its errors as words, its code as the exit code. */
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

/** The arguments of a program that is all command: help and mistakes, those that `check` finds among them, end it here. */
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
