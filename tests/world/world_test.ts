import { assert, assertEquals, assertMatch } from "@std/assert";
import { World } from "../../ffi/world.ts";
import { MPI, type Mpi, onRanks, WITHOUT } from "./ranks.ts";

/** Runs a case of collectives_ranks.ts. @returns What each rank gave. */
async function results(mpi: Mpi, ranks: number, args: readonly string[]): Promise<unknown[]> {
  const { code, stdout, stderr } = await onRanks(ranks, "collectives_ranks.ts", args, mpi);
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

Deno.test("a process that no launcher started is a world of its own", () => {
  const world = World.alone();
  assertEquals([world.place.rank, world.place.size, world.version], [0, 1, undefined]);
  assertEquals([...world.broadcast(Uint8Array.of(1, 2), 0)], [1, 2]);
});

for (const mpi of MPI.found) {
  const { kind } = mpi.launcher, ranksOf = kind === MPI.found[0]!.launcher.kind ? [2, 4] : [4];
  for (const ranks of ranksOf) {
    Deno.test(`${ranks} ranks of ${kind} gather bytes and tell them, blocking and not`, async () => {
      const places = await results(mpi, ranks, ["place"]) as { size: number; local: number; version: string }[];
      assertEquals(places.map(({ size, local }) => [size, local]), new Array(ranks).fill([ranks, ranks]));
      assertMatch(places[0]!.version, kind === "MPICH" ? /MPICH/ : /Open MPI/);
      for (const what of ["gather", "broadcast", "later"]) {
        // deno-lint-ignore no-await-in-loop -- each takes all cores
        assertEquals(await results(mpi, ranks, [what]), new Array(ranks).fill(true), what);
      }
    });
  }

  Deno.test(`${kind}: a message may be longer than MPI takes in one piece`, async () => {
    assertEquals(await results(mpi, 2, ["large"]), [true, true]);
  });

  Deno.test(`${kind}: a rank that waits takes less than 5 % of a core`, async () => {
    const [share] = await results(mpi, 2, ["nap"]) as number[];
    assert(share! < 0.05, `${share}`);
  });

  Deno.test(`${kind}: after the time limit the ranks that did not come are named`, async () => {
    const { code, stdout } = await onRanks(3, "collectives_ranks.ts", ["late", "1"], mpi);
    assertEquals(stdout.trim(), '"Cannot exchange data on rank 0: rank 2 did not come within 1 s (world.timeoutSeconds)"');
    assertEquals(code, 75);
  });

  Deno.test(`${kind}: ranks that make different operations are told so instead of waiting`, async () => {
    const { stdout } = await onRanks(2, "collectives_ranks.ts", ["mismatch"], mpi);
    assertMatch(stdout, /rank 1 makes operation 1 \(kind 2, 8\) while rank 0 makes 1 \(kind 1, 0\)/);
  });
}

if (WITHOUT !== "") Deno.test({ name: `ranks of MPI${WITHOUT}`, ignore: true, fn: () => {} });
