/**
 * Compares Kedge's k-way partition with libmetis on the same integer graphs, by length of the response: the sum of the edge cuts, clusters
 * over the size bound, and time. Without libmetis it says how to get it, and measures nothing.
 *
 * Goals: in every row the cuts are at most 1.10 times METIS's; no cluster exceeds the bound; the time is shorter.
 *
 *   deno run --no-prompt --allow-read --allow-write=.cache --allow-run=c++,g++ --allow-env=PATH,HOME --allow-ffi bench/partition.ts [--graphs=200] [--seed=1]
 *     [--markdown]
 *
 * Half of the graphs come from synthetic responses (tests/rl/gaze.ts). The other half come from answers of a tiny model with random weights
 * to random pictures (tests/rl/model_gaze.ts), few of which are long. METIS minimises with 1.2 times the mean size as its target. Graphs
 * where it exceeds Kedge's bound are counted, and their cuts have a separate column.
 *
 * @module
 */
import { CpuDevice } from "../ffi/cpu_device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { openMetis } from "../ffi/metis.ts";
import { TokenGraph } from "../rl/atrl/graph.ts";
import { ATRL_DEFAULTS } from "../rl/atrl/options.ts";
import { clusterBound, clusterCount, edgeCut, metisClusters, partitionKway } from "../rl/atrl/partition.ts";
import { Responses } from "../rl/credit/responses.ts";
import { Random } from "../tensor/random.ts";
import { Tensor } from "../tensor/tensor.ts";
import { gaze } from "../tests/rl/gaze.ts";
import { modelGazes } from "../tests/rl/model_gaze.ts";
import { benchLine } from "./options.ts";
import { Report } from "./report.ts";

/** The largest permitted ratio of Kedge's cuts to METIS's. */
export const CUT_GOAL = 1.1;
/** The ranges of response lengths. Each range is a row. */
export const BUCKETS: readonly (readonly [low: number, high: number])[] = [[4, 16], [17, 64], [65, 128], [129, 384], [385, 768], [
  769,
  2048,
]];

/** The data of a response, from which a graph is made. */
export interface MeasuredResponse {
  connectivity: ArrayLike<number>;
  /** [T, regions] */
  profile: ArrayLike<number>;
  regions: number;
}

/** The results for one graph. */
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

/** Counts the clusters that have more tokens than the bound, or none. */
function faults(cluster: ArrayLike<number>, clusters: number, options: { empty: boolean }): number {
  const sizes = new Array<number>(clusters).fill(0), bound = clusterBound(cluster.length, clusters, imbalance);
  for (let t = 0; t < cluster.length; t++) sizes[cluster[t]!]!++;
  return sizes.filter((size) => size > bound || (options.empty && size === 0)).length;
}

/** Partitions the graph of one response with both programs. */
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

/** The results for all graphs of a range. */
export interface Summary {
  /** The ratio of Kedge's cuts to METIS's, over the graphs where METIS kept the bound; NaN if there are none. */
  ratio: number;
  /** The same ratio over all graphs. */
  ratioOfAll: number;
  /** The number of Kedge's clusters over the bound, or empty. */
  over: number;
  /** The number of graphs where METIS exceeded the bound. */
  metisOver: number;
  seconds: number;
  metisSeconds: number;
}

/** Sums up the graphs of a range. */
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

/** Groups results by range. Empty ranges are omitted. */
export function byBucket(results: readonly Result[]): { name: string; results: Result[] }[] {
  return BUCKETS.map(([low, high]) => ({
    name: `${low}-${high}`,
    results: results.filter(({ tokens }) => tokens >= low && tokens <= high),
  })).filter(({ results }) => results.length > 0);
}

/**
 * Draws lengths of responses for every range, spread evenly on a logarithmic scale. One of every `long` lengths is from the two longest
 * ranges.
 */
export function lengthsOf(random: Random, { graphs, long }: { graphs: number; long: number }): number[] {
  const short = BUCKETS.slice(0, -2), tail = BUCKETS.slice(-2);
  return Array.from({ length: graphs }, (_, i) => {
    const [low, high] = (i + 1) % long === 0 ? tail[(i + 1) / long % 2]! : short[i % short.length]!;
    return Math.round(low * (high / low) ** random.next());
  });
}

/** Returns openMetis's message if libmetis is missing. */
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
    does: "Compares Kedge's k-way partition with libmetis on the same graphs.",
    values: { graphs: ["N", "graphs of synthetic responses, and as many of a model's (default 200)"], seed: ["N", "default 1"] },
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
