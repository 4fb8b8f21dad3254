// Clusters by greedy modularity, against modularity computed plainly.
import { assert, assertEquals } from "@std/assert";
import { detectAtrl } from "../../rl/atrl/detect.ts";
import { type HostGraph, TokenGraph } from "../../rl/atrl/graph.ts";
import { modularityClusters } from "../../rl/atrl/modularity.ts";
import { ATRL_PUBLISHED } from "../../rl/atrl/options.ts";
import { partitionKway, partitionModularity } from "../../rl/atrl/partition.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { Random } from "../../tensor/random.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { deviceTest } from "../tensor/device_test_case.ts";
import { gaze } from "./gaze.ts";

/** Modularity times the square of the sum of all weights, an exact integer, pair by pair. */
function modularity({ rows, neighbour, weight }: HostGraph, cluster: ArrayLike<number>): bigint {
  const n = rows.length - 1, a = Array.from({ length: n }, () => new Array<bigint>(n).fill(0n));
  for (let t = 0; t < n; t++) for (let e = rows[t]!; e < rows[t + 1]!; e++) a[t]![neighbour[e]!] = BigInt(weight[e]!);
  const degree = a.map((row) => row.reduce((sum, w) => sum + w, 0n)), total = degree.reduce((sum, d) => sum + d, 0n);
  let q = 0n;
  for (let t = 0; t < n; t++) for (let u = 0; u < n; u++) if (cluster[t] === cluster[u]) q += total * a[t]![u]! - degree[t]! * degree[u]!;
  return q;
}

/** A graph from its edges. */
function graphOf(n: number, edges: readonly (readonly [t: number, u: number, weight: number])[]): HostGraph {
  const lists = Array.from({ length: n }, () => [] as [number, number][]), rows = new Int32Array(n + 1);
  for (const [t, u, w] of edges) {
    lists[t]!.push([u, w]);
    lists[u]!.push([t, w]);
  }
  lists.forEach((list, t) => rows[t + 1] = rows[t]! + list.sort(([a], [b]) => a - b).length);
  return { rows, neighbour: Int32Array.from(lists.flat(), ([u]) => u), weight: Int32Array.from(lists.flat(), ([, w]) => w) };
}

/** All ways to cluster n tokens, numbered by first token. */
function* clusterings(n: number, begun: number[] = []): Generator<number[]> {
  if (begun.length === n) return yield begun;
  const next = Math.max(-1, ...begun) + 1;
  for (let c = 0; c <= next; c++) yield* clusterings(n, [...begun, c]);
}

const byFirst = (cluster: ArrayLike<number>) => {
  const order = [...new Set(Array.from(cluster))];
  return Array.from(cluster, (c) => order.indexOf(c));
};

Deno.test("two cliques joined by an edge are two clusters, which is the best of all clusterings", () => {
  // The tokens of the cliques alternate.
  const cliques = Array.from({ length: 8 }, (_, t) => Array.from({ length: t }, (_, u) => [t, u, 5] as const)).flat();
  const graph = graphOf(8, [...cliques.filter(([t, u]) => t % 2 === u % 2), [3, 4, 5]]), found = modularityClusters(graph);
  assertEquals([...found], [0, 1, 0, 1, 0, 1, 0, 1]);
  const all = [...clusterings(8)].map((cluster) => modularity(graph, cluster));
  assertEquals(all.length, 4140); // Bell's number of 8
  assertEquals(modularity(graph, found), all.reduce((a, b) => a > b ? a : b));
});

Deno.test("cliques stay whole, also where there are more than 64 of them", () => {
  const edges: [number, number, number][] = [];
  for (let first = 0; first < 5 * 70; first += 5) {
    for (let t = 0; t < 5; t++) for (let u = 0; u < t; u++) edges.push([first + t, first + u, 1000]);
    edges.push([first + 4, (first + 5) % (5 * 70), 1]);
  }
  // In a ring so long, modularity is higher where neighbouring cliques are joined (Fortunato and Barthelemy, 2007).
  const found = modularityClusters(graphOf(5 * 70, edges));
  assertEquals([...found], Array.from(found, (_, t) => found[t - t % 5]!));
  const apart = modularityClusters(graphOf(5 * 70, edges.filter(([, , w]) => w === 1000)));
  assertEquals([...apart], Array.from(apart, (_, t) => Math.floor(t / 5)));
});

Deno.test("communities are compared exactly where floating point sees a tie", () => {
  // For token 0, what 2 offers less what 3 offers is -1 of 2^61. With f64 products all four tokens end in one cluster.
  const path = graphOf(4, [[0, 3, 828927139], [0, 2, 1442841038], [1, 2, 1335967156]]), found = modularityClusters(path);
  assertEquals([...found], [0, 1, 1, 0]);
  assert(modularity(path, found) > modularity(path, [0, 0, 0, 0]));
});

Deno.test("no edges: every token is a cluster; no token: no cluster", () => {
  assertEquals([...modularityClusters(graphOf(3, []))], [0, 1, 2]);
  assertEquals([...modularityClusters(graphOf(3, [[0, 2, 1]]))], [0, 1, 0]);
  assertEquals([...modularityClusters(graphOf(0, []))], []);
});

deviceTest("clusters have at least the modularity of single tokens and of the k-way partition", (device) => {
  const random = new Random(20261130), lengths = [0, 1, 5, 64, 97, 130, 200];
  const all = lengths.map((tokens) => gaze(random, { tokens, regions: 16 }));
  using responses = Responses.of(device, lengths);
  using connectivity = Tensor.from(device, Float32Array.from(all.flatMap((b) => [...b.connectivity])));
  using profile = Tensor.from(device, Float32Array.from(all.flatMap((b) => [...b.profile])), { shape: [responses.tokens, 16] });
  using graph = new TokenGraph(responses, { connectivity, profile, neighbours: 8, adjacency: 0.1 });
  using kway = partitionKway(graph, { clusterSize: 6, imbalance: 0.2, seed: 0 });
  using found = partitionModularity(graph);
  const of = (tensor: Tensor, i: number) => Array.from(tensor.toArray().slice(responses.offsets[i], responses.offsets[i + 1]), Number);
  graph.read().forEach((host, i) => {
    const own = of(found.cluster, i), q = modularity(host, own), sizes = byFirst(own).map((c) => own.filter((o) => o === c).length);
    assertEquals(own, byFirst(own), "numbered by first token");
    assertEquals(own, [...modularityClusters(host)], "the same on every device for the same graph");
    assert(q >= modularity(host, own.map((_, t) => t)), `single tokens, response ${i}`);
    assert(lengths[i]! < 64 || q > modularity(host, of(kway.cluster, i)), `k-way, response ${i}`);
    assertEquals(found.stats[i]!.clusters, new Set(own).size);
    assertEquals(found.stats[i]!.largest, Math.max(0, ...sizes));
  });
});

deviceTest('the method "modularity" clusters tokens that look at one region, and weights them', (device) => {
  using responses = Responses.of(device, [12]);
  using connectivity = Tensor.from(device, Array.from({ length: 12 }, (_, t) => t % 3 === 0 ? 1 : 0.5));
  using profile = Tensor.from(device, Array.from({ length: 36 }, (_, e) => e % 3 === Math.floor(e / 3) % 3 ? 1 : 0), { shape: [12, 3] });
  const options = { ...ATRL_PUBLISHED, method: "modularity", clusterSize: 1 } as const;
  using credit = detectAtrl(responses, { connectivity, profile, visual: [true] }, options);
  assertEquals([...credit.clusters!.cluster.toArray()], Array.from({ length: 12 }, (_, t) => t % 3));
  assertEquals(credit.clusters!.stats[0]!.clusters, 3);
  const weights = credit.weights.toFloats();
  assert([1, 2].every((t) => weights[0]! > 2 * weights[t]!), `${weights}`);
});
