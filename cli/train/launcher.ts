/**
 * How MPI's launcher starts the ranks of a run.
 *
 * @module
 */

import { environment } from "../../ffi/environment.ts";

/** What a launcher is told. */
export interface Ranks {
  readonly ranks: number;
  /** Hosts with the number of their ranks, as "a:4,b:4". undefined: this machine. */
  readonly hosts?: string | undefined;
}

/** A launcher that answers. */
export interface Launcher {
  readonly command: string;
  /** Its family: Open MPI and MPICH differ in their options. */
  readonly kind: "Open MPI" | "MPICH";
  /** The line in which it names itself. */
  readonly version: string;
}

/** How a process of several that train together is told of them. `shared`: only rank 0 has the request, and gives it to the others. */
export const RANKS = { shared: "--ranks=shared", own: "--ranks=own" } as const;

/**
 * The environment that a launcher is started with. Deno passes LD_LIBRARY_PATH and its like on only where every program may be run; elsewhere the launcher gets
 * what it needs to find programs, and its libraries lie where the loader looks.
 */
export function launcherEnvironment(): Pick<Deno.CommandOptions, "clearEnv" | "env"> {
  if (Deno.permissions.querySync({ name: "run" }).state === "granted") return {};
  const kept = ["PATH", "HOME", "DENO_DIR"].flatMap((name) => {
    const value = environment(name);
    return value === undefined ? [] : [[name, value]];
  });
  return { clearEnv: true, env: Object.fromEntries(kept) };
}

/** Asks `mpirun` what it is. @returns The launcher, or why there is none. */
export function findLauncher(command = "mpirun"): Launcher | { readonly missing: string } {
  try {
    const { success, stdout } = new Deno.Command(command, { args: ["--version"], stdin: "null", stderr: "null", ...launcherEnvironment() })
      .outputSync();
    const text = new TextDecoder().decode(stdout), lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    if (!success) return { missing: `${command} --version failed` };
    if (/Open MPI|OpenRTE|PRTE/i.test(text)) return { command, kind: "Open MPI", version: lines[0]! };
    const version = /^Version:\s*(\S+)/m.exec(lines.join("\n"))?.[1];
    if (/HYDRA|MPICH|Intel/i.test(text)) return { command, kind: "MPICH", version: version ? `MPICH ${version}` : lines[0]! };
    return { missing: `${command} is of an MPI that is not known: ${lines[0] ?? ""}` };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { missing: `${command} is not in PATH` };
    return { missing: `${command} cannot be run: ${(error as Error).message}` };
  }
}

/**
 * The arguments that come before the program that each rank runs.
 *
 * @param machine `isRoot`: whether the user is root, whom Open MPI refuses. `cores`: where there are fewer than ranks, Open MPI must be told
 *   that this is meant.
 *
 * @example
 * ```ts
 * import { launcherArguments } from "./launcher.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const launcher = { command: "mpirun", kind: "Open MPI", version: "mpirun (Open MPI) 4.1.4" } as const;
 * assertEquals(launcherArguments(launcher, { ranks: 2 }, { isRoot: false, cores: 8 }), ["-n", "2", "--bind-to", "none"]);
 * assertEquals(launcherArguments({ ...launcher, kind: "MPICH" }, { ranks: 8, hosts: "a:4,b:4" }, { isRoot: true, cores: 8 }), [
 *   ...["-n", "8", "-hosts", "a:4,b:4"],
 * ]);
 * ```
 */
export function launcherArguments(
  { kind }: Launcher,
  { ranks, hosts }: Ranks,
  { isRoot, cores }: { isRoot: boolean; cores: number },
): string[] {
  const count = ["-n", String(ranks)];
  if (kind === "MPICH") return [...count, ...(hosts === undefined ? [] : ["-hosts", hosts])];
  return [
    ...count,
    ...["--bind-to", "none"], // a rank has many threads
    ...(hosts === undefined ? (ranks > cores ? ["--oversubscribe"] : []) : ["--host", hosts]),
    ...(isRoot ? ["--allow-run-as-root"] : []),
  ];
}
