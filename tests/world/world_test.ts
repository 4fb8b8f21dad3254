import { assert, assertEquals, assertMatch } from "@std/assert";
import { World } from "../../ffi/world.ts";
import { MPI, onRanks, WITHOUT } from "./ranks.ts";

const SLOW = Deno.args.includes("--slow");

/** What each rank gave in the cases of collectives_ranks.ts. */
interface Results {
  readonly place: { readonly size: number; readonly local: number; readonly version: string };
  readonly gather: boolean;
  readonly broadcast: boolean;
  readonly later: boolean;
  readonly large: boolean;
  readonly nap: number;
  readonly mismatch: string;
}

Deno.test("a process that no launcher started is a world of its own", () => {
  const world = World.alone();
  assertEquals([world.place.rank, world.place.size, world.version], [0, 1, undefined]);
  assertEquals([...world.broadcast(Uint8Array.of(1, 2), 0)], [1, 2]);
});

for (const mpi of MPI.found) {
  const { kind } = mpi.launcher;
  for (const ranks of mpi === MPI.found[0] ? [2, 4] : [4]) {
    const what = "exchange bytes of any length, take less than 5 % of a core while they wait, and are told of different operations";
    const isQuick = mpi === MPI.found[0] && ranks === 2, skipped = SLOW || isQuick ? "" : " (skipped: runs with --slow)";
    Deno.test({
      name: `${ranks} ranks of ${kind} ${what}${skipped}`,
      ignore: skipped !== "",
      fn: async () => {
        const { code, stdout, stderr } = await onRanks(ranks, "collectives_ranks.ts", ["all"], mpi);
        assertEquals(code, 0, stderr);
        const all = JSON.parse(stdout.trim().split("\n").at(-1)!) as Results[], every = new Array(ranks).fill(true);
        assertEquals(all.map(({ place: { size, local } }) => [size, local]), new Array(ranks).fill([ranks, ranks]));
        assertMatch(all[0]!.place.version, kind === "MPICH" ? /MPICH/ : /Open MPI/);
        for (const name of ["gather", "broadcast", "later", "large"] as const) assertEquals(all.map((each) => each[name]), every, name);
        assert(all[0]!.nap < 0.05, `rank 0 took ${all[0]!.nap} of a core`);
        assertMatch(all[0]!.mismatch, /rank 1 makes operation \d+ \(kind 2, 8\) while rank 0 makes \d+ \(kind 1, 0\)/);
      },
    });
  }

  const skipped = SLOW || mpi === MPI.found[0] ? "" : " (skipped: runs with --slow)";
  Deno.test({
    name: `${kind}: after the time limit the ranks that did not come are named${skipped}`,
    ignore: skipped !== "",
    fn: async () => {
      const { code, stdout } = await onRanks(3, "collectives_ranks.ts", ["late", "3"], mpi);
      assertEquals(stdout.trim(), '"Cannot exchange data on rank 0: rank 2 did not come within 3 s (world.timeoutSeconds)"');
      assertEquals(code, 75);
    },
  });
}

if (WITHOUT !== "") Deno.test({ name: `ranks of MPI${WITHOUT}`, ignore: true, fn: () => {} });
