/**
 * Replaces `jsr:@std/cli/parse-args` where JSR's registry cannot be reached, with the same behaviour (`tests/std_cli_test.ts` checks that).
 * The types of the result are less precise: every value is `any`. To use the real package, remove `links` from deno.json.
 *
 * @module
 */

/** The options to expect on the command line. */
export interface ParseOptions {
  /** Whether the arguments after "--" go to a list under the name "--" and not to `_`. */
  "--"?: boolean;
  /** The other names of each option. */
  alias?: Readonly<Record<string, string | readonly string[]>>;
  /** The flags, which accept no value except "true" or "false". With true, every `--name` without "=" is a flag. */
  boolean?: string | readonly string[] | boolean;
  /** The values of options that are absent. */
  default?: Readonly<Record<string, unknown>>;
  /** Whether all arguments after the first positional one are positional. */
  stopEarly?: boolean;
  /** Options whose value stays text. "_" does the same for positional arguments. */
  string?: string | readonly string[];
  /** Options that may be repeated. */
  collect?: string | readonly string[];
  /** Options that `--no-NAME` sets to false. */
  negatable?: string | readonly string[];
  /**
   * Is called for an option that is not declared as flag, text or alias, and for a positional argument, which has no key. If it returns
   * false, the argument is omitted.
   */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The parsed command line: options by name, where dotted names become nested objects, and positional arguments in `_`. */
// deno-lint-ignore no-explicit-any
export type Args = Record<string, any> & { _: (string | number)[]; "--"?: string[] };

interface Nested {
  [key: string]: unknown;
}

const listed = (names: string | readonly string[] | boolean | undefined): string[] =>
  [names].flat().filter((name): name is string => typeof name === "string" && name !== "");
const isNumeric = (text: string) => text.trim() !== "" && Number.isFinite(Number(text));
const isTruth = (text: string) => text === "true" || text === "false";

/** Returns the object that holds the last part of a dotted name, and that part. Objects on the way are created. */
function place(root: Nested, name: string): [holder: Nested, last: string] {
  const keys = name.split("."), last = keys.pop()!;
  let at = root;
  for (const key of keys) at = (Object.hasOwn(at, key) ? at[key] ?? (at[key] = {}) : (at[key] = {})) as Nested;
  return [at, last];
}

function isGiven(root: Nested, name: string): boolean {
  let at: unknown = root;
  for (const key of name.split(".")) {
    if (at === null || at === undefined || !Object.hasOwn(at as object, key)) return false;
    at = (at as Nested)[key];
  }
  return true;
}

/** The state of parsing. */
class Reading {
  readonly result: Args = { _: [] };
  readonly #options: ParseOptions;
  readonly #others = new Map<string, readonly string[]>();
  readonly flags: ReadonlySet<string>;
  readonly texts: ReadonlySet<string>;
  readonly lists: ReadonlySet<string>;
  readonly negatable: ReadonlySet<string>;

  constructor(options: ParseOptions) {
    this.#options = options;
    for (const [name, given] of Object.entries(options.alias ?? {})) {
      if (given === undefined) throw new TypeError("Alias value must be defined");
      const group = [name, ...[given].flat() as string[]];
      for (const one of group) this.#others.set(one, group.filter((other) => other !== one));
    }
    const set = (names: ParseOptions["boolean"]) => new Set(listed(names).flatMap((name) => [name, ...this.#others.get(name) ?? []]));
    this.flags = set(options.boolean);
    this.texts = set(options.string);
    this.lists = set(options.collect);
    this.negatable = set(options.negatable);
  }

  /** Whether every `--name` is a flag. */
  get allFlags(): boolean {
    return this.#options.boolean === true;
  }

  /** Tells whether an option takes the next argument as its value. */
  takesNext(name: string): boolean {
    return !this.flags.has(name);
  }

  /** Returns the value of an option without a value. */
  bare(name: string): string | boolean {
    return this.texts.has(name) ? "" : true;
  }

  /** Stores an option's value, unless the option is unknown and rejected. */
  set(name: string, given: string | boolean, arg: string, collects = true): void {
    const isKnown = this.flags.has(name) || this.texts.has(name) || this.#others.has(name) || (this.allFlags && /^--[^=]+$/.test(arg));
    if (!isKnown && this.#options.unknown?.(arg, name, given) === false) return;
    const value = typeof given === "string" && !this.texts.has(name) && isNumeric(given) ? Number(given) : given;
    for (const one of [name, ...this.#others.get(name) ?? []]) {
      const [holder, last] = place(this.result, one), before = Object.hasOwn(holder, last) ? holder[last] : undefined;
      if (!collects || !this.lists.has(name)) holder[last] = value;
      else if (Array.isArray(before)) before.push(value);
      else holder[last] = before ? [before, value] : [value];
    }
  }

  /** Stores a positional argument. */
  rest(arg: string): void {
    if (this.#options.unknown?.(arg) === false) return;
    this.result._.push(!this.texts.has("_") && isNumeric(arg) ? Number(arg) : arg);
  }

  /** Fills in the default values. */
  end(): void {
    const fill = (name: string, value: unknown) => {
      const [holder, last] = place(this.result, name);
      holder[last] = value;
    };
    for (const [name, value] of Object.entries(this.#options.default ?? {})) {
      if (!isGiven(this.result, name)) { for (const one of [name, ...this.#others.get(name) ?? []]) fill(one, value); }
    }
    for (const name of this.flags) if (!isGiven(this.result, name)) fill(name, this.lists.has(name) ? [] : false);
    for (const name of this.texts) if (this.lists.has(name) && !isGiven(this.result, name)) fill(name, []);
  }
}

/** Reads `--name`, `--name=value` or `--no-name`. @returns Whether the next argument belongs to it. */
function readLong(reading: Reading, arg: string, next: string | undefined): boolean {
  const { negated, key, value } = /^--(?<negated>no-)?(?<key>.+?)(?:=(?<value>.+))?$/s.exec(arg)!.groups as Record<string, string>;
  if (value !== undefined) {
    reading.set(key!, reading.flags.has(key!) ? value !== "false" : value, arg);
    return false;
  }
  if (negated && reading.negatable.has(key!)) {
    reading.set(key!, false, arg, false);
    return false;
  }
  const name = `${negated ?? ""}${key}`;
  if (next && reading.takesNext(name) && !reading.allFlags && !next.startsWith("-")) {
    reading.set(name, next, arg);
    return true;
  }
  if (next && isTruth(next)) {
    reading.set(name, next === "true", arg);
    return true;
  }
  reading.set(name, reading.bare(name), arg);
  return false;
}

/** Reads `-a`, `-abc`, `-n5`, `-n=5` or `-a/b`. @returns Whether the next argument belongs to it. */
function readShort(reading: Reading, arg: string, next: string | undefined): boolean {
  const last = arg.at(-1)!;
  for (let i = 1; i < arg.length - 1; i++) {
    const letter = arg[i]!, after = arg.slice(i + 1);
    if (after === "-") {
      reading.set(letter, after, arg);
      continue;
    }
    const value = /[A-Za-z]/.test(letter)
      ? /=(.+)/.exec(after)?.[1] ?? (/\d+(\.\d*)?(e-?\d+)?$/.test(after) ? after : undefined)
      : undefined;
    if (value !== undefined || (i < arg.length - 2 && /\W/.test(after[0]!))) {
      reading.set(letter, value ?? after, arg);
      return false;
    }
    reading.set(letter, reading.bare(letter), arg);
  }
  if (last === "-") return false;
  if (next && reading.takesNext(last) && !/^--?[^-]/.test(next)) {
    reading.set(last, next, arg);
    return true;
  }
  if (next && isTruth(next)) {
    reading.set(last, next === "true", arg);
    return true;
  }
  reading.set(last, reading.bare(last), arg);
  return false;
}

/** Parses arguments: options by name, positional ones in `_`. Arguments after "--" are positional. */
export function parseArgs(args: string[], options: ParseOptions = {}): Args {
  const reading = new Reading(options), { result } = reading;
  const end = args.includes("--") ? args.indexOf("--") : args.length, after = args.slice(end + 1);
  for (let i = 0; i < end; i++) {
    const arg = args[i]!, next = i + 1 < end ? args[i + 1] : undefined;
    if (arg.startsWith("--")) i += Number(readLong(reading, arg, next));
    else if (arg.startsWith("-") && arg !== "-") i += Number(readShort(reading, arg, next));
    else {
      reading.rest(arg);
      if (!options.stopEarly) continue;
      result._.push(...args.slice(i + 1, end));
      break;
    }
  }
  reading.end();
  if (options["--"]) result["--"] = after;
  else result._.push(...after);
  return result;
}
