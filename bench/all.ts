/**
 * `deno task bench` runs the benchmarks that measure ratios, one after the other, each in a separate process.
 *
 * @module
 */
import { runCommand } from "../cli/command.ts";
import { flagsOf, KERNELS } from "../cli/permissions.ts";
import { nearest } from "../actors/config/nearest.ts";
import { benchLine } from "./options.ts";

const NAMES = ["gemm", "attention", "adamw", "partition", "atrl"] as const;

/** Runs the command. @returns The exit code of the first benchmark that fails, or 0. */
async function bench(): Promise<number> {
  const line = benchLine({
    name: "deno task bench",
    does:
      "Ratios: GEMM, shared prefixes, AdamW and an empty call, partitions, AT-RL's share of a step. deno run bench/NAME.ts --help lists the options of one.",
    rest: { name: "NAME", most: NAMES.length, words: `${NAMES.join(" | ")} (default: all, which takes minutes)` },
  });
  const strange = line.rest.find((name) => !(NAMES as readonly string[]).includes(name));
  if (strange !== undefined) {
    const near = nearest(strange, NAMES);
    throw line.error(
      `"${strange}" is not a benchmark; the benchmarks are ${NAMES.join(", ")}${near === undefined ? "" : `; did you mean ${near}?`}`,
    );
  }
  for (const name of line.rest.length > 0 ? line.rest : NAMES) {
    const args = ["run", "--quiet", "--no-prompt", ...flagsOf(KERNELS), new URL(`./${name}.ts`, import.meta.url).href];
    // deno-lint-ignore no-await-in-loop -- they take turns, or they would measure each other
    const { code } = await new Deno.Command("deno", { args, stdin: "null" }).spawn().status;
    if (code !== 0) return code;
  }
  return 0;
}

if (import.meta.main) await runCommand(bench);
