/**
 * Tries MPI: two processes add two numbers. `deno task doctor` shows what comes of it. As a program, this module is one of the two.
 *
 * @module
 */
import { Nccl } from "../../ffi/nccl.ts";
import { World, worldCompiler } from "../../ffi/world.ts";
import { flagsOf, KERNELS, MPI_PROGRAMS, together } from "../permissions.ts";
import { findLauncher, launcherArguments, launcherEnvironment } from "../train/launcher.ts";

/** What was found: lines for the user, and what is missing. */
export interface RanksFound {
  readonly found: readonly (readonly [label: string, finding: string])[];
  readonly missing: readonly string[];
}

/** Milliseconds that the two processes have, with the compilation. */
const LIMIT = 120_000;

/** Looks for NCCL, which moves memory between GPUs. Its absence matters only where there are GPUs. */
function diagnoseNccl(gpus: number): RanksFound {
  const nccl = Nccl.find(), finding = nccl ? `${nccl.version} (${nccl.path})` : "none";
  const advice = "NCCL, for runs on several GPUs (without it their data pass through host memory): pip install nvidia-nccl-cu13";
  return { found: [["NCCL", finding]], missing: nccl || gpus < 2 ? [] : [advice] };
}

/** Looks for MPI and NCCL, and adds two numbers across two ranks. */
export async function diagnoseRanks(gpus: number): Promise<RanksFound> {
  const [mpi, nccl] = [await diagnoseMpi(), diagnoseNccl(gpus)];
  return { found: [...mpi.found, ...nccl.found], missing: [...mpi.missing, ...nccl.missing] };
}

async function diagnoseMpi(): Promise<RanksFound> {
  const launcher = findLauncher(), compiler = worldCompiler();
  const advice = 'for runs on several processes: "apt-get install openmpi-bin libopenmpi-dev", or load the module of an MPI';
  const lacks = "missing" in launcher ? launcher.missing : "missing" in compiler ? compiler.missing : undefined;
  if ("missing" in launcher || lacks !== undefined) return { found: [["MPI", "none"]], missing: [`MPI, ${advice} (${lacks})`] };
  const machine = { isRoot: Deno.uid() === 0, cores: navigator.hardwareConcurrency };
  const permissions = flagsOf(together(KERNELS, { run: MPI_PROGRAMS.filter((name) => name === "mpicxx") }));
  const args = [
    ...launcherArguments(launcher, { ranks: 2 }, machine),
    "deno",
    "run",
    "--quiet",
    "--no-prompt",
    ...permissions,
    import.meta.url,
  ];
  const options: Deno.CommandOptions = { args, stdin: "null", signal: AbortSignal.timeout(LIMIT), ...launcherEnvironment() };
  const { success, stdout, stderr } = await new Deno.Command(launcher.command, options).output();
  const said = new TextDecoder().decode(stdout).trim();
  if (success && said !== "") return { found: [["MPI", `${launcher.version}; ${said}`]], missing: [] };
  const words = new TextDecoder().decode(stderr).trim().split("\n")[0] ?? "";
  return { found: [["MPI", `${launcher.version}, fails`]], missing: [`MPI: two ranks could not add two numbers: ${words}`] };
}

if (import.meta.main) {
  const world = World.join({ timeoutSeconds: 60 }), { rank, size } = world.place;
  const sum = world.gather(Uint8Array.of(20 + 2 * rank)).reduce((total, [number]) => total + number!, 0);
  if (rank === 0 && size === 2 && sum === 42) {
    Deno.stdout.writeSync(new TextEncoder().encode(`two ranks added 20 and 22 (${world.version})\n`));
  }
  world.leave();
}
