/**
 * The figures of a comparison.
 *
 * @module
 */
import { Lines } from "../../../actors/run/lines.ts";
import { TOKEN_CLASSES } from "../../../rl/credit/token_classes.ts";
import { METHODS } from "../methods.ts";
import type { Outcome, StoredOutcome } from "../outcome.ts";
import { type Choice, summary } from "../statistics.ts";
import { meanOf } from "../student.ts";
import { type Axis, lineChart, type Series, ticks } from "./chart.ts";

/** A figure. */
export interface Figure {
  /** The ending of its file's name, such as "rates". */
  readonly name: string;
  readonly svg: string;
  /** What it shows, of how many runs. */
  readonly caption: string;
}

const labelOf = (method: string) => METHODS[method]!.label;
const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** Returns an axis of accuracies that fits the values with their intervals. */
function accuracyAxis(text: string, series: readonly Series[]): Axis {
  const points = series.flatMap(({ points }) => points),
    ends = points.flatMap(({ y, half = NaN }) => Number.isNaN(half) ? [y] : [y - half, y + half]);
  const low = Math.max(0, Math.floor(Math.min(...ends) * 10 - 0.2) / 10), high = Math.min(1, Math.ceil(Math.max(...ends) * 10 + 0.2) / 10);
  return { label: text, low, high, ticks: ticks(low, high), format: (value) => value.toFixed(2) };
}

/** Draws accuracy against the learning rate. @returns Undefined if there was no choice between rates. */
export function ratesFigure(choices: readonly Choice[], runs: number): Figure | undefined {
  const rates = [...new Set(choices.flatMap(({ tried }) => tried.map(({ rate }) => rate)))].sort((a, b) => a - b);
  if (rates.length < 2) return undefined;
  const series = choices.map(({ method, tried }) => ({
    label: labelOf(method),
    points: tried.flatMap(({ rate, mean, half }) => Number.isNaN(mean) ? [] : [{ x: rate, y: mean, half }]),
  }));
  const x: Axis = {
    label: "learning rate (AdamW, logarithmic)",
    low: rates[0]! / 1.4,
    high: rates.at(-1)! * 1.4,
    ticks: rates,
    scale: "log",
    format: (rate) => rate.toExponential(),
  };
  const y = accuracyAxis("held-out accuracy at the end, sampled", series),
    starts = Math.max(...choices.flatMap(({ tried }) => tried.map(({ n }) => n)));
  return {
    name: "rates",
    svg: lineChart({ title: "Accuracy against the learning rate", x, y, series, intervals: "bars" }),
    caption: `The runs by which each method's learning rate was chosen: ${counted(runs, "run")} from ${counted(starts, "warm start")}. ` +
      "Points are means over warm starts; bars are 95 % intervals by Student's t over the means of the warm starts, where there are several.",
  };
}

/** Returns the mean of each step over warm starts, with intervals. */
function curveOf(outcomes: readonly Outcome[]): Series["points"] {
  const steps = [...new Set(outcomes.flatMap(({ curve }) => curve.map(({ step }) => step)))].sort((a, b) => a - b);
  return steps.map((step) => {
    const { mean, half } = summary(outcomes, ({ curve }) => curve.find((one) => one.step === step)?.sampled);
    return { x: step, y: mean, half };
  });
}

/** Draws the held-out accuracy of each method at its rate. @returns Undefined if there is at most one evaluation of each run. */
export function curvesFigure(outcomes: readonly Outcome[], rates: ReadonlyMap<string, number>): Figure | undefined {
  const ended = outcomes.filter(({ failed }) => failed === undefined),
    of = (method: string) => ended.filter((one) => one.method === method);
  const methods = [...rates.keys()].filter((method) => of(method).length > 0);
  const series = methods.map((method) => ({
    label: `${labelOf(method)}, ${rates.get(method)!.toExponential()}`,
    points: curveOf(of(method)),
  }));
  const last = Math.max(0, ...series.flatMap(({ points }) => points.map(({ x }) => x)));
  if (!series.some(({ points }) => points.length > 1)) return undefined;
  const x: Axis = { label: "training steps", low: 0, high: last, ticks: ticks(0, last) };
  return {
    name: "curves",
    svg: lineChart({
      title: "Held-out accuracy while training",
      x,
      y: accuracyAxis("held-out accuracy, sampled", series),
      series,
      intervals: "band",
    }),
    caption: `Each method at its chosen learning rate: ${counted(ended.length, "run")} from ${
      counted(new Set(ended.map(({ warm }) => warm)).size, "warm start")
    }, none of which served the choice. Lines are means over warm starts; bands are 95 % intervals by Student's t over the means of the warm starts.`,
  };
}

/** Draws a metric of the steps by method, as the mean over runs. @returns Undefined if no run has it. */
export function metricFigure(
  outcomes: readonly StoredOutcome[],
  { name, metric, title, label }: { name: string; metric: string; title: string; label: string },
): Figure | undefined {
  const own = Map.groupBy(outcomes.filter(({ metrics }) => metrics[metric]?.some((value) => value !== null)), ({ method }) => method);
  if (own.size === 0) return undefined;
  const series = [...own].map(([method, runs]) => {
    const steps = Math.max(...runs.map(({ metrics }) => metrics[metric]!.length));
    const points = Array.from(
      { length: steps },
      (_, i) => ({ x: i + 1, y: meanOf(runs.flatMap(({ metrics }) => metrics[metric]![i] ?? [])) }),
    );
    return { label: labelOf(method), points: points.filter(({ y }) => !Number.isNaN(y)) };
  });
  const last = Math.max(...series.flatMap(({ points }) => points.map(({ x }) => x)));
  const high = Math.max(1, ...series.flatMap(({ points }) => points.map(({ y }) => y)));
  const x: Axis = { label: "training steps", low: 1, high: Math.max(2, last), ticks: ticks(1, Math.max(2, last)) };
  const y: Axis = { label, low: 0, high, ticks: ticks(0, high), format: (value) => `${value}` };
  const runs = [...own.values()].flat().length;
  return {
    name,
    svg: lineChart({ title, x, y, series, intervals: "band" }),
    caption: `Means over the answers of a step and over ${counted(runs, "run")} of the report, by method.`,
  };
}

/** Bins of a histogram. */
const BINS = 40;

/** Draws how connectivity is distributed in each class of tokens. @returns Undefined if no run has written both. */
export function connectivityFigure(runs: readonly string[], of: { method: string; warm: number }): Figure | undefined {
  const values = new Map<string, number[]>(TOKEN_CLASSES.map((name) => [name, []]));
  for (const run of runs) {
    for (const { classes, connectivity } of new Lines(`${run}/rollouts.jsonl`).entries()) {
      if (!Array.isArray(classes) || !Array.isArray(connectivity)) continue;
      for (const [t, name] of (classes as string[]).entries()) values.get(name)?.push(connectivity[t] as number);
    }
  }
  const all = [...values.values()].flat();
  if (all.length === 0) return undefined;
  const high = all.reduce((most, value) => Math.max(most, value), 1e-6), width = high / BINS;
  const series = [...values].filter(([, list]) => list.length > 0).map(([name, list]) => {
    const counts = Array.from({ length: BINS }, () => 0);
    for (const value of list) counts[Math.min(BINS - 1, Math.floor(value / width))]!++;
    return { label: `${name}, n = ${list.length}`, points: [...counts, 0].map((count, i) => ({ x: i * width, y: count / list.length })) };
  });
  const most = Math.max(...series.flatMap(({ points }) => points.map(({ y }) => y)));
  const x: Axis = { label: "connectivity of a token", low: 0, high, ticks: ticks(0, high) };
  const y: Axis = { label: `share of the class's tokens in a bin of ${width.toFixed(3)}`, low: 0, high: most, ticks: ticks(0, most) };
  return {
    name: `connectivity-w${of.warm}`,
    svg: lineChart({ title: `Connectivity by class of token, warm start ${of.warm}`, x, y, series, intervals: "band", isStepped: true }),
    caption: `Sampled answers of ${counted(runs.length, "run")} of the method "${
      labelOf(of.method)
    }" over all steps; ${all.length} tokens.`,
  };
}
