/**
 * Seconds that AT-RL takes of a step after the forward: graph, clusters, weights, advantages (sections 2 to 4), and the report, for 4 prompts of 8 responses of 64 tokens
 * and 64 regions. Goal: at most 0.5 % of a step, which `--step` gives in seconds.
 *
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-env=PATH,HOME --allow-ffi bench/atrl.ts [--threads=2] [--responses=32] [--tokens=64]
 *     [--step=1.5]
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { detectAtrl } from "../rl/atrl/detect.ts";
import { TokenGraph } from "../rl/atrl/graph.ts";
import { ATRL_DEFAULTS } from "../rl/atrl/options.ts";
import { partitionKway } from "../rl/atrl/partition.ts";
import { Responses } from "../rl/atrl/responses.ts";
import { tokenWeights } from "../rl/atrl/weights.ts";
import { Random } from "../tensor/random.ts";
import { Tensor } from "../tensor/tensor.ts";
import { gaze } from "../tests/rl/gaze.ts";
import { measure, Report } from "./report.ts";

const SHARE_GOAL = 0.005;
const flags = parseArgs(Deno.args, { string: ["threads", "responses", "tokens", "step"] });
const count = Number(flags.responses ?? 32), tokens = Number(flags.tokens ?? 64), step = Number(flags.step ?? 1.5);
const random = new Random(1), made = Array.from({ length: count }, () => gaze(random, { tokens }));

using device = CpuDevice.open({ threads: Number(flags.threads ?? 2) });
using responses = Responses.of(device, made.map(() => tokens));
using connectivity = Tensor.from(device, Float32Array.from(made.flatMap((r) => [...r.connectivity])));
using profile = Tensor.from(device, Float32Array.from(made.flatMap((r) => [...r.profile])), { shape: [responses.tokens, 64] });
using advantage = Tensor.from(device, Float32Array.from(random.normal(count)));
using graph = new TokenGraph(responses, { connectivity, profile, neighbours: 8, adjacency: 0.1 });
using clusters = partitionKway(graph, ATRL_DEFAULTS);

const result = measure({
  "sections 2 to 4": () => {
    using credit = detectAtrl(responses, { connectivity, profile });
    credit.advantages(advantage).free();
  },
  "the same and the report": () => {
    using credit = detectAtrl(responses, { connectivity, profile });
    using advantages = credit.advantages(advantage);
    credit.report({ advantages });
  },
  graph: () => new TokenGraph(responses, { connectivity, profile, neighbours: 8, adjacency: 0.1 })[Symbol.dispose](),
  partition: () => partitionKway(graph, ATRL_DEFAULTS)[Symbol.dispose](),
  weights: () => {
    const { weights, flags } = tokenWeights(responses, { connectivity, cluster: clusters.cluster }, ATRL_DEFAULTS);
    weights.free();
    flags.free();
  },
});
const report = new Report("AT-RL, sections 2 to 4", {
  threads: device.threads,
  responses: count,
  tokens,
  goal: `at most ${100 * SHARE_GOAL} % of a step of ${step} s`,
});
for (const [part, { seconds, best }] of Object.entries(result)) {
  const share = seconds / step, whole = part.includes(" ");
  report.row({
    part,
    ms: 1000 * seconds,
    best: 1000 * best,
    "% of the step": 100 * share,
    ...(whole ? { goal: share <= SHARE_GOAL ? "met" : "MISSED" } : {}),
  });
}
report.print();
