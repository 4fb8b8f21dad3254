/**
 * Kedge's k-way partition against libmetis on the same integer graphs, by length of the response: the sum of the edge cuts, clusters over the size bound, and time. Goals: cuts at most
 * 1.10 times METIS's in every row, no cluster over the bound, less time.
 *
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-env=PATH,HOME --allow-ffi bench/partition.ts [--graphs=200] [--seed=1] [--responses=FILE]
 *
 * The responses are made up (tests/rl/gaze.ts). FILE: JSON lines of `{ "regions": R, "connectivity": [T], "profile": [T * R] }`, a response each, measured beside
 * them; such as a model's attention. METIS minimises with 1.2 times the mean size as its wish; its clusters over Kedge's bound are counted, and its cuts count all the same.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { openMetis } from "../ffi/metis.ts";
import { TokenGraph } from "../rl/atrl/graph.ts";
import { ATRL_DEFAULTS } from "../rl/atrl/options.ts";
import { clusterBound, clusterCount, edgeCut, metisClusters, partitionKway } from "../rl/atrl/partition.ts";
import { Responses } from "../rl/atrl/responses.ts";
import { Random } from "../tensor/random.ts";
import { Tensor } from "../tensor/tensor.ts";
import { gaze } from "../tests/rl/gaze.ts";
import { Report } from "./report.ts";

const CUT_GOAL = 1.1;
const BUCKETS = [[4, 16], [17, 64], [65, 128], [129, 384], [385, 768], [769, 2048]] as const;

/** A response to make a graph of. */
export interface MeasuredResponse {
  connectivity: ArrayLike<number>;
  /** [T, regions] */
  profile: ArrayLike<number>;
  regions: number;
}

/** What one graph gave. */
interface Result {
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

function table(name: string, results: readonly Result[]): void {
  const report = new Report(name, { threads: 1, goal: `cut ratio <= ${CUT_GOAL}, no cluster over the bound, time ratio < 1` });
  for (const [low, high] of BUCKETS) {
    const own = results.filter(({ tokens }) => tokens >= low && tokens <= high);
    if (own.length === 0) continue;
    const sum = (of: (r: Result) => number) => own.reduce((total, r) => total + of(r), 0);
    const cut = sum((r) => r.cut) / sum((r) => r.metisCut),
      time = sum((r) => r.seconds) / sum((r) => r.metisSeconds),
      over = sum((r) => r.over);
    report.row({
      tokens: `${low}-${high}`,
      graphs: own.length,
      "cut / METIS's": cut,
      "over the bound": over,
      "METIS's over": sum((r) => r.metisOver),
      "time / METIS's": time,
      ms: 1000 * sum((r) => r.seconds) / own.length,
      goal: cut <= CUT_GOAL && over === 0 && time < 1 ? "met" : "MISSED",
    });
  }
  report.print();
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args, { string: ["graphs", "seed", "responses"] });
  const count = Number(flags.graphs ?? 200), seed = Number(flags.seed ?? 1), random = new Random(seed);
  using device = CpuDevice.open({ threads: 1 });
  const made = Array.from({ length: count }, (_, i) => {
    const [low, high] = BUCKETS[i % BUCKETS.length]!;
    return gaze(random, { tokens: Math.round(low * (high / low) ** random.next()) });
  });
  table("partition, made-up responses", made.map((response) => comparePartitions(device, response, seed)));
  if (flags.responses) {
    const lines = Deno.readTextFileSync(flags.responses).split("\n").filter((line) => line.trim());
    table(`partition, ${flags.responses}`, lines.map((line) => comparePartitions(device, JSON.parse(line) as MeasuredResponse, seed)));
  }
}
