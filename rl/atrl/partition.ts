import { type Metis, openMetis } from "../../ffi/metis.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { HostGraph, TokenGraph } from "./graph.ts";
import { type AtrlOptions, permille } from "./options.ts";
import type { Responses } from "./responses.ts";

/** Clusters of packed responses. */
export interface Clusters extends Disposable {
  /** i32[tokens]: of each token, within its response, numbered by first token. */
  readonly cluster: Tensor;
  /** Of each response. */
  readonly stats: readonly ClusterStats[];
}

/** What a partition of one response came to. */
export interface ClusterStats {
  clusters: number;
  /** Sum of the integer weights between clusters; undefined where no graph was built. */
  cut: number | undefined;
  /** Tokens of the largest cluster. */
  largest: number;
}

/** clamp(round(T / clusterSize), 2, 64), halves up; one below 4 tokens. */
export function clusterCount(tokens: number, clusterSize: number): number {
  if (tokens < 4) return Math.min(1, tokens);
  return Math.min(64, Math.max(2, Math.floor((2 * tokens + clusterSize) / (2 * clusterSize))));
}

/** Tokens that a cluster may hold: floor((1 + imbalance) * ceil(tokens / clusters)). */
export function clusterBound(tokens: number, clusters: number, imbalance: number): number {
  return clusters === 0 ? 0 : Math.floor((1000 + permille(imbalance)) * Math.ceil(tokens / clusters) / 1000);
}

class OwnedClusters implements Clusters {
  constructor(readonly cluster: Tensor, readonly stats: readonly ClusterStats[]) {}

  [Symbol.dispose](): void {
    this.cluster[Symbol.dispose]();
  }
}

/** Partitions graphs with the kernel: every cluster within the bound, none empty. */
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

/** What a partition of a graph cuts. */
export function edgeCut({ rows, neighbour, weight }: HostGraph, cluster: ArrayLike<number>): number {
  let twice = 0;
  for (let t = 0; t + 1 < rows.length; t++) {
    for (let e = rows[t]!; e < rows[t + 1]!; e++) if (cluster[neighbour[e]!] !== cluster[t]) twice += weight[e]!;
  }
  return twice / 2;
}

/** Clusters of one response with libmetis, numbered by first token; it may pass the bound and leave clusters empty. */
export function metisClusters(
  metis: Metis,
  graph: HostGraph,
  options: Pick<AtrlOptions, "clusterSize" | "imbalance" | "seed">,
): Int32Array<ArrayBuffer> {
  const n = graph.rows.length - 1, clusters = clusterCount(n, options.clusterSize);
  if (clusters < 2) return new Int32Array(n);
  const numbers = new Map<number, number>();
  return metis.partition(graph, { clusters, imbalance: permille(options.imbalance), seed: options.seed }).map((c) => {
    if (!numbers.has(c)) numbers.set(c, numbers.size);
    return numbers.get(c)!;
  });
}

/** Partitions graphs with libmetis, on the host. @throws {KedgeError} `Unsupported` where it is not installed. */
export function partitionMetis(graph: TokenGraph, options: Pick<AtrlOptions, "clusterSize" | "imbalance" | "seed">): Clusters {
  const metis = openMetis(), { responses } = graph, all = new Int32Array(responses.tokens);
  const stats = graph.read().map((own, i) => {
    const cluster = metisClusters(metis, own, options), sizes: number[] = [];
    for (const c of cluster) sizes[c] = (sizes[c] ?? 0) + 1;
    all.set(cluster, responses.offsets[i]!);
    return { clusters: sizes.length, cut: edgeCut(own, cluster), largest: Math.max(0, ...sizes) };
  });
  return new OwnedClusters(Tensor.from(responses.device, all), stats);
}

/** Every token its own cluster. */
export function partitionNone(responses: Responses): Clusters {
  const { offsets, count } = responses, all = new Int32Array(responses.tokens), stats: ClusterStats[] = [];
  for (let i = 0; i < count; i++) {
    const begin = offsets[i]!, n = offsets[i + 1]! - begin;
    for (let t = 0; t < n; t++) all[begin + t] = t;
    stats.push({ clusters: n, cut: undefined, largest: Math.min(1, n) });
  }
  return new OwnedClusters(Tensor.from(responses.device, all), stats);
}
