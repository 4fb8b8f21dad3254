import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { choiceJobs, type Design, reportJobs, warmJobs, warmSeeds } from "../../cli/ablate/plan.ts";
import { METHODS } from "../../cli/ablate/methods.ts";
import type { Outcome, StoredOutcome } from "../../cli/ablate/outcome.ts";
import { PRESETS } from "../../cli/ablate/presets.ts";
import { expectedHalf, sizeFor, sizeOf } from "../../cli/ablate/size.ts";
import { chooseRates, differences, measure, spreadOf, summary, withStarts } from "../../cli/ablate/statistics.ts";
import { holm, meanInterval } from "../../cli/ablate/student.ts";
import { choiceTable, classTable, markdownOf, reportTables } from "../../cli/ablate/tables.ts";
import { loadConfig } from "../../actors/config/load.ts";

/** Makes an outcome whose accuracy at the end is a number. */
const outcome = (method: string, warm: number, seed: number, final: number, rate = 1e-4): Outcome => ({
  method,
  warm,
  seed,
  rate,
  seconds: 1,
  curve: [{ step: 10, sampled: final / 2, greedy: final / 4 }, { step: 30, sampled: final, greedy: final / 2 }],
});
const final = measure("final", 1);

/** Differences of method "soft" from "off", by warm start and seed; "hard" is off by as much the other way, and half. */
const GAINS = [[0.1, 0.2], [0.0, 0.1], [0.3, 0.1]], MEANS = [0.15, 0.05, 0.2];
const OUTCOMES: readonly Outcome[] = GAINS.flatMap((seeds, warm) =>
  seeds.flatMap((gain, seed) => {
    const base = 0.3 + 0.05 * warm + 0.02 * seed;
    return [outcome("off", warm, seed, base), outcome("soft", warm, seed, base + gain), outcome("hard", warm, seed, base - gain / 2)];
  })
);

Deno.test("differences are paired, and their intervals are of the means of warm starts", () => {
  const [soft, hard] = differences(OUTCOMES, { base: "off", methods: ["off", "soft", "hard"], value: final });
  const mean = (0.15 + 0.05 + 0.2) / 3, error = Math.sqrt(MEANS.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 2 / 3);
  assertAlmostEquals(soft!.mean, mean, 1e-12);
  assertAlmostEquals(soft!.half, 4.302652729911275 * error, 1e-6); // the 0.975 quantile of t with two degrees of freedom
  assertAlmostEquals(soft!.halfTogether, 6.205346816570 * error, 1e-5); // the 0.9875 quantile
  // The distribution function of t with two degrees of freedom has a closed form.
  const t = mean / error, p = 1 - t / Math.sqrt(2 + t * t);
  assertAlmostEquals(soft!.p, p, 1e-9);
  assertEquals([soft!.n, soft!.pairs], [3, 6]);
  assertAlmostEquals(hard!.mean, -mean / 2, 1e-12);
  assertAlmostEquals(hard!.p, p, 1e-9);
  assertAlmostEquals(hard!.pAdjusted, 2 * p, 1e-9);
  const back = differences(OUTCOMES, { base: "soft", methods: ["off", "soft"], value: final })[0]!;
  assertAlmostEquals(back.mean, -mean, 1e-12);
});

Deno.test("a pair without one of its runs, and a run that failed, do not count", () => {
  const less = OUTCOMES.filter(({ method, warm, seed }) => !(method === "off" && warm === 0 && seed === 0))
    .map((one) => one.method === "soft" && one.warm === 1 ? { ...one, failed: "diverged" } : one);
  const [soft] = differences(less, { base: "off", methods: ["off", "soft"], value: final });
  assertEquals([soft!.n, soft!.pairs], [2, 3]);
  assertAlmostEquals(soft!.mean, (0.2 + 0.2) / 2, 1e-12);
  assert(Number.isNaN(soft!.half), "two means that are alike by chance give no interval");
  const [none] = differences(less, { base: "off", methods: ["off", "random"], value: final });
  assertEquals([none!.n, none!.pairs, none!.mean], [0, 0, NaN]);
  assertEquals(none!.pAdjusted, NaN);
});

Deno.test("one warm start gives a mean and no interval; equal runs differ by 0", () => {
  const one = OUTCOMES.filter(({ warm }) => warm === 0), [soft] = differences(one, { base: "off", methods: ["off", "soft"], value: final });
  assertAlmostEquals(soft!.mean, 0.15, 1e-12);
  assertEquals([soft!.half, soft!.p], [NaN, NaN]);
  assertEquals(meanInterval([0, 0, 0]), { mean: 0, half: 0, p: 1, n: 3 });
  assertEquals(summary(one, final).n, 1);
});

Deno.test("p-values are adjusted as by Holm's definition", () => {
  const ps = Array.from({ length: 7 }, () => Math.random()), adjusted = holm([...ps, NaN]);
  for (const [i, p] of ps.entries()) {
    // The largest of (m - rank) p over those that are at most p.
    const sorted = ps.toSorted((a, b) => a - b),
      own = Math.max(...sorted.filter((q) => q <= p).map((q, rank) => Math.min(1, (7 - rank) * q)));
    assertAlmostEquals(adjusted[i]!, own, 1e-12, `${ps}`);
  }
  assertEquals(adjusted[7], NaN);
});

Deno.test("the end is a mean of the last evaluations, and the area is a mean over the steps", () => {
  const curve = [{ step: 0, sampled: 0.2 }, { step: 10, sampled: 0.4, greedy: 0.5 }, { step: 20, sampled: 0.5 }, {
    step: 40,
    sampled: 0.7,
    greedy: 0.9,
  }];
  const one = { ...outcome("off", 0, 0, 0), curve };
  assertAlmostEquals(measure("final", 1)(one)!, 0.7, 1e-12);
  assertAlmostEquals(measure("final", 2)(one)!, 0.6, 1e-12);
  assertAlmostEquals(measure("final", 9)(one)!, (0.4 + 0.5 + 0.7) / 3, 1e-12, "the start is not the end");
  assertAlmostEquals(measure("area", 1)(one)!, (3 + 4.5 + 12) / 40, 1e-12);
  assertAlmostEquals(measure("finalGreedy", 1)(one)!, 0.9, 1e-12);
  assertAlmostEquals(measure("areaGreedy", 1)(one)!, 0.7, 1e-12);
  assertEquals(measure("area", 1)({ ...one, failed: "diverged" }), undefined);
  assertEquals(measure("finalGreedy", 1)({ ...one, curve: curve.slice(2, 3) }), undefined);
});

Deno.test("the start of one method's run is that of all of the same warm start and seed", () => {
  const start = { step: 0, sampled: 0.11 },
    [off, soft, other] = [outcome("off", 3, 1, 0.5), outcome("soft", 3, 1, 0.6), outcome("soft", 3, 2, 0.6)];
  const all = withStarts([{ ...off!, curve: [start, ...off!.curve] }, soft!, other!]);
  assertEquals(all.map(({ curve }) => curve[0]), [start, start, other!.curve[0]!]);
});

Deno.test("the rate of the highest mean is chosen; of equal ones the lowest; one with a failed or missing run only if there is no other", () => {
  const at = (rate: number, values: readonly number[]) => values.map((value, i) => outcome("off", i >> 1, i & 1, value, rate));
  const chosen = (...outcomes: Outcome[]) => chooseRates(outcomes, ["off", "soft"], final);
  const low = at(1e-5, [0.3, 0.5, 0.4, 0.4]), middle = at(1e-4, [0.5, 0.5, 0.5, 0.5]), high = at(1e-3, [0.4, 0.6, 0.5, 0.5]);
  const [choice, ...more] = chosen(...high, ...low, ...middle);
  assertEquals([choice!.method, choice!.rate, choice!.isAtEdge, more.length], ["off", 1e-4, false, 0]);
  assertEquals(choice!.tried.map(({ rate, n }) => [rate, n]), [[1e-5, 2], [1e-4, 2], [1e-3, 2]]);
  const failed = middle.map((one, i) => i === 2 ? { ...one, failed: "diverged" } : one);
  assertEquals([chosen(...low, ...failed, ...high)[0]!.rate, chosen(...low, ...middle.slice(1), ...high)[0]!.rate], [1e-3, 1e-3]);
  assertEquals(chosen(...failed)[0]!.rate, 1e-4);
  assertEquals(chosen(...middle)[0]!.isAtEdge, false, "a single rate is at no edge");
  assertEquals(chosen(...low, ...middle)[0]!.isAtEdge, true);
});

Deno.test("components of variance are those of a one-way analysis", () => {
  const { warm, seed } = spreadOf(OUTCOMES, { base: "off", methods: ["off", "soft"], value: final })!;
  const within = (0.005 + 0.005 + 0.02) / 3, mean = 0.4 / 3, between = MEANS.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 2;
  assertAlmostEquals(seed, Math.sqrt(within), 1e-12);
  assertAlmostEquals(warm, Math.sqrt(Math.max(0, between - within / 2)), 1e-12);
  const both = spreadOf(OUTCOMES, { base: "off", methods: ["off", "soft", "hard"], value: final })!;
  assertAlmostEquals(both.seed, Math.sqrt((within + within / 4) / 2), 1e-12);
  assertEquals(spreadOf(OUTCOMES.filter((one) => one.seed === 0), { base: "off", methods: ["soft"], value: final }), undefined);
});

Deno.test("the size is the cheapest that reaches the interval", () => {
  const spread = { warm: 0.02, seed: 0.08 }, methods = 5;
  for (const [half, warm] of [[0.05, 1], [0.03, 30], [0.02, 500]] as const) {
    const costs = { warm, choice: 1, report: 2 },
      cost = (size: { warm: number; seeds: number }) => size.warm * (warm + methods * size.seeds * 2);
    const size = sizeFor(half, { spread, costs, methods });
    assert(expectedHalf(spread, size) <= half);
    for (let w = 2; w <= 120; w++) {
      for (let seeds = 1; seeds <= 40; seeds++) {
        assert(
          expectedHalf(spread, { warm: w, seeds }) > half || cost({ warm: w, seeds }) >= cost(size),
          `${w} x ${seeds} is cheaper for ${half}`,
        );
      }
    }
  }
  assertThrows(() => sizeFor(1e-4, { spread, costs: { warm: 1, choice: 1, report: 1 }, methods }), RangeError, "ask for a wider one");
});

const design: Design = { ...PRESETS.minutes, methods: ["off", "soft"], rates: [1e-4, 2e-4], from: 7, extra: ["rollout.n=6"] };

Deno.test("choice and report share no warm start and no seed, and the report's methods are paired", () => {
  const choice = choiceJobs(design), report = reportJobs(design, new Map([["off", 1e-4], ["soft", 2e-4]]));
  const size = sizeOf(design, { costs: { warm: 60, choice: 3, report: 6 }, slots: 2 });
  assertEquals([choice.length, report.length], [size.choiceRuns, size.reportRuns]);
  assertEquals(size.minutes, (size.warmStarts * 60 + 3 * choice.length + 6 * report.length) / 120);
  const seedOf = ({ sets }: { sets: readonly string[] }) => sets.findLast((set) => set.startsWith("seed="))!;
  const warm = (["choice", "report"] as const).flatMap((part) => warmJobs(design, warmSeeds(design, part)));
  assertEquals(new Set(warm.map(({ name }) => name)).size, warm.length);
  assertEquals(warm[0]!.name, "warm-7");
  const seeds = [new Set(warm.map(seedOf)), new Set(choice.map(seedOf)), new Set(report.map(seedOf))] as const;
  for (const [i, a] of seeds.entries()) for (const b of seeds.slice(i + 1)) assertEquals(a.intersection(b).size, 0);
  assertEquals(seeds[1].size, design.choice.warm * design.choice.seeds);
  assertEquals(new Set([...choice, ...report].map(({ name }) => name)).size, choice.length + report.length);
  const pairs = Map.groupBy(report, ({ place: { warm, seed } }) => `${warm} ${seed}`);
  for (const pair of pairs.values()) assertEquals([pair.length, new Set(pair.map(seedOf)).size], [2, 1]);
  assertEquals(report.filter(({ sets }) => sets.includes("trainer.valBeforeTrain=true")).length, pairs.size);
});

Deno.test("the presets load for every method", () => {
  for (const preset of Object.values(PRESETS)) {
    const all = { ...preset, from: 0, extra: [] }, [rate] = preset.rates as [number], count = preset.methods.length;
    const lists = [choiceJobs({ ...all, rates: [rate] }), reportJobs(all, new Map(preset.methods.map((method) => [method, rate])))];
    for (const { file, sets, place: { method } } of lists.flatMap((list) => list.slice(0, count))) {
      const { config } = loadConfig({ file, sets });
      assertEquals([config.optim.lr, config.trainer.saveFreq, config.trainer.maxSteps], [rate, null, preset.steps], method);
    }
    for (const { file, sets } of warmJobs(all, [0])) loadConfig({ file, sets });
    assert(preset.methods.every((method) => METHODS[method]));
  }
});

Deno.test("tables hold the figures, and say what is missing", () => {
  const rates = new Map([["off", 1e-4], ["soft", 1e-4], ["hard", 1e-4]]), methods = ["off", "soft", "hard", "low"];
  const words = reportTables(OUTCOMES, { methods, rates, bases: ["off", "oracle"], last: 1 }).map(markdownOf).join("\n");
  assert(words.includes("| soft | +0.133 [-0.056, +0.323]"), words);
  assert(words.includes("| low | - | 0 | 0 |"), words);
  assert(!words.includes("from oracle"));
  const choice = markdownOf(choiceTable(chooseRates([...OUTCOMES, outcome("off", 0, 0, 0.9, 2e-4)], ["off"], final)));
  assert(choice.includes("| off (at the grid's edge) | 0.360 ± 0.124 * | 0.900 |"), choice);
  const stored = OUTCOMES.map((one, i): StoredOutcome => ({
    ...one,
    sets: [],
    metrics: one.method === "off" ? {} : { "classes/auc_weight": [0.5, null, 0.25 * (i % 3)] },
  }));
  assertEquals(classTable(stored, ["off", "soft"])!.rows, [["off", "-"], ["soft", "0.375"]]);
  assertEquals(classTable(stored.map((one) => ({ ...one, metrics: {} })), ["off", "soft"]), undefined);
});
