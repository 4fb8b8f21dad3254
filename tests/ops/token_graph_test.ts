import { assert, assertEquals, assertThrows } from "@std/assert";
import { graph as reference, pairWeights } from "../rl/atrl_reference.ts";
import { type OpRun, opTest } from "./harness.ts";
import { graphText, longest, makeGraph, offsetsOf, type Packed, packed, permuted, readGraph } from "./responses_case.ts";

const F32 = { dtypes: ["f32"] as const };
const ONE = 2 ** 20;
const TOLERANCE = 5e-6; // of a dot product of 64 numbers in f32

function one(given: Packed, i: number) {
  const { offsets, regions } = given, begin = offsets[i]!, end = offsets[i + 1]!;
  return {
    connectivity: given.connectivity.subarray(begin, end),
    profile: given.profile.subarray(begin * regions, end * regions),
    regions,
  };
}

/** Fails unless the graph is that of the definition, but for choices between weights that f32 cannot tell apart. */
function check(run: OpRun, given: Packed, options: { neighbours: number; adjacency: number }): void {
  const edges = readGraph(run, makeGraph(run, given, options), given.offsets);
  for (let i = 0; i + 1 < given.offsets.length; i++) {
    const begin = given.offsets[i]!, n = given.offsets[i + 1]! - begin, w = pairWeights(one(given, i));
    // The weight of the last that a token keeps.
    const last = Array.from({ length: n }, (_, t) => {
      const row = Array.from(w.subarray(t * n, (t + 1) * n)).sort((a, b) => b - a);
      return options.neighbours === 0 ? Infinity : row[options.neighbours - 1] ?? 0;
    });
    for (let t = 0; t < n; t++) {
      const found = new Map(edges[begin + t]!);
      for (let u = 0; u < n; u++) {
        if (u === t) continue;
        const what = `response ${i} of ${n}: the edge ${t} ${u}`, chain = Math.abs(t - u) === 1 ? options.adjacency : 0;
        const weight = w[t * n + u]!, integer = found.get(u) ?? 0, least = Math.min(last[t]!, last[u]!);
        const kept = Math.abs(integer - (weight + chain) * ONE) <= 0.5 + TOLERANCE * ONE;
        const left = Math.abs(integer - chain * ONE) <= 0.5;
        if (weight > least + TOLERANCE) assert(kept, `${what} weighs ${integer / ONE}, should ${weight + chain}`);
        else if (weight < least - TOLERANCE) assert(left, `${what} weighs ${integer / ONE}, should ${chain}`);
        else assert(kept || left, `${what} weighs ${integer / ONE}, should ${weight + chain} or ${chain}`);
        assertEquals(new Map(edges[begin + u]!).get(t) ?? 0, integer, `${what} from the other side`);
      }
    }
  }
}

opTest("the token graph equals the definition", (run) => {
  const lengths = run.small ? [5, 0, 1, 2, 3, 37, 70] : [5, 0, 1, 2, 3, 16, 17, 96, 97, 200];
  for (const regions of [0, 1, 4, 64]) {
    for (const [neighbours, adjacency] of [[8, 0.1], [1, 0], [0, 0.1], [32, 1.5]] as const) {
      check(run, packed(run, lengths, regions), { neighbours, adjacency });
    }
  }
}, F32);

opTest("of equal weights the graph keeps those of lower index", (run) => {
  const n = 61, random = run.random, kinds = [[4, 0, 1], [0, 2, 1], [1, 1, 8]];
  const kind = Array.from({ length: n }, () => random.integer(0, 3));
  const given = {
    offsets: offsetsOf([n]),
    connectivity: new Float32Array(n).fill(0.25),
    profile: Float32Array.from(kind.flatMap((k) => kinds[k]!)),
    regions: 3,
  };
  const wanted = reference(one(given, 0), { neighbours: 4, adjacency: 0 });
  readGraph(run, makeGraph(run, given, { neighbours: 4, adjacency: 0 }), given.offsets).forEach((row, t) => {
    assertEquals(row.map(([u]) => u), Array.from({ length: n }, (_, u) => u).filter((u) => wanted[t * n + u]! > 0), `token ${t}`);
  });
}, F32);

opTest("profiles that are all equal, and a connectivity of zeros, leave the chain alone", (run) => {
  const n = 40, row = [...run.random.normal(8)].map(Math.abs);
  const equal = {
    offsets: offsetsOf([n]),
    connectivity: Float32Array.from(run.random.normal(n), Math.abs),
    profile: Float32Array.from(new Array(n).fill(row).flat()),
    regions: 8,
  };
  const dark = { ...packed(run, [n], 4), connectivity: new Float32Array(n) };
  for (const given of [equal, dark]) {
    readGraph(run, makeGraph(run, given), given.offsets).forEach((edges, t) => {
      assertEquals(edges, [t - 1, t + 1].filter((u) => u >= 0 && u < n).map((u) => [u, Math.round(0.1 * ONE)] as [number, number]));
    });
  }
}, F32);

opTest("the token graph does not depend on the scale of connectivity and profile, nor on the other responses", (run) => {
  const given = packed(run, [30, 7, 0, 64, 1]), order = [3, 4, 0, 2, 1];
  const base = graphText(run, makeGraph(run, given), given.offsets);
  const scaled = { ...given, connectivity: given.connectivity.map((c) => c / 4), profile: given.profile.map((p) => p * 8) };
  assertEquals(graphText(run, makeGraph(run, scaled), given.offsets), base);
  const other = permuted(given, order), moved = graphText(run, makeGraph(run, other), other.offsets);
  order.forEach((i, at) =>
    assertEquals(moved.slice(other.offsets[at]!, other.offsets[at + 1]!), base.slice(given.offsets[i]!, given.offsets[i + 1]!))
  );
}, F32);

opTest("the token graph is deterministic", (run) => {
  const given = packed(run, run.small ? [20, 40] : [100, 40, 260, 3]);
  const threads = "threads" in run.device ? run.device as { threads: number } : { threads: 1 }, before = threads.threads;
  const first = graphText(run, makeGraph(run, given), given.offsets);
  for (const count of [1, 2, 3, 7]) {
    threads.threads = count;
    assertEquals(graphText(run, makeGraph(run, given), given.offsets), first);
  }
  threads.threads = before;
}, F32);

opTest("NaN in a response leaves the others alone and ends", (run) => {
  const given = packed(run, [12, 12, 12], 4), base = graphText(run, makeGraph(run, given), given.offsets);
  given.profile[13 * 4] = NaN;
  given.connectivity[30] = NaN;
  const text = graphText(run, makeGraph(run, given), given.offsets);
  assertEquals(text.slice(0, 12), base.slice(0, 12));
  for (let t = 12; t < 24; t++) assertEquals(text[t]!.split(" ").length, t === 12 || t === 23 ? 1 : 2, `token ${t} has its chain alone`);
}, F32);

opTest("the token graph refuses what is out of range", (run) => {
  const given = packed(run, [5], 1);
  for (const options of [{ neighbours: 33 }, { neighbours: -1 }, { adjacency: -0.1 }, { adjacency: NaN }]) {
    assertThrows(() => makeGraph(run, given, options), RangeError);
  }
  assertEquals(longest(given.offsets), 5);
}, F32);
