// AT-RL as a whole against the slow definition in float64, and the properties that it promises.
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { openMetis } from "../../ffi/metis.ts";
import { type AtrlInputs, detectAtrl } from "../../rl/atrl/detect.ts";
import { TokenGraph } from "../../rl/atrl/graph.ts";
import { ATRL_PUBLISHED, type AtrlOptions, atrlOptions } from "../../rl/atrl/options.ts";
import { clusterBound, clusterCount } from "../../rl/atrl/partition.ts";
import { atrlReport, bimodality } from "../../rl/atrl/report.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { tokenWeights as weightsOf } from "../../rl/atrl/weights.ts";
import type { Device } from "../../ffi/device.ts";
import type { Random } from "../../tensor/random.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assertClose, deviceTest } from "../tensor/device_test_case.ts";
import { plainScore } from "../../rl/credit/plain_score.ts";
import { plainWeights } from "../../rl/credit/plain_weights.ts";
import { clusterBound as bound, clusterCount as countOf, edgeCut, graph } from "./atrl_reference.ts";
import { gaze } from "./gaze.ts";

const metis = (() => {
  try {
    return openMetis();
  } catch (error) {
    if (error instanceof KedgeError && error.code === "Unsupported") return undefined;
    throw error;
  }
})();
const LENGTHS = [0, 1, 3, 4, 17, 64, 130];

/** Host numbers of packed responses, a response each. */
type Batch = { connectivity: Float32Array<ArrayBuffer>; profile: Float32Array<ArrayBuffer>; regions: number }[];
const batchOf = (random: Random, lengths: readonly number[] = LENGTHS): Batch =>
  lengths.map((tokens) => gaze(random, { tokens, regions: 16 }));

interface Found {
  weights: number[];
  clusters: number[] | undefined;
  flags: number[];
  advantages: number[];
  report: Record<string, number>;
}

/** The default and the paper's reading. */
const READINGS: readonly Partial<AtrlOptions>[] = [{}, ATRL_PUBLISHED];

/** The scores of a response by the definition, as f32. */
const scoresOf = (response: Batch[number], options: AtrlOptions) => Float32Array.from(plainScore(response, options));

/** Runs AT-RL and returns the numbers of each response. */
function run(
  device: Device,
  batch: Batch,
  options: Partial<AtrlOptions> & { visual?: boolean[]; advantage?: number[]; prompts?: number[] } = {},
): Found[] {
  const { visual = batch.map(() => true), advantage = batch.map((_, i) => i - 2.5), prompts = batch.map((_, i) => i), ...chosen } = options;
  using responses = Responses.of(device, batch.map(({ connectivity }) => connectivity.length));
  const pack = (of: (b: Batch[number]) => Float32Array<ArrayBuffer>) => Float32Array.from(batch.flatMap((b) => [...of(b)]));
  using connectivity = Tensor.from(device, pack((b) => b.connectivity));
  using profile = Tensor.from(device, pack((b) => b.profile), { shape: [responses.tokens, batch[0]!.regions] });
  using a = Tensor.from(device, advantage);
  const keys = prompts.map((prompt) => ({ prompt, sample: 1 }));
  using credit = detectAtrl(responses, { connectivity, profile, visual, keys }, chosen);
  using advantages = credit.advantages(a);
  const parts = [credit.weights, credit.clusters?.cluster, credit.flags, advantages].map((t) => t && Array.from(t.toArray(), Number));
  const report = credit.report({ advantages });
  return batch.map((_, i) => {
    const [weights, clusters, flags, all] = parts.map((p) => p?.slice(responses.offsets[i], responses.offsets[i + 1]));
    return { weights: weights!, clusters, flags: flags!, advantages: all!, report };
  });
}

deviceTest("weights and advantages are those of the definition, given the clusters", (device, random) => {
  const batch = batchOf(random);
  for (const reading of READINGS) {
    for (const mode of ["off", "soft", "hard", "low", "random"] as const) {
      const options = { ...reading, mode, seed: random.integer(0, 1000), clusterSize: 5, temperature: 0.2 }, whole = atrlOptions(options);
      run(device, batch, options).forEach((found, i) => {
        const connectivity = scoresOf(batch[i]!, whole), key = { prompt: i, sample: 1 };
        const wanted = plainWeights({ connectivity, cluster: found.clusters ?? [], visual: true, key }, whole);
        const what = `${whole.score}, ${mode}, response ${i}`;
        assertClose(found.weights, wanted, { what, tolerance: 1e-6 });
        assertClose(found.advantages, wanted.map((w) => w * (i - 2.5)), { what: `advantages, ${what}`, tolerance: 1e-6 });
      });
    }
  }
});

deviceTest("clusters keep the bound and cut what they say of the defined graph", (device, random) => {
  const batch = batchOf(random);
  const edges = { threshold: 0.05, contrast: 1, neighbourRule: "mutual" } as const;
  for (const options of [...READINGS, edges, { ...edges, adjacency: 0 }]) checkClusters(device, batch, atrlOptions(options));
});

deviceTest("tokens without any edge are clustered and weighted by every method", (device, random) => {
  const batch = batchOf(random);
  for (const method of ["kway", "modularity", ...(metis ? ["metis" as const] : [])] as const) {
    for (const own of [0, 0.75]) {
      run(device, batch, { method, own, threshold: 1 - 1e-9, adjacency: 0 }).forEach(({ clusters, weights }, i) => {
        const n = LENGTHS[i]!, what = `${method}, own ${own}, response ${i}`;
        if (method === "kway") assertEquals(new Set(clusters).size, countOf(n, 6), what);
        if (method === "modularity") assertEquals(clusters, weights.map((_, t) => t), what);
        if (n > 0) assertAlmostEquals(weights.reduce((a, b) => a + b) / n, 1, 1e-5, what);
      });
    }
  }
});

const graphOf = ({ neighbours, adjacency, neighbourRule, threshold, contrast }: AtrlOptions) => (
  { neighbours, adjacency, neighbourRule, threshold, contrast }
);

/** Checks the clusters of a batch against the graph of the definition. */
function checkClusters(device: Device, batch: Batch, options: AtrlOptions): void {
  using responses = Responses.of(device, LENGTHS);
  using connectivity = Tensor.from(device, Float32Array.from(batch.flatMap((b) => [...b.connectivity])));
  using profile = Tensor.from(device, Float32Array.from(batch.flatMap((b) => [...b.profile])), { shape: [responses.tokens, 16] });
  using credit = detectAtrl(responses, { connectivity, profile, visual: LENGTHS.map(() => true) }, options);
  using built = new TokenGraph(responses, { connectivity: credit.scores, profile, ...graphOf(options) });
  const graphs = built.read(), cluster = credit.clusters!.cluster.toArray();
  LENGTHS.forEach((n, i) => {
    const own = Array.from(cluster.slice(responses.offsets[i], responses.offsets[i + 1]), Number), stats = credit.clusters!.stats[i]!;
    assertEquals(stats.clusters, countOf(n, options.clusterSize));
    assertEquals(clusterCount(n, options.clusterSize), stats.clusters);
    assert(n < 4 || stats.largest <= bound(n, stats.clusters, 200), `${stats.largest} of ${n}`);
    assertEquals(clusterBound(n, stats.clusters, 0.2), n === 0 ? 0 : bound(n, stats.clusters, 200));
    assertEquals(graphs[i]!.rows.length, n + 1);
    // f32 may choose another of two edges that weigh the same to six digits.
    const scored = { ...batch[i]!, connectivity: scoresOf(batch[i]!, options) };
    const cut = edgeCut(graph(scored, options), own);
    assert(Math.abs(stats.cut! - cut) <= 1e-3 * cut + 1, `${stats.cut} against ${cut}`);
  });
}

deviceTest("the order of the responses changes nothing", (device, random) => {
  const batch = batchOf(random), order = batch.map((_, i) => i).toSorted(() => random.next() - 0.5);
  for (const mode of ["soft", "hard", "random"] as const) {
    const base = run(device, batch, { mode });
    const moved = run(device, order.map((i) => batch[i]!), { mode, prompts: order, advantage: order.map((i) => i - 2.5) });
    order.forEach((i, at) => assertEquals({ ...moved[at]!, report: {} }, { ...base[i]!, report: {} }));
  }
});

deviceTest("without a visual token, every mode is the base algorithm exactly", (device, random) => {
  const batch = batchOf(random), visual = batch.map((_, i) => i % 2 === 0);
  for (const mode of ["off", "soft", "hard", "low", "random"] as const) {
    run(device, batch, { mode, visual }).forEach(({ weights, advantages }, i) => {
      if (visual[i] && mode !== "off") return;
      assertEquals(weights, weights.map(() => 1));
      assertEquals(advantages, weights.map(() => i - 2.5));
    });
  }
  using responses = Responses.of(device, [5]);
  using connectivity = Tensor.from(device, [0, 0, 0, 0, 0]);
  using credit = detectAtrl(responses, { connectivity, visual: [false] });
  assertEquals([...credit.weights.toArray()].map(Number), [1, 1, 1, 1, 1]);
  assertEquals(credit.report()["atrl/anchor_fraction"], undefined);
});

deviceTest("by connectivity, clusters of single tokens, and modes without clusters, need no profile", (device) => {
  using responses = Responses.of(device, [8]);
  using connectivity = Tensor.from(device, [0.1, 0.6, 0.1, 0.1, 0.1, 0.1, 0.5, 0.1]);
  for (const options of [{ method: "none" }, { mode: "hard", anchorFraction: 250 }, { mode: "low" }, { mode: "off" }] as const) {
    using credit = detectAtrl(responses, { connectivity, visual: [true] }, { ...ATRL_PUBLISHED, ...options });
    const weights = credit.weights.toFloats();
    assertEquals(weights.every((w) => w === 1), "mode" in options && options.mode === "off", JSON.stringify(options));
  }
});

deviceTest("the method none makes every token a cluster, and scale does not matter", (device, random) => {
  const batch = batchOf(random);
  run(device, batch, { method: "none" }).forEach(({ clusters }) => assertEquals(clusters, clusters!.map((_, t) => t)));
  const scaled = batch.map((b) => ({ ...b, connectivity: b.connectivity.map((c) => c / 8), profile: b.profile.map((p) => p / 8) }));
  for (const method of ["none", "kway"] as const) {
    const plain = run(device, batch, { method }), other = run(device, scaled, { method });
    plain.forEach((found, i) => assertEquals(other[i]!.weights, found.weights));
  }
});

deviceTest("two runs give the same", (device, random) => {
  const batch = batchOf(random), [a, b] = [run(device, batch), run(device, batch)];
  for (const [i, found] of a.entries()) assertEquals({ ...found, report: {} }, { ...b[i], report: {} });
});

deviceTest("the report says what the weights are", (device, random) => {
  const batch = batchOf(random), found = run(device, batch), report = found[0]!.report;
  const pairs = found.flatMap(({ weights, flags }, i) =>
    weights.map((w, t) => ({ w, anchor: flags[t]! & 1, c: batch[i]!.connectivity[t]!, a: Math.abs(w * (i - 2.5)) }))
  );
  const mean = (of: (p: typeof pairs[number]) => number, anchor: number) => {
    const own = pairs.filter((p) => p.anchor === anchor);
    return own.reduce((sum, p) => sum + of(p), 0) / own.length;
  };
  const near = (name: string, value: number) => assertAlmostEquals(report[`atrl/${name}`]!, value, 1e-5 * (1 + Math.abs(value)), name);
  near("anchor_fraction", pairs.filter((p) => p.anchor).length / pairs.length);
  near("connectivity_anchor", mean((p) => p.c, 1));
  near("connectivity_ratio", mean((p) => p.c, 1) / mean((p) => p.c, 0));
  near("weight_anchor", mean((p) => p.w, 1));
  near("weight_rest", mean((p) => p.w, 0));
  near("bimodality", bimodality(pairs.map((p) => p.c)));
  near("advantage_share", pairs.reduce((s, p) => s + p.anchor * p.a, 0) / pairs.reduce((s, p) => s + p.a, 0));
  assert(report["atrl/anchor_purity"]! > 0.2 && report["atrl/anchor_purity"]! <= 1);
  near("clusters", LENGTHS.filter((n) => n >= 4).reduce((s, n) => s + countOf(n, 6), 0) / LENGTHS.filter((n) => n >= 4).length);
  for (const name of ["atrl/edge_cut", "atrl/imbalance", "timing_s/atrl"]) assert(report[name]! >= 0, name);
  assertEquals(report["atrl/entropy_anchor"], undefined);
});

Deno.test("the report leaves out what a mask hides and what is not defined", () => {
  const given = {
    offsets: [0, 4],
    connectivity: [1, 0, 0, 9],
    weights: [2, 1, 1, 9],
    flags: [3, 0, 2, 1],
    mask: [1, 1, 1, 0],
    entropy: [5, 1, 3, 9],
  };
  assertEquals(atrlReport({ ...given, seconds: 1, stepSeconds: 4 }), {
    "atrl/anchor_fraction": 1 / 3,
    "atrl/connectivity_anchor": 1,
    "atrl/connectivity_rest": 0,
    "atrl/anchor_purity": 0.5,
    "atrl/weight_anchor": 2,
    "atrl/weight_rest": 1,
    "atrl/entropy_anchor": 5,
    "atrl/entropy_rest": 2,
    "timing_s/atrl": 1,
    "perf/atrl_overhead": 0.25,
  });
  assertEquals(atrlReport({ ...given, visual: [false] }), {});
});

Deno.test("Sarle's coefficient is 5/9 for a uniform distribution and NaN where it is not defined", () => {
  assertAlmostEquals(bimodality(Array.from({ length: 100_001 }, (_, i) => i)), 5 / 9, 1e-4);
  // Two values in equal parts: the limit is 1. By hand for 0, 0, 1, 1: g = 0, k = -6, hence 1 / (-6 + 27 / 2).
  assertAlmostEquals(bimodality([0, 0, 1, 1]), 1 / 7.5, 1e-12);
  for (const values of [[], [1, 2, 3], [0.1, 0.1, 0.1, 0.1, 0.1]]) assert(Number.isNaN(bimodality(values)));
});

deviceTest("AT-RL refuses options and shapes that do not fit", (device) => {
  using responses = Responses.of(device, [4]);
  using connectivity = Tensor.zeros(device, [4]);
  using profile = Tensor.zeros(device, [4, 2]);
  using short = Tensor.zeros(device, [3]);
  const inputs = { connectivity, profile, visual: [true] };
  for (
    const bad of [
      { mode: "medium" },
      { anchorFraction: 0.15 },
      { imbalance: 0.2005 },
      { wMin: 2 },
      { neighbours: 33 },
      { sharpness: 1 },
      {
        seed: -1,
      },
      { threshold: 1 },
      { threshold: -0.1 },
      { threshold: NaN },
      { contrast: 0 },
      { contrast: -1 },
      { contrast: Infinity },
      { neighbourRule: "both" },
    ]
  ) {
    assertThrows(() => detectAtrl(responses, inputs, bad as Partial<AtrlOptions>), RangeError, "Cannot configure AT-RL");
  }
  assertThrows(() => detectAtrl(responses, { ...inputs, connectivity: short }), RangeError, "connectivity");
  assertThrows(() => detectAtrl(responses, { ...inputs, profile: short }), RangeError, "profile");
  assertThrows(
    () => detectAtrl(responses, { connectivity, visual: [true] }, ATRL_PUBLISHED),
    RangeError,
    'there is no profile of what tokens look at; give one, or take method "none"',
  );
  using nowhere = Tensor.zeros(device, [4, 0]);
  assertThrows(() => detectAtrl(responses, { ...inputs, profile: nowhere }), RangeError, "profile");
  for (const more of [{}, { profile }]) {
    const given = { connectivity, ...more } as unknown as AtrlInputs;
    assertThrows(() => detectAtrl(responses, given, { mode: "soft" }), RangeError, "visual is missing");
  }
  assertThrows(() => weightsOf(responses, { connectivity }, atrlOptions({ mode: "soft" })), RangeError, "cluster is missing");
  assertThrows(() => detectAtrl(responses, { ...inputs, visual: [true, true] }), RangeError, "visual");
  assertThrows(() => detectAtrl(responses, inputs, { mode: "random" }), RangeError, "keys");
  assertThrows(() => Responses.of(device, [2, -1]), RangeError);
});

deviceTest("the method metis clusters as libmetis does, or says how to install it", (device, random) => {
  const batch = batchOf(random);
  if (!metis) {
    const error = assertThrows(() => run(device, batch, { method: "metis" }), KedgeError, "Install it");
    assertEquals(error.code, "Unsupported");
    return;
  }
  const [first, again] = [run(device, batch, { method: "metis", seed: 5 }), run(device, batch, { method: "metis", seed: 5 })];
  first.forEach(({ clusters }, i) => {
    assertEquals(again[i]!.clusters, clusters);
    const n = clusters!.length, k = countOf(n, 6);
    assert(clusters!.every((c) => c >= 0 && c < Math.max(1, k)));
    if (n > 60) assert(new Set(clusters).size > k / 2);
  });
});

Deno.test({
  name: "libmetis finds two cliques, also where weights must be cut to its integers",
  ignore: metis === undefined, // libmetis is not installed
  fn: () => {
    const rows = [0], neighbour: number[] = [], weight: number[] = [];
    for (let t = 0; t < 20; t++) {
      for (let u = 0; u < 20; u++) {
        if (u === t || (u % 2 !== t % 2 && Math.abs(u - t) !== 1)) continue;
        neighbour.push(u);
        weight.push(u % 2 === t % 2 ? 2 ** 31 - 1 : 1);
      }
      rows.push(neighbour.length);
    }
    const part = metis!.partition({ rows, neighbour, weight }, { clusters: 2, imbalance: 200, seed: 1 });
    assertEquals([...part], Array.from({ length: 20 }, (_, t) => part[t % 2]!));
    assert(part[0] !== part[1]);
    assertThrows(() => metis!.partition({ rows: [0], neighbour: [], weight: [] }, { clusters: 2, imbalance: 200, seed: 1 }), RangeError);
  },
});
