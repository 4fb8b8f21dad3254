import { assert, assertEquals, assertThrows } from "@std/assert";
import { graph as reference, pairWeights } from "../rl/atrl_reference.ts";
import { type OpRun, opTest } from "./harness.ts";
import { type GraphCase, graphText, longest, makeGraph, offsetsOf, type Packed, packed, permuted, readGraph } from "./responses_case.ts";

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
function check(run: OpRun, given: Packed, options: GraphCase & { neighbours: number; adjacency: number }): void {
  const { threshold = 0, contrast = 0, mutual = false } = options, either = mutual ? Math.max : Math.min;
  const edges = readGraph(run, makeGraph(run, given, options), given.offsets);
  for (let i = 0; i + 1 < given.offsets.length; i++) {
    const begin = given.offsets[i]!, n = given.offsets[i + 1]! - begin, w = pairWeights(one(given, i), contrast || null);
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
        const weight = w[t * n + u]!, integer = found.get(u) ?? 0, least = Math.max(threshold, either(last[t]!, last[u]!));
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

opTest("with a threshold, contrast and mutual neighbours the token graph equals the definition", (run) => {
  const lengths = run.small ? [1, 0, 2, 3, 37, 70] : [1, 0, 2, 3, 16, 17, 96, 97, 200];
  const rules: GraphCase[] = [{ threshold: 0.2 }, { mutual: true }, { contrast: 0.5 }, { threshold: 0.05, contrast: 3, mutual: true }];
  for (const [neighbours, adjacency] of [[8, 0.1], [2, 0], [20, 0.1], [0, 0.1]] as const) {
    for (const rule of rules) check(run, packed(run, lengths, 16), { neighbours, adjacency, ...rule });
  }
  check(run, packed(run, lengths, 0), { neighbours: 8, adjacency: 0.1, ...rules.at(-1) });
}, F32);

opTest("an edge that weighs the threshold exists, and one that weighs less does not", (run) => {
  // With one region, each token's centred profile is 1 or -1 times the same number, so weights are exact: 1, 0.5 and 0.25.
  const given = {
    offsets: offsetsOf([6]),
    connectivity: Float32Array.of(1, 0.25, 0.25, 1, 0.25, 1),
    profile: Float32Array.of(1, 1, 0, 1, 0, 0),
    regions: 1,
  };
  const found = (threshold: number) =>
    readGraph(run, makeGraph(run, given, { threshold, adjacency: 0 }), given.offsets).map((row) => row.map(([u, w]) => [u, w / ONE]));
  const all = [[[1, 0.5], [3, 1]], [[0, 0.5], [3, 0.5]], [[4, 0.25], [5, 0.5]], [[0, 1], [1, 0.5]], [[2, 0.25], [5, 0.5]], [[2, 0.5], [
    4,
    0.5,
  ]]];
  for (const threshold of [0, 0.25, 0.25 + 1e-9, 0.5, 0.5 + 1e-9, 0.999]) {
    assertEquals(found(threshold), all.map((row) => row.filter(([, w]) => w! >= threshold)), `threshold ${threshold}`);
  }
}, F32);

opTest("a threshold that no edge reaches leaves the chain, or tokens without edges", (run) => {
  const given = packed(run, [1, 30, 2], 16); // with noise, no two profiles are the same
  for (const mutual of [false, true]) {
    const options = { threshold: 1 - 2 ** -24, mutual };
    const chain = readGraph(run, makeGraph(run, given, options), given.offsets).map((row) => row.map(([, w]) => w));
    chain.forEach((row, t) =>
      assertEquals(row, new Array([0, 1, 31, 32].includes(t) ? Number(t > 0) : t === 30 ? 1 : 2).fill(Math.round(0.1 * ONE)))
    );
    const none = readGraph(run, makeGraph(run, given, { ...options, adjacency: 0 }), given.offsets);
    assertEquals(none.flat(), []);
  }
}, F32);

opTest("contrast takes edges from tokens of other scores, and leaves those between equal scores", (run) => {
  // All profiles are the same two, so that without contrast every edge inside a half has the weight that scores give it.
  const n = 24, low = 1 / 16, half = (t: number) => t % 2, high = (t: number) => t % 4 < 2;
  const given = {
    offsets: offsetsOf([n]),
    connectivity: Float32Array.from({ length: n }, (_, t) => high(t) ? 1 : low),
    profile: Float32Array.from({ length: n }, (_, t) => half(t)),
    regions: 1,
  };
  for (const [contrast, others] of [[0, true], [1e6, true], [0.01, false], [1e-300, false]] as const) {
    const edges = readGraph(run, makeGraph(run, given, { contrast, adjacency: 0, neighbours: 32 }), given.offsets);
    edges.forEach((row, t) => {
      const wanted = Array.from({ length: n }, (_, u) => u).filter((u) =>
        u !== t && half(u) === half(t) && (others || high(u) === high(t))
      );
      assertEquals(row.map(([u]) => u), wanted, `token ${t}, contrast ${contrast}`);
      for (const [u, w] of row) if (high(u) === high(t)) assertEquals(w, (high(t) ? 1 : low) * ONE);
    });
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
  for (const neighbourRule of ["union", "mutual"] as const) {
    const wanted = reference(one(given, 0), { neighbours: 4, adjacency: 0, neighbourRule });
    const edges = readGraph(run, makeGraph(run, given, { neighbours: 4, adjacency: 0, mutual: neighbourRule === "mutual" }), given.offsets);
    edges.forEach((row, t) => {
      assertEquals(row.map(([u]) => u), Array.from({ length: n }, (_, u) => u).filter((u) => wanted[t * n + u]! > 0), `token ${t}`);
    });
  }
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
  const scaled = { ...given, connectivity: given.connectivity.map((c) => c / 4), profile: given.profile.map((p) => p * 8) };
  const other = permuted(given, order);
  for (const options of [{}, { threshold: 0.05, contrast: 2, mutual: true }]) {
    const base = graphText(run, makeGraph(run, given, options), given.offsets);
    assertEquals(graphText(run, makeGraph(run, scaled, options), given.offsets), base);
    const moved = graphText(run, makeGraph(run, other, options), other.offsets);
    order.forEach((i, at) =>
      assertEquals(moved.slice(other.offsets[at]!, other.offsets[at + 1]!), base.slice(given.offsets[i]!, given.offsets[i + 1]!))
    );
  }
}, F32);

opTest("the token graph is deterministic", (run) => {
  const given = packed(run, run.small ? [20, 40] : [100, 40, 260, 3]);
  const threads = "threads" in run.device ? run.device as { threads: number } : { threads: 1 }, before = threads.threads;
  for (const options of [{}, { contrast: 2, mutual: true }]) {
    const first = graphText(run, makeGraph(run, given, options), given.offsets);
    for (const count of [1, 2, 3, 7]) {
      threads.threads = count;
      assertEquals(graphText(run, makeGraph(run, given, options), given.offsets), first);
    }
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
  const wrong: GraphCase[] = [{ neighbours: 33 }, { neighbours: -1 }, { adjacency: -0.1 }, { adjacency: NaN }, { threshold: 1 }, {
    threshold: NaN,
  }];
  for (const options of [...wrong, { threshold: -0.1 }, { contrast: -1 }, { contrast: Infinity }, { contrast: NaN }]) {
    assertThrows(() => makeGraph(run, given, options), RangeError);
  }
  assertEquals(longest(given.offsets), 5);
}, F32);
