/**
 * The files that a comparison ends with.
 *
 * @module
 */
import { BASE, CEILING, METHODS } from "./methods.ts";
import type { Outcome, StoredOutcome } from "./outcome.ts";
import { page } from "./page.ts";
import { type Design, reportJobs, type WarmSeeds } from "./plan.ts";
import type { LeftOut } from "./readers.ts";
import { connectivityFigure, curvesFigure, type Figure, metricFigure, ratesFigure } from "./plots/figures.ts";
import { headsFigure, readHeads } from "./plots/heads.ts";
import { type Choice, withStarts } from "./statistics.ts";
import { choiceTable, classTable, markdownOf, reportTables, type Table } from "./tables.ts";

/** The finished parts of a comparison. */
export interface Made {
  /** The comparison as it was made: the report has its size. */
  readonly design: Design;
  readonly choices: readonly Choice[];
  readonly rates: ReadonlyMap<string, number>;
  readonly chosen: readonly StoredOutcome[];
  readonly reported: readonly StoredOutcome[];
  /** The seeds of the report's warm starts. */
  readonly seeds: WarmSeeds;
  /** Warm starts that are not used. */
  readonly leftOut: readonly LeftOut[];
}

/** Metrics by step that are drawn. */
const METRICS = [
  {
    name: "recall",
    metric: "classes/anchor_recall",
    title: "Readings among the anchors",
    label: "recall: share of readings that are anchors",
  },
  { name: "weight-reading", metric: "classes/weight_reading", title: "Weight of readings", label: "mean weight of a reading (1 is even)" },
  {
    name: "weight-random",
    metric: "classes/weight_random",
    title: "Weight of random filler",
    label: "mean weight of a random word (1 is even)",
  },
] as const;

/** The methods of whose answers connectivity is shown, the first that there is. */
const SHOWN = ["soft", "no-clusters", "best", "off"];
/** The most warm starts whose connectivity is shown. */
const MOST_WARM = 4;

/** Draws what there is to draw. */
function figuresOf(
  { design, choices, rates, chosen, reported, seeds }: Made,
  { dir, heads }: { dir: string; heads: string | undefined },
): Figure[] {
  const method = SHOWN.find((name) => rates.has(name)),
    jobs = reportJobs(design, rates, seeds).filter(({ place }) => place.method === method);
  const byWarm = Map.groupBy(jobs.filter(({ sets }) => sets.includes("logging.rollouts=all")), ({ place }) => place.warm);
  const histograms = reported.length === 0
    ? []
    : [...byWarm].slice(0, MOST_WARM).map(([warm, own]) =>
      connectivityFigure(own.map(({ name }) => `${dir}/${name}`), { method: method!, warm })
    );
  return [
    ratesFigure(choices, chosen.length),
    curvesFigure(withStarts(reported), rates),
    ...METRICS.map((metric) => metricFigure(reported, metric)),
    ...histograms,
    heads === undefined ? undefined : headsFigure(readHeads(heads)),
  ].filter((figure) => figure !== undefined);
}

/** Says in words what was compared. */
function notesOf({ design, chosen, reported, leftOut }: Made): string[] {
  const { sets, extra, steps, methods, lastEvaluations: last } = design;
  return [
    `Methods: ${methods.map((method) => `${METHODS[method]!.label} (${METHODS[method]!.sets.join(", ")})`).join("; ")}.`,
    `Each run makes ${steps} steps with: ${[...sets, ...extra].join(", ")}.`,
    `${chosen.length} runs served the choice of learning rates, and ${reported.length} runs on other warm starts and seeds the report. ` +
    `The end is ${
      last === 1 ? "the last evaluation" : `the mean of the last ${last} evaluations`
    }; the mean over a run is by the trapezoid rule. ` +
    "Intervals are by Student's t over the means of warm starts, because runs of one warm start are not independent. Differences are paired by " +
    "warm start and seed.",
    ...(leftOut.length === 0 ? [] : [
      `Left out are warm starts that answer less than ${design.leastGreedy} of the held-out rows greedily: ${
        leftOut.map(({ seed, greedy }) => `${seed} (${greedy.toFixed(3)})`).join(", ")
      }.`,
    ]),
  ];
}

/** Writes NAME.json, NAME.table.md, NAME.html and the figures, NAME.FIGURE.svg. @returns The tables as text. */
export function writeResults(made: Made, { out, dir, heads }: { out: string; dir: string; heads: string | undefined }): string {
  const { design, choices, rates, chosen, reported, leftOut } = made, { methods, lastEvaluations: last } = design;
  const bare = (outcomes: readonly StoredOutcome[]): Outcome[] => outcomes.map(({ sets: _, metrics: __, ...outcome }) => outcome);
  const report = withStarts(bare(reported)), classes = classTable(reported, methods);
  const tables: Table[] = [
    ...(choices.length > 0 ? [choiceTable(choices)] : []),
    ...(report.length > 0 ? reportTables(report, { methods, rates, bases: [BASE, CEILING], last }) : []),
    ...(classes ? [classes] : []),
  ];
  const figures = figuresOf(made, { dir, heads }), words = tables.map(markdownOf).join("\n\n");
  Deno.writeTextFileSync(`${out}.json`, `${JSON.stringify({ design, leftOut, choices, choice: bare(chosen), report })}\n`);
  Deno.writeTextFileSync(`${out}.table.md`, `${words}\n`);
  for (const { name, svg } of figures) Deno.writeTextFileSync(`${out}.${name}.svg`, svg);
  Deno.writeTextFileSync(`${out}.html`, page({ title: "Which tokens carry the learning?", notes: notesOf(made), figures, tables }));
  return words;
}
