// deno-lint-ignore-file no-console -- a command
/**
 * `deno task build`: compiles the kernels ahead of their first use.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { buildLibrary, findCompiler } from "../ffi/build.ts";
import { cpuBuild } from "../ffi/cpu_library.ts";
import { cudaBuild } from "../ffi/cuda_library.ts";

const HELP = `Compiles the kernels for this machine.

usage: deno task build [options]
  --cpu         the CPU library only
  --cuda        the CUDA library too, without a GPU as well; an error where nvcc is missing (default: where nvcc is there)
  --cache DIR   where to put them (default: .cache in this folder)
`;

/** Runs the command. @returns The exit code. */
export function build(args: readonly string[]): number {
  const options = parseArgs([...args], {
    boolean: ["cpu", "cuda", "help"],
    string: ["cache"],
    unknown: (arg) => {
      throw new TypeError(`Cannot build: "${arg}" is no option\n\n${HELP}`);
    },
  });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const where = options.cache ? { cache: options.cache as string } : {};
  console.log(buildLibrary(cpuBuild(), where));
  if (options.cpu) return 0;
  const nvcc = findCompiler(cudaBuild());
  if ("missing" in nvcc && !options.cuda) console.log(`CUDA kernels: skipped, ${nvcc.missing}`);
  else console.log(buildLibrary(cudaBuild(), where));
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exit(build(Deno.args));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
