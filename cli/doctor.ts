/**
 * `deno task doctor` shows what Kedge finds on this machine, what is missing, and how to get it. The exit code is 0 if the CPU device
 * works, or with `--gpu` if a CUDA device works.
 *
 * @module
 */
import { cacheFolder, compilerEnvironment, findCompiler } from "../ffi/build.ts";
import { openCblas } from "../ffi/cblas.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { cpuBuild } from "../ffi/cpu_library.ts";
import { Cublas } from "../ffi/cublas.ts";
import { CudaDevice } from "../ffi/cuda_device.ts";
import { cudaBuild } from "../ffi/cuda_library.ts";
import { Cudart, versionText } from "../ffi/cudart.ts";
import type { Device } from "../ffi/device.ts";
import { CommandLine, runCommand } from "./command.ts";
import { bugReport } from "./doctor/bug_report.ts";
import { diagnoseRanks } from "./doctor/ranks.ts";
import type { Diagnosis } from "./doctor/diagnosis.ts";

const HELP = `Shows the devices, libraries and compilers that Kedge finds on this machine, what is missing, and how to get it.

usage: deno task doctor [options]
  --gpu           fails if no CUDA device works (default: fails if the CPU device does not work)
  --report [RUN]  prints a text in Markdown to paste into a bug report; RUN is the directory of a run, whose configuration
                  and last lines it then has. What looks like a secret is left out; read it before you post it
`;

const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const words = (error: unknown) => error instanceof Error ? error.message : `${error}`;

/** Returns the line of a program's output that names its version, or undefined if the program cannot be run. */
function versionLine(command: string, options: { args: string[]; line?: RegExp }): string | undefined {
  if (Deno.permissions.querySync({ name: "run", command }).state !== "granted") return undefined;
  try {
    const { stdout } = new Deno.Command(command, { args: options.args, clearEnv: true, env: compilerEnvironment("/tmp"), stderr: "null" })
      .outputSync();
    const lines = new TextDecoder().decode(stdout).split("\n");
    return lines.find((line) => options.line?.test(line) ?? line !== "");
  } catch {
    return undefined;
  }
}

function folderBytes(folder: string): number {
  let bytes = 0;
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    bytes += entry.isDirectory ? folderBytes(path) : Deno.statSync(path).size;
  }
  return bytes;
}

/** Tells whether a device computes a sum correctly. */
function addsUp(device: Device): boolean {
  const x = device.alloc(64);
  try {
    device.ops.fill(0, x, 16, 1.5);
    device.ops.add(0, x, x, x, 16);
    const out = new Float32Array(16);
    device.read(out, x);
    return out.every((value) => value === 3);
  } finally {
    device.free(x);
  }
}

/** Examines the machine. It builds the kernels that the machine can use. */
export function diagnose(): Diagnosis {
  const found: [string, string][] = [["Deno", `${Deno.version.deno}, ${Deno.build.os} ${Deno.build.arch}`]];
  const missing: string[] = [];
  const attempt = (label: string, check: () => void) => {
    try {
      check();
    } catch (error) {
      found.push([label, "fails"]);
      missing.push(`${label}: ${words(error)}`);
    }
  };
  let works = false;

  attempt("cache", () => {
    const folder = cacheFolder();
    found.push(["cache", `${folder} (${(folderBytes(folder) / 2 ** 20).toFixed(1)} MiB)`]);
  });
  const build = cpuBuild(), compiler = findCompiler(build);
  if ("missing" in compiler) {
    found.push(["C++ compiler", "none"]);
    missing.push(`C++ compiler, for the CPU kernels: ${compiler.missing}. ${build.advice}`);
  } else {
    found.push(["C++ compiler", `${compiler.command}: ${versionLine(compiler.command, { args: ["--version"] }) ?? "version unknown"}`]);
    attempt("CPU", () => {
      using device = CpuDevice.open();
      works = addsUp(device);
      if (!works) throw new Error("the kernels give a wrong sum");
      const { used, budget } = device.memory();
      found.push(["CPU", device.description], ["CPU kernels", device.library], [
        "CPU memory",
        `${gigabytes(used)} of a budget of ${gigabytes(budget)} used`,
      ]);
      const system = openCblas("system"), { name, path } = device.blas;
      const other = system && system.name !== name ? `; ${system.name} is also installed (${system.path}), for blas: "system"` : "";
      found.push(["BLAS", `${name} (${path})${other}`]);
    });
  }
  const gpus = diagnoseCuda({ found, missing, attempt });
  const ffmpeg = versionLine("ffmpeg", { args: ["-version"] });
  found.push(["ffmpeg", ffmpeg ?? "none"]);
  if (!ffmpeg) missing.push('ffmpeg, for training on videos: "apt-get install ffmpeg"');
  return { found, missing, works, gpus };
}

interface Findings {
  found: [string, string][];
  missing: string[];
  attempt: (label: string, check: () => void) => void;
}

/** @returns The number of CUDA devices that work. */
function diagnoseCuda({ found, missing, attempt }: Findings): number {
  const cudart = Cudart.find();
  if (!cudart) {
    found.push(["CUDA", "no libcudart"]);
    missing.push(
      "CUDA, for NVIDIA GPUs: no libcudart.so.13 or .12 in the loader's path, CUDA_HOME, /usr/local/cuda or a Python wheel. Install the CUDA toolkit",
    );
    return 0;
  }
  const driver = cudart.driverVersion ? `driver for CUDA ${versionText(cudart.driverVersion)}` : "no driver";
  found.push(["CUDA", `runtime ${versionText(cudart.runtimeVersion)} (${cudart.path}), ${driver}`]);
  const cublas = Cublas.find(Math.floor(cudart.runtimeVersion / 1000));
  found.push(["cuBLAS", cublas ? `${cublas.version} (${cublas.path})` : "none"]);
  const nvcc = findCompiler(cudaBuild());
  const version = "missing" in nvcc ? undefined : nvcc.identity.split("\n").find((line) => /release/.test(line)) ?? "version unknown";
  found.push(["nvcc", "missing" in nvcc ? "none" : `${nvcc.command}: ${version}`]);
  if (cudart.deviceCount === 0) {
    found.push(["GPU", `none: ${cudart.noDevice}`]);
    return 0;
  }
  if (!cublas) missing.push('cuBLAS, for fast products on the GPU (the built-in GEMM is used instead): "apt-get install libcublas-13-0"');
  if ("missing" in nvcc) missing.push(`nvcc, for the CUDA kernels: ${nvcc.missing}. ${cudaBuild().advice}`);
  let gpus = 0;
  for (let ordinal = 0; ordinal < cudart.deviceCount; ordinal++) {
    attempt(`cuda:${ordinal}`, () => {
      using device = CudaDevice.open({ ordinal });
      if (!addsUp(device)) throw new Error("the kernels give a wrong sum");
      const { free, budget } = device.memory();
      found.push(["GPU", device.description], ["GPU kernels", device.library], [
        "GPU memory",
        `${gigabytes(free)} of ${gigabytes(budget)} free`,
      ]);
      gpus++;
    });
  }
  return gpus;
}

/** Formats a diagnosis as text. */
export function report({ found, missing, works }: Diagnosis): string {
  const width = Math.max(...found.map(([label]) => label.length));
  const lines = found.map(([label, finding]) => `${label.padEnd(width)}  ${finding}`);
  if (missing.length > 0) lines.push("", "Missing:", ...missing.map((line) => `- ${line}`));
  lines.push("", works ? "Kedge works here." : "Kedge does not work here: the CPU device fails.");
  return `${lines.join("\n")}\n`;
}

/** Runs the command. @returns The exit code. */
export async function doctor(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, {
    name: "deno task doctor",
    action: "diagnose",
    help: HELP,
    values: { report: "RUN" },
    bare: ["report"],
    flags: ["gpu"],
  });
  const write = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(text));
  if (line.help) {
    write(HELP);
    return 0;
  }
  const asked = line.text("report"), run = asked ? line.path("report", "folder") : undefined;
  const machine = diagnose(), ranks = await diagnoseRanks(machine.gpus), gpu = line.flag("gpu");
  const diagnosis = { ...machine, found: [...machine.found, ...ranks.found], missing: [...machine.missing, ...ranks.missing] };
  write(asked === undefined ? report(diagnosis) : bugReport(diagnosis, { run, home: Deno.env.get("HOME") }));
  if (gpu && diagnosis.gpus === 0) Deno.stderr.writeSync(new TextEncoder().encode("No CUDA device works here.\n"));
  return diagnosis.works && (!gpu || diagnosis.gpus > 0) ? 0 : 1;
}

if (import.meta.main) await runCommand(doctor);
