// deno-lint-ignore-file no-console -- a program
/** Starts programs on ranks for tests, which may only run `deno` themselves. `--list` prints the MPIs of this machine as JSON. */
import { findLauncher, launcherArguments } from "../../cli/train/launcher.ts";
import { worldCompiler } from "../../ffi/world.ts";
import type { Mpi, RanksRequest } from "./ranks.ts";

/** Debian installs Open MPI and MPICH side by side, with one of them under the plain names. */
function list(): { found: Mpi[]; missing: string } {
  const compiler = worldCompiler(), launcher = findLauncher();
  if ("missing" in compiler) return { found: [], missing: compiler.missing };
  if ("missing" in launcher) return { found: [], missing: launcher.missing };
  const found: Mpi[] = [{ launcher }], other = launcher.kind === "MPICH" ? "openmpi" : "mpich";
  const second = findLauncher(`mpirun.${other}`);
  if (!("missing" in second) && !("missing" in findLauncher(`mpicxx.${other}`) && second.kind === launcher.kind)) {
    found.push({ launcher: second, suffix: other });
  }
  return { found, missing: "" };
}

if (Deno.args[0] === "--list") console.log(JSON.stringify(list()));
else {
  const { mpi: { launcher, suffix }, ranks, args } = JSON.parse(Deno.args[0]!) as RanksRequest;
  const folder = suffix === undefined ? undefined : Deno.makeTempDirSync();
  if (folder !== undefined) {
    const path = Deno.env.get("PATH")!.split(":").map((each) => `${each}/mpicxx.${suffix}`).find((each) => {
      try {
        return Deno.statSync(each).isFile;
      } catch {
        return false;
      }
    });
    if (path === undefined) throw new Error(`Cannot find mpicxx.${suffix}`);
    Deno.symlinkSync(path, `${folder}/mpicxx`);
  }
  const before = launcherArguments(launcher, { ranks }, { isRoot: Deno.uid() === 0, cores: 0 });
  const PATH = `${folder === undefined ? "" : `${folder}:`}${Deno.env.get("PATH")}`;
  const child = new Deno.Command(launcher.command, {
    args: [...before, Deno.execPath(), "run", "-A", "--quiet", ...args],
    env: { PATH, OMPI_MCA_rmaps_base_oversubscribe: "1" },
    stdin: "null",
  }).spawn();
  const { code } = await child.status;
  if (folder !== undefined) Deno.removeSync(folder, { recursive: true });
  Deno.exit(code);
}
