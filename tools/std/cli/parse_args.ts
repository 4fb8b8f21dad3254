/**
 * Stands in for `jsr:@std/cli/parse-args` where JSR's registry is out of reach: the options that Kedge's commands use, with the real one's meaning.
 * Dropping `links` from deno.json uses the real package.
 *
 * @module
 */

/** What to expect on the command line. */
export interface ParseOptions {
  /** Flags that take no value. */
  boolean?: readonly string[];
  /** Options whose value is always text. */
  string?: readonly string[];
  /** Options that may be given several times. */
  collect?: readonly string[];
  /** Values of what is not given. */
  default?: Readonly<Record<string, unknown>>;
  /** Other names by option. */
  alias?: Readonly<Record<string, string | readonly string[]>>;
  /** Flags that `--no-NAME` turns off; true for all of them. */
  negatable?: readonly string[] | boolean;
  /** Called for an option that none of the lists names; false leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Parses arguments: options by name, the rest in `_`. */
// deno-lint-ignore no-explicit-any
export function parseArgs(args: readonly string[], options: ParseOptions = {}): Record<string, any> & { _: (string | number)[] } {
  const alias = new Map<string, string>();
  for (const [name, others] of Object.entries(options.alias ?? {})) {
    for (const other of [others].flat()) alias.set(other as string, name);
  }
  const booleans = new Set(options.boolean), strings = new Set(options.string), collect = new Set(options.collect);
  // deno-lint-ignore no-explicit-any
  const result: Record<string, any> & { _: (string | number)[] } = { _: [] };
  for (const name of booleans) result[name] = false;
  for (const name of collect) result[name] = [];
  Object.assign(result, options.default);
  const known = (name: string) => booleans.has(name) || strings.has(name) || collect.has(name) || name in (options.default ?? {});
  const set = (name: string, value: unknown, arg: string) => {
    if (!known(name) && options.unknown?.(arg, name, value) === false) return;
    if (collect.has(name)) (result[name] as unknown[]).push(value);
    else result[name] = value;
  };
  const numeric = (text: string) => text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      result._.push(...args.slice(i + 1));
      break;
    }
    const match = /^(--?)([^-=][^=]*)(?:=([\s\S]*))?$/.exec(arg);
    if (!match || /^-\d/.test(arg)) {
      if (options.unknown && arg.startsWith("-") && arg !== "-" && options.unknown(arg) === false) continue;
      result._.push(numeric(arg));
      continue;
    }
    let name = alias.get(match[2]!) ?? match[2]!;
    const inline = match[3];
    const positive = name.replace(/^no-/, "");
    if (
      name.startsWith("no-") && (options.negatable === true || (Array.isArray(options.negatable) && options.negatable.includes(positive)))
    ) {
      name = alias.get(positive) ?? positive;
      set(name, false, arg);
    } else if (booleans.has(name)) {
      set(name, inline === undefined ? true : inline !== "false", arg);
    } else {
      const next = args[i + 1];
      let value: unknown = inline;
      if (value === undefined && next !== undefined && (!next.startsWith("-") || /^-\d/.test(next))) {
        value = next;
        i++;
      }
      if (strings.has(name) || collect.has(name)) set(name, value ?? "", arg);
      else set(name, value === undefined ? true : numeric(value as string), arg);
    }
  }
  return result;
}
