/**
 * The tables of a comparison.
 *
 * @module
 */
import { METHODS } from "./methods.ts";
import type { Outcome, StoredOutcome } from "./outcome.ts";
import { type Choice, differences, type Measure, measure, summary } from "./statistics.ts";
import { meanOf } from "./student.ts";

/** Formats an accuracy, or a dash if there is none. */
const shown = (x: number) => Number.isNaN(x) ? "-" : x.toFixed(3);
const signed = (x: number) => `${x < 0 ? "" : "+"}${x.toFixed(3)}`;
const interval = (mean: number, half: number) =>
  Number.isNaN(mean) ? "-" : `${signed(mean)} ${Number.isNaN(half) ? "(no interval)" : `[${signed(mean - half)}, ${signed(mean + half)}]`}`;
const pOf = (p: number) => Number.isNaN(p) ? "-" : p < 0.001 ? "< 0.001" : p.toFixed(3);

/** A table. Cells are plain text. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Writes a table as Markdown. */
export function markdownOf({ title, head, rows }: Table): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return `${title}\n\n${[row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n")}`;
}

/** Makes the table of how the rates were chosen: the mean at each rate. The chosen one is marked. */
export function choiceTable(choices: readonly Choice[]): Table {
  const rates = [...new Set(choices.flatMap(({ tried }) => tried.map(({ rate }) => rate)))].sort((a, b) => a - b);
  return {
    title: "Choice of learning rates: held-out accuracy at the end, sampled; * is chosen",
    head: ["method", ...rates.map((rate) => rate.toExponential())],
    rows: choices.map(({ method, rate: chosen, isAtEdge, tried }) => [
      `${METHODS[method]!.label}${isAtEdge ? " (at the grid's edge)" : ""}`,
      ...rates.map((rate) => {
        const at = tried.find((one) => one.rate === rate);
        if (!at) return "";
        const failed = at.failed > 0 ? ` (${at.failed} failed)` : "";
        return `${shown(at.mean)}${Number.isNaN(at.half) ? "" : ` ± ${shown(at.half)}`}${failed}${rate === chosen ? " *" : ""}`;
      }),
    ]),
  };
}

/** The measures of the report, with their names in it. */
const MEASURES: readonly (readonly [Measure, string])[] = [
  ["final", "sampled, at the end"],
  ["area", "sampled, mean over the run"],
  ["finalGreedy", "greedy, at the end"],
  ["areaGreedy", "greedy, mean over the run"],
];

/** Makes the tables of a report: means, and differences from each base that is among the methods. */
export function reportTables(
  outcomes: readonly Outcome[],
  { methods, rates, bases, last }: {
    methods: readonly string[];
    rates: ReadonlyMap<string, number>;
    bases: readonly string[];
    last: number;
  },
): Table[] {
  const of = (name: string) => outcomes.filter(({ method }) => method === name);
  const measures = MEASURES.filter(([name]) => outcomes.some((outcome) => measure(name, last)(outcome) !== undefined));
  const means = {
    title: "Held-out accuracy at each method's rate: means over warm starts, with 95 % intervals",
    head: ["method", "rate", "runs", "failed", ...measures.map(([, words]) => words)],
    rows: methods.map((method) => [
      METHODS[method]!.label,
      rates.get(method)?.toExponential() ?? "-",
      `${of(method).length}`,
      `${of(method).filter(({ failed }) => failed !== undefined).length}`,
      ...measures.map(([name]) => {
        const { mean, half } = summary(of(method), measure(name, last));
        return `${shown(mean)}${Number.isNaN(half) ? "" : ` ± ${shown(half)}`}`;
      }),
    ]),
  };
  const compared = bases.filter((base) => methods.includes(base) && methods.length > 1).flatMap((base) =>
    measures.map(([name, words]) => ({
      title: `Differences from ${METHODS[base]!.label}: ${words}`,
      head: ["method", "difference, 95 %", "95 % for all together (Bonferroni)", "p", "p, adjusted (Holm)", "warm starts", "pairs of runs"],
      rows: differences(outcomes, { base, methods, value: measure(name, last) }).map((of) => [
        METHODS[of.method]!.label,
        interval(of.mean, of.half),
        interval(of.mean, of.halfTogether),
        pOf(of.p),
        pOf(of.pAdjusted),
        `${of.n}`,
        `${of.pairs}`,
      ]),
    }))
  );
  return [means, ...compared];
}

/** The metrics about classes of tokens in the report, with their names in it. */
const CLASS_METRICS: readonly (readonly [string, string])[] = [
  ["classes/auc_connectivity", "AUC of connectivity"],
  ["classes/auc_score", "AUC of the score"],
  ["classes/auc_weight", "AUC of weights"],
  ["classes/anchor_recall", "recall of readings among anchors"],
  ["classes/anchor_precision", "precision of anchors"],
  ["classes/weight_reading", "weight of readings"],
  ["classes/weight_random", "weight of random filler"],
  ["classes/advantage_share_reading", "readings' share of advantage"],
];

/** Makes the table of what each method's credit finds: means over the steps and runs of the report. @returns Undefined if no run knows. */
export function classTable(outcomes: readonly StoredOutcome[], methods: readonly string[]): Table | undefined {
  const values = (method: string, name: string) =>
    outcomes.filter((outcome) => outcome.method === method).flatMap(({ metrics }) =>
      metrics[name]?.filter((value) => value !== null) ?? []
    );
  const known = CLASS_METRICS.filter(([name]) => methods.some((method) => values(method, name).length > 0));
  if (known.length === 0) return undefined;
  return {
    title: "What the credit of each method finds: means over the steps and runs of the report",
    head: ["method", ...known.map(([, words]) => words)],
    rows: methods.map((method) => [METHODS[method]!.label, ...known.map(([name]) => shown(meanOf(values(method, name))))]),
  };
}
