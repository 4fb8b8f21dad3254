import { type Metis, openMetis } from "../../ffi/metis.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { HostGraph, TokenGraph } from "./graph.ts";
import { modularityClusters, numbered } from "./modularity.ts";
import { type AtrlOptions, permille } from "./options.ts";
import type { Responses } from "../credit/responses.ts";

/** Clusters of packed responses. */
export interface Clusters extends Disposable {
  /** i32[tokens]: the number of each token's cluster. A response's clusters are numbered from 0, by their first tokens. */
  readonly cluster: Tensor;
  /** One for each response. */
  readonly stats: readonly ClusterStats[];
}

/** Figures of one response's partition. */
export interface ClusterStats {
  /** The number of clusters. */
  clusters: number;
  /** The sum of the integer weights between clusters; undefined where no graph was built. */
  cut: number | undefined;
  /** The number of tokens of the largest cluster. */
  largest: number;
}

/**
 * The number of clusters of a response of T tokens: clamp(round(T / clusterSize), 2, 64), halves rounded up; one where T < 4.
 *
 * @example
 * ```ts
 * import { clusterCount } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([3, 12, 100, 10_000].map((tokens) => clusterCount(tokens, 6)), [1, 2, 17, 64]);
 * ```
 */
export function clusterCount(tokens: number, clusterSize: number): number {
  if (tokens < 4) return Math.min(1, tokens);
  return Math.min(64, Math.max(2, Math.floor((2 * tokens + clusterSize) / (2 * clusterSize))));
}

/**
 * The number of tokens that a cluster may hold: floor((1 + imbalance) * ceil(tokens / clusters)).
 *
 * @example
 * ```ts
 * import { clusterBound } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(clusterBound(100, 17, 0.2), 7); // 1.2 * 6, rounded down
 * ```
 */
export function clusterBound(tokens: number, clusters: number, imbalance: number): number {
  return clusters === 0 ? 0 : Math.floor((1000 + permille(imbalance)) * Math.ceil(tokens / clusters) / 1000);
}

class OwnedClusters implements Clusters {
  constructor(readonly cluster: Tensor, readonly stats: readonly ClusterStats[]) {}

  [Symbol.dispose](): void {
    this.cluster[Symbol.dispose]();
  }
}

/**
 * Partitions graphs with the kernel. Every cluster keeps the bound, and none is empty.
 *
 * @example
 * ```ts
 * import { partitionKway, Responses, TokenGraph } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [4]);
 * using connectivity = Tensor.full(device, [4], { value: 1 });
 * // The first two tokens look at one region, the others at another.
 * using profile = Tensor.from(device, [1, 0, 1, 0, 0, 1, 0, 1], { shape: [4, 2] });
 * using graph = new TokenGraph(responses, { connectivity, profile, neighbours: 2, adjacency: 0.1 });
 * using clusters = partitionKway(graph, { clusterSize: 2, imbalance: 0, seed: 0 });
 * assertEquals([...clusters.cluster.toArray()], [0, 0, 1, 1]);
 * ```
 */
export function partitionKway(graph: TokenGraph, options: Pick<AtrlOptions, "clusterSize" | "imbalance" | "seed">): Clusters {
  const { responses } = graph, { device, tokens, count } = responses;
  using stack = new DisposableStack();
  const cluster = stack.use(Tensor.empty(device, [tokens], { dtype: "i32" }));
  using stats = Tensor.empty(device, [count, 3], { dtype: "i64" });
  // deno-fmt-ignore
  device.ops.partition(
    cluster.address, stats.address, graph.rows.address, graph.neighbour.address, graph.weight.address, graph.neighbour.size, graph.maxEdges,
    ...responses.shape, options.clusterSize, permille(options.imbalance), options.seed,
  );
  const facts = Array.from(stats.toArray(), Number);
  stack.move();
  return new OwnedClusters(
    cluster,
    Array.from({ length: count }, (_, i) => ({ clusters: facts[3 * i]!, cut: facts[3 * i + 1]!, largest: facts[3 * i + 2]! })),
  );
}

/**
 * The sum of the weights of the edges that a partition of a graph cuts.
 *
 * @example
 * ```ts
 * import { edgeCut } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * // 0 - 1 with weight 5, 1 - 2 with weight 3.
 * const graph = { rows: Int32Array.of(0, 1, 3, 4), neighbour: Int32Array.of(1, 0, 2, 1), weight: Int32Array.of(5, 5, 3, 3) };
 * assertEquals([edgeCut(graph, [0, 0, 1]), edgeCut(graph, [0, 1, 1]), edgeCut(graph, [0, 0, 0])], [3, 5, 0]);
 * ```
 */
export function edgeCut({ rows, neighbour, weight }: HostGraph, cluster: ArrayLike<number>): number {
  let twice = 0;
  for (let t = 0; t + 1 < rows.length; t++) {
    for (let e = rows[t]!; e < rows[t + 1]!; e++) if (cluster[neighbour[e]!] !== cluster[t]) twice += weight[e]!;
  }
  return twice / 2;
}

/** Partitions one response's graph with libmetis, which may exceed the bound and leave clusters empty. Clusters are numbered by their first tokens. */
export function metisClusters(
  metis: Metis,
  graph: HostGraph,
  options: Pick<AtrlOptions, "clusterSize" | "imbalance" | "seed">,
): Int32Array<ArrayBuffer> {
  const n = graph.rows.length - 1, clusters = clusterCount(n, options.clusterSize);
  if (clusters < 2) return new Int32Array(n);
  return numbered(metis.partition(graph, { clusters, imbalance: permille(options.imbalance), seed: options.seed })).community;
}

/**
 * Partitions graphs with libmetis, on the host.
 *
 * @throws {KedgeError} `Unsupported` where it is not installed.
 *
 * @example
 * ```ts
 * import { partitionMetis, Responses, TokenGraph } from "@kedge/kedge/rl";
 * import { KedgeError, openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [4]);
 * using connectivity = Tensor.full(device, [4], { value: 1 });
 * using profile = Tensor.from(device, [1, 0, 1, 0, 0, 1, 0, 1], { shape: [4, 2] });
 * using graph = new TokenGraph(responses, { connectivity, profile, neighbours: 2, adjacency: 0.1 });
 * let found = "[0,0,1,1]";
 * try {
 *   using clusters = partitionMetis(graph, { clusterSize: 2, imbalance: 0, seed: 0 });
 *   found = JSON.stringify([...clusters.cluster.toArray()]);
 * } catch (error) {
 *   if (!(error instanceof KedgeError && error.code === "Unsupported")) throw error; // libmetis is not installed
 * }
 * assertEquals(found, "[0,0,1,1]");
 * ```
 */
export function partitionMetis(graph: TokenGraph, options: Pick<AtrlOptions, "clusterSize" | "imbalance" | "seed">): Clusters {
  const metis = openMetis();
  return partitionOnHost(graph, (host) => metisClusters(metis, host, options));
}

/**
 * Partitions graphs by greedy modularity (Blondel et al., arXiv 0803.0476), on the host: the graph itself says how many clusters it has, and how large they
 * are. The same graph gives the same clusters on every machine.
 *
 * @example
 * ```ts
 * import { partitionModularity, Responses, TokenGraph } from "@kedge/kedge/rl";
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [6]);
 * using connectivity = Tensor.full(device, [6], { value: 1 });
 * // Tokens look at three regions in turn.
 * using profile = Tensor.from(device, [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1], { shape: [6, 3] });
 * using graph = new TokenGraph(responses, { connectivity, profile, neighbours: 2, adjacency: 0.1 });
 * using clusters = partitionModularity(graph);
 * assertEquals([...clusters.cluster.toArray()], [0, 1, 2, 0, 1, 2]);
 * ```
 */
export function partitionModularity(graph: TokenGraph): Clusters {
  return partitionOnHost(graph, modularityClusters);
}

function partitionOnHost(graph: TokenGraph, clustersOf: (graph: HostGraph) => Int32Array<ArrayBuffer>): Clusters {
  const { responses } = graph, all = new Int32Array(responses.tokens);
  const stats = graph.read().map((host, i) => {
    const cluster = clustersOf(host), sizes: number[] = [];
    for (const c of cluster) sizes[c] = (sizes[c] ?? 0) + 1;
    all.set(cluster, responses.offsets[i]!);
    return { clusters: sizes.length, cut: edgeCut(host, cluster), largest: Math.max(0, ...sizes) };
  });
  return new OwnedClusters(Tensor.from(responses.device, all), stats);
}

/**
 * Makes every token a cluster of its own.
 *
 * @example
 * ```ts
 * import { partitionNone, Responses } from "@kedge/kedge/rl";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [2, 3]);
 * using clusters = partitionNone(responses);
 * assertEquals([...clusters.cluster.toArray()], [0, 1, 0, 1, 2]);
 * ```
 */
export function partitionNone(responses: Responses): Clusters {
  const { offsets, count } = responses, all = new Int32Array(responses.tokens), stats: ClusterStats[] = [];
  for (let i = 0; i < count; i++) {
    const begin = offsets[i]!, n = offsets[i + 1]! - begin;
    for (let t = 0; t < n; t++) all[begin + t] = t;
    stats.push({ clusters: n, cut: undefined, largest: Math.min(1, n) });
  }
  return new OwnedClusters(Tensor.from(responses.device, all), stats);
}
