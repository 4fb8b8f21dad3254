import { assert, assertEquals, assertThrows } from "@std/assert";
import { choiceJobs, type Design, reportJobs, type RunJob, warmSeeds } from "../../cli/ablate/plan.ts";
import type { StoredOutcome } from "../../cli/ablate/outcome.ts";
import { lineChart, ticks } from "../../cli/ablate/plots/chart.ts";
import { headsFigure, readHeads } from "../../cli/ablate/plots/heads.ts";
import { PRESETS } from "../../cli/ablate/presets.ts";
import { writeResults } from "../../cli/ablate/results.ts";
import { chooseRates, measure } from "../../cli/ablate/statistics.ts";

const METHODS = ["off", "soft", "hard", "oracle"], RATES = [5e-5, 1.5e-4, 4.5e-4];
const design: Design = { ...PRESETS.minutes, methods: METHODS, rates: RATES, from: 0, extra: ["data.board.side=6"] };

/** Makes up the outcome of a run. Its metrics are those of a method that knows classes of tokens. */
function madeUp({ place, sets }: RunJob): StoredOutcome {
  const { method, rate, warm, seed } = place, best = 0.4 + 0.08 * METHODS.indexOf(method) - 0.1 * Math.abs(Math.log2(rate / 1.5e-4));
  const noise = 0.03 * Math.sin(7 * warm + 3 * seed + METHODS.indexOf(method)),
    start = sets.includes("trainer.valBeforeTrain=true") ? [0] : [];
  const curve = [...start, 10, 20, 30].map((step) => ({ step, sampled: 0.2 + (best + noise - 0.2) * step / 30, greedy: 0.5 }));
  const steps = Array.from({ length: 30 }, (_, i) => i),
    metrics = {
      "classes/anchor_recall": steps.map((i) => i % 7 === 3 ? null : 0.8 - 0.01 * i),
      "classes/weight_reading": steps.map((i) => 1.5 + 0.3 * Math.sin(i)),
    };
  return { ...place, sets, seconds: 3, curve, metrics: method === "off" ? {} : metrics };
}

/** Writes rollouts of a run with known classes. */
function writeRollouts(run: string): void {
  Deno.mkdirSync(run, { recursive: true });
  const classes = ["reading", "random", "fixed", "arithmetic"],
    lines = Array.from({ length: 50 }, (_, step) => ({
      step,
      classes: Array.from({ length: 40 }, (_, t) => classes[t % 4]),
      connectivity: Array.from({ length: 40 }, (_, t) => [0.5, 0.1, 0.15, 0.2][t % 4]! + 0.01 * ((7 * t + step) % 9)),
    }));
  Deno.writeTextFileSync(`${run}/rollouts.jsonl`, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** Checks that a text is well-formed XML without numbers that are none. */
function checkSvg(text: string): void {
  const open: string[] = [];
  for (const [, close, name, rest] of text.matchAll(/<(\/?)([a-z]+)([^>]*)>/g)) {
    if (close) assertEquals(open.pop(), name);
    else if (!rest!.endsWith("/")) open.push(name!);
  }
  assertEquals(open, []);
  assert(!/NaN|Infinity|undefined/.test(text), text.match(/.{60}(NaN|Infinity|undefined).{30}/)?.[0]);
}

Deno.test("a comparison's page, plots, tables and outcomes say what was made, each plot with axes, legend and counts", () => {
  const folder = Deno.makeTempDirSync(), dir = `${folder}/runs`, out = `${folder}/compared`;
  try {
    const chosen = choiceJobs(design).map(madeUp), choices = chooseRates(chosen, METHODS, measure("final", 1));
    const rates = new Map(choices.map(({ method, rate }) => [method, rate])), jobs = reportJobs(design, rates), reported = jobs.map(madeUp);
    for (const { name, sets, place } of jobs) {
      if (place.method === "soft" && sets.includes("logging.rollouts=all")) writeRollouts(`${dir}/${name}`);
    }
    const heads = [0, 1, 2].flatMap((layer) => [0, 1, 2, 3].map((head) => ({ layer, head, auc: (1 + layer + head) / 7 })));
    Deno.writeTextFileSync(`${folder}/heads.json`, JSON.stringify(heads));
    const made = { design, choices, rates, chosen, reported, seeds: warmSeeds(design, "report"), leftOut: [{ seed: 9, greedy: 0.0625 }] };
    const words = writeResults(made, { out, dir, heads: `${folder}/heads.json` });
    const plots = Array.from(Deno.readDirSync(folder), ({ name }) => name).filter((name) => name.endsWith(".svg")).sort();
    const names = [
      ...warmSeeds(design, "report").slice(0, 4).map((seed) => `connectivity-w${seed}`),
      "curves",
      "heads",
      "rates",
      "recall",
      "weight-reading",
    ];
    assertEquals(plots, names.map((name) => `compared.${name}.svg`));
    for (const plot of plots) checkSvg(Deno.readTextFileSync(`${folder}/${plot}`));
    const of = (name: string) => Deno.readTextFileSync(`${folder}/compared.${name}.svg`), html = Deno.readTextFileSync(`${out}.html`);
    for (const method of METHODS) assert(of("rates").includes(`>${method}</text>`) && of("curves").includes(`>${method}, 1.5e-4</text>`));
    assert(of("rates").includes("learning rate (AdamW, logarithmic)") && of("rates").includes("held-out accuracy at the end, sampled"));
    assert(of(`connectivity-w${warmSeeds(design, "report")[0]}`).includes("reading, n = 500"));
    assert(!of("recall").includes(">off</text>"), "a method that does not know classes is left out");
    for (const plot of plots) assert(html.includes(Deno.readTextFileSync(`${folder}/${plot}`)), plot);
    assert(html.includes(`${chosen.length} runs served the choice`) && html.includes(`${reported.length} runs on other warm starts`));
    assert(html.includes("held-out rows greedily: 9 (0.063)"));
    assert(html.includes("data.board.side=6") && html.includes("<th>p, adjusted (Holm)</th>"));
    assertEquals(Deno.readTextFileSync(`${out}.table.md`), `${words}\n`);
    const { report, choice } = JSON.parse(Deno.readTextFileSync(`${out}.json`)) as Record<string, StoredOutcome[]>;
    assertEquals([report!.length, choice!.length], [reported.length, chosen.length]);
    assert(report!.every(({ curve }) => curve[0]!.step === 0), "every curve begins with its warm start");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("without rates to choose from, metrics and evaluations there are no plots of them", () => {
  const folder = Deno.makeTempDirSync(), out = `${folder}/compared`;
  try {
    const one = { ...design, rates: [1e-4] }, rates = new Map(METHODS.map((method) => [method, 1e-4]));
    const reported = reportJobs(one, rates).map((job) => ({ ...madeUp(job), metrics: {}, curve: [{ step: 30, sampled: 0.5 }] }));
    writeResults({ design: one, choices: [], rates, chosen: [], reported, seeds: warmSeeds(one, "report"), leftOut: [] }, {
      out,
      dir: folder,
      heads: undefined,
    });
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(), ["compared.html", "compared.json", "compared.table.md"]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a line goes through the places of its points, its bars are as long as the intervals, and a logarithmic axis is logarithmic", () => {
  const x = { label: "x", low: 1, high: 100, ticks: [1, 10, 100], scale: "log" as const },
    y = { label: "y", low: 0, high: 1, ticks: [0, 0.5, 1] };
  const series = [{ label: "a < b", points: [{ x: 1, y: 0, half: NaN }, { x: 10, y: 0.5, half: 0.25 }, { x: 100, y: 1 }] }];
  const text = lineChart({ title: "t", x, y, series, intervals: "bars" });
  checkSvg(text);
  const [, points] = /<polyline points="([^"]*)"/.exec(text)!, places = points!.split(" ").map((pair) => pair.split(",").map(Number));
  assertEquals(places.map(([px]) => px! - places[0]![0]!), [0, 280, 560]);
  assertEquals(places.map(([, py]) => places[0]![1]! - py!), [0, 160, 320]);
  const bars = [...text.matchAll(/<line x1="342.0" y1="([\d.]+)" x2="342.0" y2="([\d.]+)"[^>]*opacity="0.65"/g)];
  assertEquals(bars.map(([, from, to]) => Number(from) - Number(to)), [160]);
  assert(text.includes(">a &lt; b</text>"));
});

Deno.test("ticks are round and lie in their range", () => {
  assertEquals(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assertEquals(ticks(0.3, 0.6), [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6]);
  assertEquals(ticks(0, 30), [0, 5, 10, 15, 20, 25, 30]);
  assertEquals(ticks(1, 7), [1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("heads are drawn from a file of the right form, and another one is refused", () => {
  const { svg } = headsFigure([{ layer: 0, head: 0, auc: 0.5 }, { layer: 1, head: 1, auc: 1 }]);
  checkSvg(svg);
  assert(svg.includes('fill="rgb(255, 255, 255)"') && svg.includes('fill="rgb(0, 114, 178)"') && svg.includes(">layer 1</text>"));
  const file = Deno.makeTempFileSync();
  Deno.writeTextFileSync(file, JSON.stringify([{ layer: 0, head: 0, auc: null }]));
  assertThrows(() => readHeads(file), RangeError, "it is no list of {layer, head, auc}");
  Deno.removeSync(file);
});
