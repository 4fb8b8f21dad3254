import type { Address } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { clusterBound, clusterCount } from "../rl/atrl_reference.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest } from "./harness.ts";
import { checksArrays, joinBytes } from "./matrix.ts";
import { longest, makeGraph, offsetsOf, packed, permuted, readGraph } from "./responses_case.ts";

const F32 = { dtypes: ["f32"] as const };
CpuDevice.open(); // loads the library here, since one that a test loads counts as its leak

type Edges = readonly (readonly [number, number])[][]; // of each token of all responses: [neighbour, weight]
interface Options {
  clusterSize?: number;
  imbalance?: number;
  seed?: number;
}
interface Partition {
  cluster: Int32Array;
  stats: BigInt64Array;
}

/** Runs the op on a graph given as edges. */
function partition(run: OpRun, edges: Edges, offsets: Int32Array<ArrayBuffer>, options: Options = {}): Partition {
  const flat = edges.flat(), rows = new Int32Array(2 * edges.length);
  edges.forEach((row, t) => {
    rows[2 * t] = t === 0 ? 0 : rows[2 * t - 1]!;
    rows[2 * t + 1] = rows[2 * t]! + row.length;
  });
  const at = (values: Int32Array<ArrayBuffer>) => run.integers(values);
  const n = offsets.length - 1, tokens = edges.length, max = longest(offsets);
  const cluster = run.output(tokens, { dtype: "i32" }), stats = run.output(3 * n, { dtype: "i64" });
  const edgesOf = Array.from({ length: n }, (_, i) => edges.slice(offsets[i], offsets[i + 1]).reduce((sum, row) => sum + row.length, 0));
  // deno-fmt-ignore
  run.device.ops.partition(
    cluster, stats, at(rows), at(Int32Array.from(flat, ([u]) => u)), at(Int32Array.from(flat, ([, w]) => w)), flat.length, Math.max(0, ...edgesOf),
    at(offsets), n, tokens, max, options.clusterSize ?? 6, options.imbalance ?? 200, options.seed ?? 1,
  );
  const result = { cluster: new Int32Array(tokens), stats: new BigInt64Array(3 * n) };
  run.device.read(result.cluster, cluster);
  run.device.read(result.stats, stats);
  return result;
}

/** The CPU's answer. */
function onCpu(run: OpRun, ...args: [Edges, Int32Array<ArrayBuffer>, Options?]): Partition {
  using cpu = CpuDevice.open();
  const other = Object.create(run, { device: { value: cpu } }) as OpRun;
  const taken: Address[] = [];
  other.buffer = (bytes) => (taken.push(cpu.alloc(bytes)), taken.at(-1)!);
  try {
    return partition(other, ...args);
  } finally {
    taken.forEach((address) => cpu.free(address));
  }
}

const cutOf = (edges: Edges, cluster: ArrayLike<number>, begin: number, end: number) => {
  let twice = 0;
  for (let t = begin; t < end; t++) for (const [u, w] of edges[t]!) if (cluster[t] !== cluster[begin + u]) twice += w;
  return twice / 2;
};

/** Fails unless a partition keeps the rules and says of itself what is so. */
function check(edges: Edges, offsets: Int32Array, { cluster, stats }: Partition, options: Options = {}): void {
  const { clusterSize = 6, imbalance = 200 } = options;
  for (let i = 0; i + 1 < offsets.length; i++) {
    const begin = offsets[i]!, end = offsets[i + 1]!, n = end - begin, k = clusterCount(n, clusterSize);
    const own = cluster.subarray(begin, end), sizes = new Array<number>(k).fill(0);
    let next = 0;
    own.forEach((c, t) => {
      assert(c >= 0 && c < k && c <= next, `token ${t} of response ${i} of ${n} is in cluster ${c} of ${k}, ${next} are known`);
      if (c === next) next++;
      sizes[c]!++;
    });
    assertEquals(next, k, `clusters of a response of ${n}`);
    const largest = Math.max(0, ...sizes);
    if (n > 0) assert(largest <= clusterBound(n, k, n < 4 ? 0 : imbalance), `${largest} of ${n} tokens in one of ${k} clusters`);
    assertEquals([...stats.subarray(3 * i, 3 * i + 3)].map(Number), [k, cutOf(edges, cluster, begin, end), largest]);
  }
}

/** Edges of random graphs of some kinds. */
function graphs(run: OpRun): { edges: Edges; offsets: Int32Array<ArrayBuffer> }[] {
  const { random } = run,
    lengths = run.small ? [0, 1, 3, 4, 5, 13, 45] : [0, 1, 2, 3, 4, 5, 6, 7, 9, 13, 26, 64, 90, 130, 400, 1000];
  const given = packed(run, lengths), offsets = given.offsets;
  const symmetric = (n: number, edge: (t: number, u: number) => number): [number, number][][] => {
    const rows: [number, number][][] = Array.from({ length: n }, () => []);
    for (let t = 0; t < n; t++) {
      for (let u = 0; u < t; u++) {
        const w = edge(t, u);
        if (w > 0) rows[t]!.push([u, w]), rows[u]!.push([t, w]);
      }
    }
    return rows;
  };
  const n = run.small ? 30 : 200;
  return [
    { edges: readGraph(run, makeGraph(run, given), offsets), offsets },
    { edges: readGraph(run, makeGraph(run, given, { neighbours: 1, adjacency: 0 }), offsets), offsets },
    { edges: readGraph(run, makeGraph(run, given, { threshold: 0.3, contrast: 1, mutual: true, adjacency: 0 }), offsets), offsets }, // many tokens alone
    { edges: symmetric(n, (_, u) => u === 0 ? 1000 : 0), offsets: offsetsOf([n]) }, // a star
    { edges: symmetric(n, () => 0), offsets: offsetsOf([n]) },
    { edges: symmetric(40, () => 2 ** 31 - 1), offsets: offsetsOf([40]) },
    { edges: symmetric(n, () => random.next() < 0.1 ? random.integer(1, 4) : 0), offsets: offsetsOf([n]) }, // many ties
  ];
}

opTest("a partition keeps within the bound, leaves no cluster empty, numbers by first token, and is the CPU's", (run) => {
  for (const { edges, offsets } of graphs(run)) {
    for (
      const options of [{}, { clusterSize: 12, imbalance: 0 }, { clusterSize: 1, imbalance: 1000 }, {
        clusterSize: 3,
        seed: run.random.bits(),
      }]
    ) {
      const result = partition(run, edges, offsets, options);
      check(edges, offsets, result, options);
      if (run.backend.tier !== "cpu") assertEquals(result, onCpu(run, edges, offsets, options));
    }
  }
}, F32);

opTest("the partition finds cliques that are weakly tied", (run) => {
  // 15 cliques of 6 with shuffled tokens. One light edge connects each clique to the next.
  const n = 90, place = Array.from({ length: n }, (_, i) => i).toSorted(() => run.random.next() - 0.5);
  const rows: [number, number][][] = Array.from({ length: n }, () => []);
  const tie = (a: number, b: number, w: number) => (rows[place[a]!]!.push([place[b]!, w]), rows[place[b]!]!.push([place[a]!, w]));
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n && Math.floor(j / 6) === Math.floor(i / 6); j++) tie(i, j, 1000);
    if (i % 6 === 5 && i + 1 < n) tie(i, i + 1, 3);
  }
  for (let seed = 0; seed < 5; seed++) assertEquals(Number(partition(run, rows, offsetsOf([n]), { seed }).stats[1]), 14 * 3);
}, F32);

opTest("the partition cuts less than runs of tokens do", (run) => {
  const given = packed(run, run.small ? [60] : [60, 100, 300, 900]), { offsets } = given;
  const edges = readGraph(run, makeGraph(run, given), offsets), { stats } = partition(run, edges, offsets);
  for (let i = 0; i + 1 < offsets.length; i++) {
    const begin = offsets[i]!, end = offsets[i + 1]!, k = clusterCount(end - begin, 6);
    const runs = Int32Array.from({ length: end }, (_, t) => Math.floor((t - begin) * k / (end - begin)));
    const [cut, trivial] = [Number(stats[3 * i + 1]), cutOf(edges, runs, begin, end)];
    assert(cut < trivial, `${cut} against ${trivial}`);
  }
}, F32);

opTest("the partition of a response does not depend on the others, and is deterministic", (run) => {
  const given = packed(run, run.small ? [30, 7] : [30, 64, 7, 200, 511]), { offsets } = given;
  const order = Array.from({ length: offsets.length - 1 }, (_, i) => i).reverse(), other = permuted(given, order);
  const edges = readGraph(run, makeGraph(run, given), offsets);
  const base = partition(run, edges, offsets), moved = partition(run, readGraph(run, makeGraph(run, other), other.offsets), other.offsets);
  order.forEach((i, at) =>
    assertEquals(moved.cluster.subarray(other.offsets[at], other.offsets[at + 1]), base.cluster.subarray(offsets[i], offsets[i + 1]))
  );
  assertDeterministic(run, () => {
    const { cluster, stats } = partition(run, edges, offsets);
    return joinBytes(new Uint8Array(cluster.buffer), new Uint8Array(stats.buffer));
  });
}, F32);

opTest("the partition refuses a bad graph", (run) => {
  const edges: Edges = Array.from({ length: 8 }, (_, t) => [[t ^ 1, 5]] as [number, number][]), offsets = offsetsOf([8]);
  const broken = (row: [number, number][]) => edges.map((own, t) => t === 3 ? row : own);
  for (const row of [[[8, 1]], [[-1, 1]], [[3, 1]], [[2, 0]], [[2, -4]]] as [number, number][][]) {
    if (checksArrays(run)) assertThrows(() => partition(run, broken(row), offsets), RangeError, "edge");
    else assertEquals([...partition(run, broken(row), offsets).cluster], new Array(8).fill(-1));
  }
  for (const options of [{ clusterSize: 0 }, { imbalance: -1 }, { imbalance: 1001 }]) {
    assertThrows(() => partition(run, edges, offsets, options), RangeError);
  }
  if (checksArrays(run)) assertThrows(() => partition(run, edges, Int32Array.of(0, 9, 8)), RangeError, "offsets");
}, F32);
