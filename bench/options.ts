/**
 * Reads the arguments of benchmarks, like those of commands. The help is generated from the options.
 *
 * @module
 */
import { type CommandLine, programLine } from "../cli/command.ts";

/** The arguments of a benchmark. */
export interface BenchOptions<V extends string, F extends string> {
  /** The command as the user types it, such as "deno task bench:step". */
  readonly name: string;
  /** The purpose of the command, as a sentence. */
  readonly does: string;
  /** Options with a value: the placeholder (N, FILE and DIR are checked), a description, and the permitted values if there are few. */
  readonly values?: Readonly<Record<V, readonly [value: string, words: string, all?: readonly string[]]>>;
  /** The flags, with their descriptions. */
  readonly flags?: Readonly<Record<F, string>>;
  /** The placeholder and the description of positional arguments. */
  readonly rest?: { readonly name: string; readonly most: number; readonly words: string };
}

/** Reads the arguments of a benchmark. For the help and for mistakes the process ends here. */
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
    action: "run the benchmark",
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
