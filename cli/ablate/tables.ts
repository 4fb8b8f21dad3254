import { METHODS } from "./methods.ts";
import type { Outcome } from "./outcome.ts";
import { type Choice, differences, type Measure, measure, summary } from "./statistics.ts";

/** Formats an accuracy, or a dash if there is none. */
const shown = (x: number) => Number.isNaN(x) ? "-" : x.toFixed(3);
const signed = (x: number) => `${x < 0 ? "" : "+"}${x.toFixed(3)}`;
const interval = (mean: number, half: number) =>
  Number.isNaN(mean) ? "-" : `${signed(mean)} ${Number.isNaN(half) ? "(no interval)" : `[${signed(mean - half)}, ${signed(mean + half)}]`}`;
const pOf = (p: number) => Number.isNaN(p) ? "-" : p < 0.001 ? "< 0.001" : p.toFixed(3);
const row = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]) =>
  [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");

/** Makes a Markdown table of how the rates were chosen: the mean at each rate. The chosen one is bold. */
export function choiceTable(choices: readonly Choice[]): string {
  const rates = [...new Set(choices.flatMap(({ tried }) => tried.map(({ rate }) => rate)))].sort((a, b) => a - b);
  return table(
    ["method", ...rates.map((rate) => rate.toExponential())],
    choices.map(({ method, rate: chosen, isAtEdge, tried }) => [
      `${METHODS[method]!.label}${isAtEdge ? " (at the grid's edge)" : ""}`,
      ...rates.map((rate) => {
        const at = tried.find((one) => one.rate === rate);
        if (!at) return "";
        const words = `${shown(at.mean)}${Number.isNaN(at.half) ? "" : ` ± ${shown(at.half)}`}${
          at.failed > 0 ? ` (${at.failed} failed)` : ""
        }`;
        return rate === chosen ? `**${words}**` : words;
      }),
    ]),
  );
}

/** The measures of the report, with their names in it. */
const MEASURES: readonly (readonly [Measure, string])[] = [
  ["final", "sampled, at the end"],
  ["area", "sampled, mean over the run"],
  ["finalGreedy", "greedy, at the end"],
  ["areaGreedy", "greedy, mean over the run"],
];

/** Makes the Markdown tables of a report: means, and differences from each base that is among the methods. */
export function reportTables(
  outcomes: readonly Outcome[],
  { methods, rates, bases, last }: {
    methods: readonly string[];
    rates: ReadonlyMap<string, number>;
    bases: readonly string[];
    last: number;
  },
): string {
  const of = (name: string) => outcomes.filter(({ method }) => method === name);
  const measures = MEASURES.filter(([name]) => outcomes.some((outcome) => measure(name, last)(outcome) !== undefined));
  const means = table(
    ["method", "rate", "runs", "failed", ...measures.map(([, words]) => words)],
    methods.map((method) => [
      METHODS[method]!.label,
      rates.get(method)?.toExponential() ?? "-",
      of(method).length,
      of(method).filter(({ failed }) => failed !== undefined).length,
      ...measures.map(([name]) => {
        const { mean, half } = summary(of(method), measure(name, last));
        return `${shown(mean)}${Number.isNaN(half) ? "" : ` ± ${shown(half)}`}`;
      }),
    ]),
  );
  const compared = bases.filter((base) => methods.includes(base) && methods.length > 1).flatMap((base) =>
    measures.map(([name, words]) => {
      const rows = differences(outcomes, { base, methods, value: measure(name, last) });
      return `Differences from ${METHODS[base]!.label}: ${words}\n\n` + table(
        ["method", "difference, 95 %", "95 % for all together", "p", "p, adjusted", "warm starts", "pairs"],
        rows.map(({ method, mean, half, halfTogether, p, pAdjusted, n, pairs }) => [
          METHODS[method]!.label,
          interval(mean, half),
          interval(mean, halfTogether),
          pOf(p),
          pOf(pAdjusted),
          n,
          pairs,
        ]),
      );
    })
  );
  return [means, ...compared].join("\n\n");
}
