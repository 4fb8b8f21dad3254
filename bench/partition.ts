/**
 * Kedge's k-way partition against libmetis on the same integer graphs, by length of the response: the sum of the edge cuts, clusters over the size bound, and time. Goals: cuts at most
 * 1.10 times METIS's in every row, no cluster over the bound, less time. Without libmetis it says how to get it, and measures nothing.
 *
 *   deno run --no-prompt --allow-read --allow-write=.cache --allow-run=c++,g++ --allow-env=PATH,HOME --allow-ffi bench/partition.ts [--graphs=200] [--seed=1]
 *     [--markdown]
 *
 * So many graphs are of responses that are made up (tests/rl/gaze.ts), and as many of answers of a tiny model with random weights to random pictures
 * (tests/rl/model_gaze.ts), few of which are long. METIS minimises with 1.2 times the mean size as its wish: graphs where it passes Kedge's bound are counted, and
 * their cuts have a column apart.
 *
 * @module
 */
import { CpuDevice } from "../ffi/cpu_device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { openMetis } from "../ffi/metis.ts";
import { TokenGraph } from "../rl/atrl/graph.ts";
import { ATRL_DEFAULTS } from "../rl/atrl/options.ts";
import { clusterBound, clusterCount, edgeCut, metisClusters, partitionKway } from "../rl/atrl/partition.ts";
import { Responses } from "../rl/atrl/responses.ts";
import { Random } from "../tensor/random.ts";
import { Tensor } from "../tensor/tensor.ts";
import { gaze } from "../tests/rl/gaze.ts";
import { modelGazes } from "../tests/rl/model_gaze.ts";
import { benchLine } from "./options.ts";
import { Report } from "./report.ts";

/** Kedge's cuts by METIS's, at most. */
export const CUT_GOAL = 1.1;
/** Lengths of responses that share a row. */
export const BUCKETS: readonly (readonly [low: number, high: number])[] = [[4, 16], [17, 64], [65, 128], [129, 384], [385, 768], [
  769,
  2048,
]];

/** A response to make a graph of. */
export interface MeasuredResponse {
  connectivity: ArrayLike<number>;
  /** [T, regions] */
  profile: ArrayLike<number>;
  regions: number;
}

/** What one graph gave. */
export interface Result {
  tokens: number;
  cut: number;
  metisCut: number;
  over: number;
  metisOver: number;
  seconds: number;
  metisSeconds: number;
}

const { imbalance, clusterSize, neighbours, adjacency } = ATRL_DEFAULTS;

/** Clusters of more tokens than the bound lets them have, or none. */
function faults(cluster: ArrayLike<number>, clusters: number, options: { empty: boolean }): number {
  const sizes = new Array<number>(clusters).fill(0), bound = clusterBound(cluster.length, clusters, imbalance);
  for (let t = 0; t < cluster.length; t++) sizes[cluster[t]!]!++;
  return sizes.filter((size) => size > bound || (options.empty && size === 0)).length;
}

/** Partitions one response's graph in both ways. */
export function comparePartitions(device: CpuDevice, response: MeasuredResponse, seed: number): Result {
  const tokens = response.connectivity.length, options = { clusterSize, imbalance, seed }, metis = openMetis();
  using responses = Responses.of(device, [tokens]);
  using connectivity = Tensor.from(device, Float32Array.from(response.connectivity));
  using profile = Tensor.from(device, Float32Array.from(response.profile), { shape: [tokens, response.regions] });
  using graph = new TokenGraph(responses, { connectivity, profile, neighbours, adjacency });
  const host = graph.read()[0]!, clusters = clusterCount(tokens, clusterSize), repeats = tokens < 400 ? 5 : 2;
  let seconds = Infinity, metisSeconds = Infinity, cluster: ArrayLike<number> = [], other: ArrayLike<number> = [], cut = 0;
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    using own = partitionKway(graph, options);
    const middle = performance.now();
    other = metisClusters(metis, host, options);
    const end = performance.now();
    seconds = Math.min(seconds, (middle - start) / 1000);
    metisSeconds = Math.min(metisSeconds, (end - middle) / 1000);
    cluster = Array.from(own.cluster.toArray(), Number);
    cut = own.stats[0]!.cut!;
  }
  return {
    ...{ tokens, cut, metisCut: edgeCut(host, other), seconds, metisSeconds },
    ...{ over: faults(cluster, clusters, { empty: true }), metisOver: faults(other, clusters, { empty: false }) },
  };
}

/** A bucket's graphs together. */
export interface Summary {
  /** Kedge's cuts by METIS's, of the graphs where METIS kept the bound; NaN where it never did. */
  ratio: number;
  /** The same of all graphs. */
  ratioOfAll: number;
  /** Clusters of Kedge's over the bound, or empty. */
  over: number;
  /** Graphs where METIS passed the bound. */
  metisOver: number;
  seconds: number;
  metisSeconds: number;
}

/** Sums over the graphs of a bucket. */
export function summaryOf(results: readonly Result[]): Summary {
  const sum = (list: readonly Result[], of: (r: Result) => number) => list.reduce((total, r) => total + of(r), 0);
  const ratio = (list: readonly Result[]) => sum(list, (r) => r.cut) / sum(list, (r) => r.metisCut);
  const within = results.filter(({ metisOver }) => metisOver === 0);
  return {
    ratio: ratio(within),
    ratioOfAll: ratio(results),
    over: sum(results, (r) => r.over),
    metisOver: results.length - within.length,
    seconds: sum(results, (r) => r.seconds),
    metisSeconds: sum(results, (r) => r.metisSeconds),
  };
}

/** The graphs by bucket, without empty ones. */
export function byBucket(results: readonly Result[]): { name: string; results: Result[] }[] {
  return BUCKETS.map(([low, high]) => ({
    name: `${low}-${high}`,
    results: results.filter(({ tokens }) => tokens >= low && tokens <= high),
  })).filter(({ results }) => results.length > 0);
}

/** Lengths of responses, some in each of the buckets, spread evenly by their logarithm; `long`: one of so many is of the two longest buckets. */
export function lengthsOf(random: Random, { graphs, long }: { graphs: number; long: number }): number[] {
  const short = BUCKETS.slice(0, -2), tail = BUCKETS.slice(-2);
  return Array.from({ length: graphs }, (_, i) => {
    const [low, high] = (i + 1) % long === 0 ? tail[(i + 1) / long % 2]! : short[i % short.length]!;
    return Math.round(low * (high / low) ** random.next());
  });
}

/** What openMetis says where libmetis is missing. */
function missing(): string | undefined {
  try {
    openMetis();
    return undefined;
  } catch (error) {
    if (error instanceof KedgeError && error.code === "Unsupported") return error.message;
    throw error;
  }
}

if (import.meta.main) {
  const line = benchLine({
    name: "deno task bench partition",
    does: "Kedge's k-way partition against libmetis on the same graphs.",
    values: { graphs: ["N", "of responses that are made up, and as many of a model's (default 200)"], seed: ["N", "default 1"] },
    flags: { markdown: "prints the table in Markdown too" },
  });
  const why = missing();
  if (why) {
    Deno.stderr.writeSync(new TextEncoder().encode(`bench/partition.ts measures nothing: ${why}\n`));
    Deno.exit(0);
  }
  const graphs = line.number("graphs", { min: 1 }) ?? 200, seed = line.number("seed") ?? 1, random = new Random(seed);
  using device = CpuDevice.open({ threads: 1 });
  const report = new Report("partition", { threads: 1, goal: `cut ratio <= ${CUT_GOAL}, no cluster over the bound, time ratio < 1` });
  const add = (responses: string, measured: readonly MeasuredResponse[]) => {
    for (const { name, results } of byBucket(measured.map((response) => comparePartitions(device, response, seed)))) {
      const { ratio, ratioOfAll, over, metisOver, seconds, metisSeconds } = summaryOf(results);
      report.row({
        responses,
        tokens: name,
        graphs: results.length,
        "cut / METIS's": ratio,
        "over the bound": over,
        "METIS over": metisOver,
        "cut with those": ratioOfAll,
        "time / METIS's": seconds / metisSeconds,
        "slowest graph": Math.max(...results.map((r) => r.seconds / r.metisSeconds)),
        ms: 1000 * seconds / results.length,
        goal: ratio <= CUT_GOAL && over === 0 && seconds < metisSeconds ? "met" : "MISSED",
      });
    }
  };
  add("made up", lengthsOf(random, { graphs, long: 3 }).map((tokens) => gaze(random, { tokens })));
  add("model", await modelGazes(device, random, lengthsOf(random, { graphs, long: 16 })));
  report.print();
  if (line.flag("markdown")) Deno.stdout.writeSync(new TextEncoder().encode(`${report.markdown()}\n`));
}
