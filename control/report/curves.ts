import { type Fields, numberOf } from "./read.ts";

/** One line of a chart. */
export interface Series {
  readonly label: string;
  readonly values: readonly (number | null)[]; // [points]
}

/** A chart as the page draws it. */
export interface Chart {
  readonly title: string;
  /** What runs along the horizontal axis. */
  readonly along: string;
  readonly xs: readonly number[]; // [points], rising
  readonly series: readonly Series[];
  /** A band behind the first series. */
  readonly band?: { readonly low: Series["values"]; readonly high: Series["values"] };
}

interface Plan {
  readonly title: string;
  readonly keys: readonly string[];
  readonly band?: readonly [low: string, high: string];
}

const PLANS: readonly Plan[] = [
  { title: "Reward", keys: ["reward/overall", "reward/accuracy"] },
  { title: "Validation accuracy", keys: ["val/accuracy", "val/accuracy_greedy"], band: ["val/accuracy_low", "val/accuracy_high"] },
  { title: "Connectivity", keys: ["atrl/connectivity_anchor", "atrl/connectivity_rest"] },
  { title: "Share of tokens that are anchors", keys: ["atrl/anchor_fraction"] },
  { title: "Entropy", keys: ["actor/entropy"] },
  { title: "Length of answers, tokens", keys: ["response_length/mean"] },
  { title: "Loss", keys: ["actor/loss"] },
  { title: "Gradient norm", keys: ["actor/grad_norm"] },
];

/** The charts that a run's metrics have numbers for: of its steps, then of the warm start. */
export function chartsOf(metrics: readonly Fields[]): Chart[] {
  const warm = metrics.filter(({ phase }) => phase === "sft"), steps = metrics.filter(({ phase }) => phase !== "sft");
  // A validation takes many times as long as a step and would flatten the rest.
  const timings = [...new Set(steps.flatMap(Object.keys))].filter((key) => key.startsWith("timing_s/") && key !== "timing_s/validation");
  return [
    ...PLANS.map((plan) => chart(steps, plan, "step")),
    chart(steps, { title: "Seconds of a step", keys: timings }, "step"),
    chart(warm, { title: "Loss of the warm start", keys: ["sft/loss"] }, "sft_step"),
  ].filter((made) => made.series.length > 0);
}

function chart(lines: readonly Fields[], { title, keys, band }: Plan, along: string): Chart {
  const points = new Map<number, Fields>(), wanted = [...keys, ...band ?? []];
  for (const line of lines) {
    const x = numberOf(line[along]);
    if (x === null || !wanted.some((key) => numberOf(line[key]) !== null)) continue;
    points.set(x, { ...points.get(x), ...line });
  }
  const xs = [...points.keys()].sort((a, b) => a - b), values = (key: string) => xs.map((x) => numberOf(points.get(x)![key]));
  const series = keys.map((label) => ({ label, values: values(label) })).filter(({ values }) => values.some((value) => value !== null));
  const [low, high] = (band ?? []).map(values);
  const bounded = low && high && series[0]?.label === keys[0] && low.some((value) => value !== null);
  return { title, along: along === "step" ? "step" : "warm-start step", xs, series, ...(bounded && { band: { low, high } }) };
}
