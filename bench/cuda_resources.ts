/**
 * Lists what each CUDA kernel uses of a multiprocessor, by architecture, as ptxas reports it: registers per thread, static shared memory
 * per block, stack and spills. It needs nvcc, but no GPU. It fails for any warning and for any spill, whatever the kernel's name.
 *
 *   deno run --allow-read --allow-write=/tmp --allow-env=PATH,CUDA_HOME,CUDA_PATH --allow-run=nvcc,/usr/local/cuda/bin/nvcc,c++filt \
 *     bench/cuda_resources.ts [--jobs=2] [--spills] [rmsnorm gemm ...]
 *
 * FILE arguments select files of kernels/cuda. --spills prints only kernels that spill. Dynamic shared memory is chosen at launch and not
 * shown.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compilerEnvironment, findCompiler } from "../ffi/build.ts";
import { cudaBuild } from "../ffi/cuda_library.ts";
import { runCommand } from "../cli/command.ts";
import { benchLine } from "./options.ts";
import { Report } from "./report.ts";

/** The resources of one kernel on one architecture, as ptxas reports them. */
export interface Resources {
  /** The symbol that the linker knows. */
  readonly symbol: string;
  /** The architecture, such as "sm_90a". */
  readonly architecture: string;
  readonly registers: number;
  /** Bytes of static shared memory. */
  readonly shared: number;
  /** Bytes of local memory: spills, and arrays with indices that are computed at run time. */
  readonly stack: number;
  /** Bytes that are stored and loaded because registers ran out. */
  readonly spills: number;
}

/** Reads the output of `nvcc -Xptxas=-v`. */
export function parseResources(output: string): { kernels: Resources[]; warnings: string[] } {
  const kernels: Resources[] = [];
  let symbol = "", architecture = "", stack = 0, spills = 0;
  for (const line of output.split("\n")) {
    const entry = /Compiling entry function '([^']+)' for '([^']+)'/.exec(line);
    if (entry) [symbol, architecture, stack, spills] = [entry[1]!, entry[2]!, 0, 0];
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (frame) [stack, spills] = [Number(frame[1]), Number(frame[2]) + Number(frame[3])];
    const used = /Used (\d+) registers/.exec(line);
    if (!used || !symbol) continue;
    kernels.push({
      symbol,
      architecture,
      registers: Number(used[1]),
      shared: Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0),
      stack,
      spills,
    });
    symbol = "";
  }
  const warnings = output.split("\n").filter((line) => /warning|potential performance loss/i.test(line)).map((line) => line.trim());
  return { kernels, warnings };
}

/**
 * Lists what makes the command fail: the compiler's warnings, and every kernel that stores registers in memory. No kernel is excepted.
 * @param names Readable names by symbol; a symbol without one stands for itself.
 */
export function faultsOf(unit: string, output: string, names: ReadonlyMap<string, string> = new Map()): string[] {
  const { kernels, warnings } = parseResources(output);
  return [
    ...warnings.map((warning) => `${unit}: ${warning}`),
    ...kernels.filter(({ spills }) => spills > 0).map(({ symbol, spills, architecture }) =>
      `${unit}: ${names.get(symbol) ?? symbol} spills ${spills} bytes on ${architecture}`
    ),
  ];
}

/** Returns a readable name of a kernel, without namespaces, parameters and the hash of an anonymous namespace. */
export function shortName(demangled: string): string {
  let name = demangled.replaceAll(/\(anonymous namespace\)::|_GLOBAL__N__\w+::|\bkedge::|std::/g, "").replace(/^void /, "");
  let depth = 0;
  for (let i = 0; i < name.length; i++) {
    if (name[i] === "<") depth++;
    if (name[i] === ">") depth--;
    if (name[i] === "(" && depth === 0) name = name.slice(0, i);
  }
  name = name.replaceAll("__nv_bfloat16", "bf16").replaceAll(/\((?:int|bool|unsigned int|Rounding|AdamW)\)/g, "");
  return name.replaceAll(/ +>/g, ">").trim();
}

const decoder = new TextDecoder();

/** Demangles symbols. Without c++filt, the names are the symbols themselves. */
async function demangle(symbols: readonly string[]): Promise<Map<string, string>> {
  const same = new Map(symbols.map((symbol) => [symbol, symbol]));
  try {
    const command = new Deno.Command("c++filt", { stdin: "piped", stdout: "piped", clearEnv: true, env: compilerEnvironment("/tmp") });
    const child = command.spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(symbols.join("\n") + "\n"));
    await writer.close();
    const lines = decoder.decode((await child.output()).stdout).trim().split("\n");
    return lines.length === symbols.length ? new Map(symbols.map((symbol, i) => [symbol, shortName(lines[i]!)])) : same;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) return same;
    throw error;
  }
}

function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
}

/** Compiles the files, and returns nvcc's output for each. */
async function compile(command: string, flags: readonly string[], units: readonly string[], jobs: number): Promise<Map<string, string>> {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const temporary = Deno.makeTempDirSync({ dir: "/tmp", prefix: "kedge_resources_" });
  const outputs = new Map<string, string>(), pending = [...units];
  const work = async () => {
    for (let unit = pending.shift(); unit !== undefined; unit = pending.shift()) {
      const args = [...flags, "-Xptxas=-v", "-c", unit, "-o", join(temporary, unit.replaceAll("/", "_") + ".o")];
      const options: Deno.CommandOptions = { args, cwd: root, clearEnv: true, env: compilerEnvironment(temporary), stdin: "null" };
      // deno-lint-ignore no-await-in-loop -- one compiler at a time for each of `jobs` such loops
      const { success, stdout, stderr } = await new Deno.Command(command, options).output();
      const output = decoder.decode(stdout) + decoder.decode(stderr);
      if (!success) throw new Error(`Cannot compile ${unit}: ${output}`);
      outputs.set(unit, output);
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, work));
  } finally {
    Deno.removeSync(temporary, { recursive: true });
  }
  return outputs;
}

async function main(): Promise<number> {
  const line = benchLine({
    name: "deno task bench:cuda",
    does: "Lists the registers, shared memory and spills of each CUDA kernel, as ptxas reports them.",
    values: { jobs: ["N", "compilers at once (default 2)"] },
    flags: { spills: "prints only kernels that spill" },
    rest: { name: "FILE", most: Infinity, words: "files of kernels/cuda, such as gemm (default: all)" },
  });
  const build = cudaBuild();
  const compiler = findCompiler(build);
  if ("missing" in compiler) {
    say(`Cannot list the kernels' resources: ${compiler.missing}. ${build.advice}`);
    return 2;
  }
  const wanted = line.rest;
  const units = build.units.filter((unit) => wanted.length === 0 || wanted.some((name) => unit.endsWith(`/${name}.cu`)));
  if (units.length === 0) throw line.error(`no file of kernels/cuda is named ${wanted.join(" or ")}`);
  const outputs = await compile(compiler.command, build.compileFlags, units, line.number("jobs", { min: 1 }) ?? 2);

  const version = /release ([\d.]+)/.exec(compiler.identity)?.[1] ?? "unknown";
  const report = new Report("CUDA kernels", { nvcc: version });
  const failures: string[] = [];
  let count = 0;
  for (const unit of units) {
    const { kernels } = parseResources(outputs.get(unit)!);
    // deno-lint-ignore no-await-in-loop -- one short-lived process after another
    const names = await demangle([...new Set(kernels.map((kernel) => kernel.symbol))]);
    failures.push(...faultsOf(unit, outputs.get(unit)!, names));
    const rows = new Map<string, Record<string, string | number>>();
    for (const { symbol, architecture, registers, shared, stack, spills } of kernels) {
      count++;
      const name = names.get(symbol)!;
      if (line.flag("spills") && spills === 0) continue;
      const row = rows.get(name) ?? { file: unit.replace(/^.*\//, ""), kernel: name };
      rows.set(name, {
        ...row,
        [`${architecture} registers`]: registers,
        shared,
        [`${architecture} stack`]: stack,
        [`${architecture} spills`]: spills,
      });
    }
    for (const name of [...rows.keys()].sort()) report.row(rows.get(name)!);
  }
  report.print();
  say(`${count} kernels, counted by architecture, in ${units.length} files; ${failures.length} failures`);
  for (const failure of failures) say(`FAILED ${failure}`);
  return failures.length > 0 ? 1 : 0;
}

if (import.meta.main) await runCommand(main);
