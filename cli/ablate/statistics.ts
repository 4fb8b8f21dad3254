/** The results of one run. */
export interface Outcome {
  readonly method: string;
  readonly seed: number;
  /** Held-out accuracy of sampled answers at the end. */
  readonly final: number;
  /** Held-out accuracy of greedy answers at the end. */
  readonly greedy: number;
  /** Mean held-out accuracy over the run, by the trapezoid rule over the evaluated steps. */
  readonly area: number;
  /** The first evaluated step with a held-out accuracy of at least 0.8; undefined if there is none. */
  readonly reached: number | undefined;
  /** Held-out accuracy by step. */
  readonly curve: readonly (readonly [step: number, accuracy: number])[];
}

/** The 0.975 quantiles of Student's t, by degrees of freedom from 1. */
const T975 = [
  12.706,
  4.303,
  3.182,
  2.776,
  2.571,
  2.447,
  2.365,
  2.306,
  2.262,
  2.228,
  2.201,
  2.179,
  2.16,
  2.145,
  2.131,
  2.12,
  2.11,
  2.101,
  2.093,
];

/**
 * Returns the mean and the half-width of its 95 % interval by Student's t. For a single value the half-width is NaN.
 *
 * @example
 * ```ts
 * import { meanInterval } from "./statistics.ts";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const { mean, half } = meanInterval([1, 2, 3]);
 * assertAlmostEquals(mean, 2);
 * assertAlmostEquals(half, 4.303 / Math.sqrt(3), 1e-9);
 * ```
 */
export function meanInterval(values: readonly number[]): { mean: number; half: number } {
  const n = values.length, mean = values.reduce((a, b) => a + b, 0) / n;
  if (n < 2) return { mean, half: NaN };
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1);
  return { mean, half: (T975[n - 2] ?? 1.96) * Math.sqrt(variance / n) };
}

/** Computes the results from a curve. */
export function outcomeOf(run: Pick<Outcome, "method" | "seed" | "curve"> & { greedy: number }): Outcome {
  const { curve } = run;
  let area = 0;
  for (const [i, [step, accuracy]] of curve.entries()) {
    if (i > 0) area += (step - curve[i - 1]![0]) * (accuracy + curve[i - 1]![1]) / 2;
  }
  const span = curve.at(-1)![0] - curve[0]![0];
  return { ...run, final: curve.at(-1)![1], area: area / span, reached: curve.find(([, accuracy]) => accuracy >= 0.8)?.[0] };
}

/** Makes a Markdown table: each method's means, and its differences from `base`, paired by seed, with 95 % intervals. */
export function table(outcomes: readonly Outcome[], base: string): string {
  const methods = [...new Set(outcomes.map(({ method }) => method))], of = (method: string) => outcomes.filter((o) => o.method === method);
  const shown = (x: number) => x.toFixed(3), signed = (x: number) => `${x < 0 ? "" : "+"}${x.toFixed(3)}`;
  const paired = (method: string, key: "final" | "area") => {
    if (method === base) return "";
    const { mean, half } = meanInterval(of(method).map((own) => own[key] - of(base).find(({ seed }) => seed === own.seed)![key]));
    return `${signed(mean)} [${signed(mean - half)}, ${signed(mean + half)}]`;
  };
  const rows = methods.map((method) => {
    const own = of(method), mean = (key: "final" | "greedy" | "area") => shown(own.reduce((sum, o) => sum + o[key], 0) / own.length);
    const reached = own.map((o) => o.reached ?? "-").join(", ");
    return `| ${method} | ${mean("final")} | ${paired(method, "final")} | ${mean("area")} | ${paired(method, "area")} | ${
      mean("greedy")
    } | ${reached} |`;
  });
  return [
    `| method | final | against ${base} | area | against ${base} | greedy | steps to 0.8, by seed |`,
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}
