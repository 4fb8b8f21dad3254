/** Runs programs on several ranks, for tests. */
import type { Launcher } from "../../cli/train/launcher.ts";
import type { ChildEnd } from "../child.ts";
import { runDeno } from "../deno.ts";
import { ROOT } from "../root.ts";

/** An MPI of this machine. */
export interface Mpi {
  readonly launcher: Launcher;
  /** What its programs' names end with, where another MPI has the plain names. */
  readonly suffix?: string;
}

/** What tests/world/launch.ts is asked. */
export interface RanksRequest {
  readonly mpi: Mpi;
  readonly ranks: number;
  readonly args: readonly string[];
}

const LAUNCH = `${ROOT}/tests/world/launch.ts`;
const listed = await runDeno(["run", "-A", "--quiet", LAUNCH, "--list"], { cwd: ROOT });
if (listed.code !== 0) throw new Error(`Cannot look for MPI: ${listed.stderr}`);

/** The MPIs that can be used here, and why there is none. */
export const MPI = JSON.parse(listed.stdout) as { readonly found: readonly Mpi[]; readonly missing: string };

/** What a test's name ends with, where there is no MPI. */
export const WITHOUT = MPI.found.length > 0 ? "" : ` (skipped: ${MPI.missing})`;

/** Runs a program of tests/world on several ranks, to its end. */
export function onRanks(ranks: number, program: string, args: readonly string[] = [], mpi: Mpi = MPI.found[0]!): Promise<ChildEnd> {
  const request: RanksRequest = { mpi, ranks, args: [`${ROOT}/tests/world/${program}`, ...args] };
  return runDeno(["run", "-A", "--quiet", LAUNCH, JSON.stringify(request)], { cwd: ROOT, limit: 120_000 });
}
