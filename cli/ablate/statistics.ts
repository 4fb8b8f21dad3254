/**
 * From outcomes of runs to means and paired differences. Runs of one warm start are not independent, because they begin with the same model.
 * So the numbers that an interval is of are means over the seeds of a warm start, one for each warm start.
 *
 * @module
 */
import type { Evaluation, Outcome } from "./outcome.ts";
import type { Spread } from "./presets.ts";
import { holm, type MeanInterval, meanInterval, meanOf, varianceOf } from "./student.ts";

/** What is compared: held-out accuracy at the end, or the mean over the run, of sampled or greedy answers. */
export type Measure = "final" | "area" | "finalGreedy" | "areaGreedy";

/** A number for an outcome; undefined if the run failed or was not evaluated so. */
export type ValueOf = (outcome: Outcome) => number | undefined;

/**
 * Returns how a measure is computed. The area is the mean accuracy over the evaluated steps by the trapezoid rule, so that it lies between
 * 0 and 1.
 *
 * @param last The end is the mean of so many last evaluations.
 */
export function measure(name: Measure, last: number): ValueOf {
  const kind = name.endsWith("Greedy") ? "greedy" : "sampled";
  return ({ curve, failed }) => {
    const points = curve.flatMap((one) => one[kind] === undefined ? [] : [{ step: one.step, value: one[kind] }]);
    if (failed !== undefined || points.length === 0) return undefined;
    if (name.startsWith("final")) {
      return meanOf(points.filter(({ step }) => step > 0 || points.length === 1).slice(-last).map(({ value }) => value));
    }
    const span = points.at(-1)!.step - points[0]!.step;
    if (span === 0) return points[0]!.value;
    return points.slice(1).reduce((sum, { step, value }, i) => sum + (step - points[i]!.step) * (value + points[i]!.value) / 2, 0) / span;
  };
}

/** Returns the mean of each warm start over its seeds, in the order of the warm starts. Warm starts without a number are left out. */
function warmMeans(outcomes: readonly Outcome[], value: ValueOf): number[] {
  return Map.groupBy(outcomes, ({ warm }) => warm).values()
    .map((own) => meanOf(own.flatMap((outcome) => value(outcome) ?? [])))
    .filter((mean) => !Number.isNaN(mean))
    .toArray();
}

/** Returns the mean of outcomes with its interval over warm starts. */
export function summary(outcomes: readonly Outcome[], value: ValueOf): MeanInterval {
  return meanInterval(warmMeans(outcomes, value));
}

/** The difference of a method from another. */
export interface Difference extends MeanInterval {
  readonly method: string;
  /** The count of pairs of runs. `n` is the count of warm starts. */
  readonly pairs: number;
  /** Half the width of the interval that holds together with those of the other methods with 95 % (Bonferroni). */
  readonly halfTogether: number;
  /** The p-value, adjusted for the number of methods (Holm). */
  readonly pAdjusted: number;
}

/** Pairs the runs of a method with those of another, by warm start and seed. @returns Their differences by warm start. */
function pairedDifferences(own: readonly Outcome[], base: readonly Outcome[], value: ValueOf): Map<number, number[]> {
  const differences = new Map<number, number[]>();
  for (const outcome of own) {
    const other = base.find(({ warm, seed }) => warm === outcome.warm && seed === outcome.seed);
    const [a, b] = [value(outcome), other && value(other)];
    if (a === undefined || b === undefined) continue;
    differences.set(outcome.warm, [...differences.get(outcome.warm) ?? [], a - b]);
  }
  return differences;
}

/**
 * Returns the differences of the other methods from one, paired by warm start and seed, with intervals over warm starts.
 *
 * @param options `base`: the method that the others are compared with. `methods`: the others.
 */
export function differences(
  outcomes: readonly Outcome[],
  { base, methods, value }: { base: string; methods: readonly string[]; value: ValueOf },
): Difference[] {
  const of = (name: string) => outcomes.filter(({ method }) => method === name);
  const rows = methods.filter((method) => method !== base).map((method) => {
    const paired = [...pairedDifferences(of(method), of(base), value).values()];
    return { method, pairs: paired.flat().length, means: paired.map(meanOf) };
  });
  const ps = holm(rows.map(({ means }) => meanInterval(means).p)), count = rows.filter(({ means }) => means.length > 1).length;
  return rows.map(({ method, pairs, means }, i) => {
    const halfTogether = meanInterval(means, { level: 1 - 0.05 / Math.max(1, count) }).half;
    return { method, pairs, ...meanInterval(means), halfTogether, pAdjusted: ps[i]! };
  });
}

/**
 * Estimates how differences vary between warm starts and between seeds of one warm start: the components of variance of a one-way analysis,
 * as means over the methods. A component that comes out negative is 0.
 *
 * @returns Standard deviations; undefined if no method has two warm starts with two pairs each.
 */
export function spreadOf(
  outcomes: readonly Outcome[],
  { base, methods, value }: { base: string; methods: readonly string[]; value: ValueOf },
): Spread | undefined {
  const of = (name: string) => outcomes.filter((outcome) => outcome.method === name);
  const variances = methods.filter((method) => method !== base).flatMap((method) => {
    const groups = [...pairedDifferences(of(method), of(base), value).values()].filter((list) => list.length > 1);
    return groups.length < 2 ? [] : [components(groups)];
  });
  if (variances.length === 0) return undefined;
  return { warm: Math.sqrt(meanOf(variances.map(({ warm }) => warm))), seed: Math.sqrt(meanOf(variances.map(({ seed }) => seed))) };
}

/** Returns the components of variance of numbers in groups. */
function components(groups: readonly (readonly number[])[]): { warm: number; seed: number } {
  const within = meanOf(groups.map(varianceOf)), seeds = 1 / meanOf(groups.map((list) => 1 / list.length));
  const between = Math.max(0, varianceOf(groups.map(meanOf)) - within / seeds);
  return { warm: between, seed: within };
}

/** A learning rate that was tried. */
export interface TriedRate extends MeanInterval {
  readonly rate: number;
  /** The count of runs that failed. */
  readonly failed: number;
}

/** How a method's learning rate was chosen. */
export interface Choice {
  readonly method: string;
  readonly rate: number;
  /** Whether it is the lowest or the highest of several that were tried, so that a better one may lie outside. */
  readonly isAtEdge: boolean;
  readonly tried: readonly TriedRate[];
}

/**
 * Chooses the learning rate of each method: the one of the highest mean. Of equal ones the lowest is chosen. A rate at which runs failed or
 * are missing is chosen only if all others have none that ended.
 */
export function chooseRates(outcomes: readonly Outcome[], methods: readonly string[], value: ValueOf): Choice[] {
  return methods.flatMap((method) => {
    const byRate = Map.groupBy(outcomes.filter((outcome) => outcome.method === method), ({ rate }) => rate);
    const tried = [...byRate].sort(([a], [b]) => a - b).map(([rate, own]): TriedRate => ({
        rate,
        ...summary(own, value),
        failed: own.filter((outcome) => value(outcome) === undefined).length,
      })
      ),
      ended = tried.filter(({ n }) => n > 0),
      most = Math.max(0, ...byRate.values().map((own) => own.length));
    const whole = ended.filter(({ rate, failed }) => failed === 0 && byRate.get(rate)!.length === most);
    const [first, ...more] = whole.length > 0 ? whole : ended;
    if (!first) return [];
    const { rate } = more.reduce((best, one) => one.mean > best.mean ? one : best, first);
    return [{ method, rate, isAtEdge: tried.length > 1 && (rate === tried[0]!.rate || rate === tried.at(-1)!.rate), tried }];
  });
}

/** Adds the evaluation before the first step, which only runs of one method make, to the runs of the same warm start and seed. */
export function withStarts(outcomes: readonly Outcome[]): Outcome[] {
  const key = ({ warm, seed }: Outcome) => `${warm} ${seed}`, starts = new Map<string, Evaluation>();
  for (const outcome of outcomes) if (outcome.curve[0]?.step === 0) starts.set(key(outcome), outcome.curve[0]);
  return outcomes.map((outcome) => {
    const start = starts.get(key(outcome));
    return !start || outcome.curve[0]?.step === 0 ? outcome : { ...outcome, curve: [start, ...outcome.curve] };
  });
}
