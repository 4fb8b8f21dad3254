// deno-lint-ignore-file no-console -- a command
/**
 * `deno task build` compiles the kernels before their first use.
 *
 * @module
 */
import { buildLibrary, findCompiler } from "../ffi/build.ts";
import { cpuBuild } from "../ffi/cpu_library.ts";
import { cudaBuild } from "../ffi/cuda_library.ts";
import { CommandLine, runCommand } from "./command.ts";

const HELP = `Compiles the kernels for this machine.

usage: deno task build [options]
  --cpu         compiles only the CPU library
  --cuda        also compiles the CUDA library, even without a GPU; fails if nvcc is missing (default: compiles it if nvcc is there)
  --cache DIR   where to put the libraries (default: .cache in this folder)
`;

/** Runs the command. @returns The exit code. */
export function build(args: readonly string[]): number {
  const line = new CommandLine(args, {
    name: "deno task build",
    action: "build",
    help: HELP,
    values: { cache: "DIR" },
    flags: ["cpu", "cuda"],
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  if (line.flag("cpu") && line.flag("cuda")) throw line.error("--cpu excludes --cuda; give one of them, or none");
  const cache = line.path("cache", "filled folder"), where = cache === undefined ? {} : { cache };
  console.log(buildLibrary(cpuBuild(), where));
  if (line.flag("cpu")) return 0;
  const nvcc = findCompiler(cudaBuild());
  if ("missing" in nvcc && !line.flag("cuda")) console.log(`CUDA kernels: skipped, ${nvcc.missing}`);
  else console.log(buildLibrary(cudaBuild(), where));
  return 0;
}

if (import.meta.main) await runCommand(build);
