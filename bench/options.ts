/**
 * What the benches do with their arguments: as the commands do, with a help that is made of their options.
 *
 * @module
 */
import { type CommandLine, programLine } from "../cli/command.ts";

/** A bench's arguments. */
export interface BenchOptions<V extends string, F extends string> {
  /** How it is called, as "deno task bench:step". */
  readonly name: string;
  /** A sentence. */
  readonly does: string;
  /** Options with a value: what stands for it (N, FILE and DIR are checked), what it is, and, where there are few, the values there are. */
  readonly values?: Readonly<Record<V, readonly [value: string, words: string, all?: readonly string[]]>>;
  /** Options without a value: what they do. */
  readonly flags?: Readonly<Record<F, string>>;
  /** What arguments that are no options are, and what they do. */
  readonly rest?: { readonly name: string; readonly most: number; readonly words: string };
}

/** Reads a bench's arguments. Help and mistakes end the process. */
export function benchLine<V extends string = never, F extends string = never>(given: BenchOptions<V, F>): CommandLine<V, F> {
  const { name, does, rest } = given,
    values = Object.entries<readonly [string, string, (readonly string[])?]>(given.values ?? {}),
    flags = Object.entries<string>(given.flags ?? {});
  const rows = [
    ...rest ? [[rest.name, rest.words]] : [],
    ...values.map(([option, [value, words]]) => [`--${option} ${value}`, words]),
    ...flags.map(([flag, words]) => [`--${flag}`, words]),
  ] as [string, string][];
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  const help = `${does}\n\nusage: ${name}${rest ? ` [${rest.name} ...]` : ""}${values.length + flags.length > 0 ? " [options]" : ""}\n${
    rows.map(([left, words]) => `  ${left.padEnd(width)}  ${words}\n`).join("")
  }`;
  return programLine<V, F>({
    name,
    action: "run the bench",
    help,
    values: Object.fromEntries(values.map(([option, [value]]) => [option, value])) as Record<V, string>,
    flags: flags.map(([flag]) => flag as F),
    ...(rest && { rest }),
  }, (line) => {
    for (const [option, [value, , all]] of values) {
      if (value === "N") line.number(option as V, { min: option === "seed" ? 0 : 1 });
      else if (value === "FILE" || value === "DIR") line.path(option as V, value === "FILE" ? "file" : "folder");
      else if (option === "device") line.device(option as V);
      else if (all) line.choice(option as V, all);
    }
  });
}
