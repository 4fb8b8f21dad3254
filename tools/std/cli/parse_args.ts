/**
 * Stands in for `jsr:@std/cli/parse-args` where JSR's registry is out of reach, with the real one's behaviour (`tests/std_cli_test.ts` holds it to that). Types of
 * the result are looser: every value is `any`. Dropping `links` from deno.json uses the real package.
 *
 * @module
 */

/** What to expect on the command line. */
export interface ParseOptions {
  /** Whether what follows "--" goes to a list of its own, under the name "--", and not to `_`. */
  "--"?: boolean;
  /** Other names by option. */
  alias?: Readonly<Record<string, string | readonly string[]>>;
  /** Flags, which take no value but "true" or "false"; true: every `--name` without "=". */
  boolean?: string | readonly string[] | boolean;
  /** Values of what is not given. */
  default?: Readonly<Record<string, unknown>>;
  /** Whether nothing is an option from the first argument on that is none. */
  stopEarly?: boolean;
  /** Options whose value stays text; "_": of the rest too. */
  string?: string | readonly string[];
  /** Options that may be given several times. */
  collect?: string | readonly string[];
  /** Options that `--no-NAME` sets to false. */
  negatable?: string | readonly string[];
  /** Called for an option that is no flag, no text and no alias, and for an argument that is no option, which has no key; false leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** What was on the command line: options by name, a dotted name as nested objects; the rest in `_`. */
// deno-lint-ignore no-explicit-any
export type Args = Record<string, any> & { _: (string | number)[]; "--"?: string[] };

interface Nested {
  [key: string]: unknown;
}

const listed = (names: string | readonly string[] | boolean | undefined): string[] =>
  [names].flat().filter((name): name is string => typeof name === "string" && name !== "");
const isNumeric = (text: string) => text.trim() !== "" && Number.isFinite(Number(text));
const isTruth = (text: string) => text === "true" || text === "false";

/** The object that holds a dotted name's last part, which comes with it; those on the way are made. */
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

/** The command line as it is read. */
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

  /** Whether an option takes the argument after it. */
  takesNext(name: string): boolean {
    return !this.flags.has(name);
  }

  /** The value of an option that has none. */
  bare(name: string): string | boolean {
    return this.texts.has(name) ? "" : true;
  }

  /** Stores an option's value, unless it is unknown and unwanted. */
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

  /** Stores an argument that is no option. */
  rest(arg: string): void {
    if (this.#options.unknown?.(arg) === false) return;
    this.result._.push(!this.texts.has("_") && isNumeric(arg) ? Number(arg) : arg);
  }

  /** Fills in what was not given. */
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

/** Reads `--name`, `--name=value`, `--no-name`. @returns Whether the next argument belongs to it. */
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

/** Reads `-a`, `-abc`, `-n5`, `-n=5`, `-a/b`. @returns Whether the next argument belongs to it. */
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

/** Parses arguments: options by name, the rest in `_`. What follows "--" is no option. */
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
