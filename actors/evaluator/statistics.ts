/**
 * Statistics of graded answers: accuracy, avg@n, pass@k and maj@n with 95 % intervals, for all problems and for groups of them.
 *
 * @module
 */
import { from, op } from "arquero";
import { Random } from "../../tensor/random.ts";
import { wilson } from "./wilson.ts";

/** What statistics need of a graded answer. */
export interface EvaluationRecord {
  /** The problem's id. */
  readonly id: string;
  /** The number of the answer among those to the problem, from 0. */
  readonly sample: number;
  /** The accuracy in [0, 1]; NaN if the problem's truth cannot be graded. */
  readonly accuracy: number;
  /** The reward, which training maximises. */
  readonly reward: number;
  /** The extracted answer; undefined if there is none. */
  readonly answer?: string | undefined;
  /** The problem's fields, by column. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How an interval was found; see {@linkcode statistics}. */
export type IntervalMethod = "wilson" | "bootstrap over problems" | "wilson over problems";

/** A value with its 95 % interval. */
export interface Estimate {
  /** The estimate. */
  readonly value: number;
  /** Lower end of the interval. */
  readonly low: number;
  /** Upper end of the interval. */
  readonly high: number;
  /** How the interval was found. */
  readonly method: IntervalMethod;
}

/** Statistics of a set of problems. */
export interface Statistics {
  /** The number of problems that count. */
  readonly problems: number;
  /** The number of problems that are left out because an answer to them has accuracy NaN. */
  readonly ungraded: number;
  /** The number of answers to each problem. */
  readonly n: number;
  /** The mean reward of all answers; NaN if no problem counts. */
  readonly reward: number;
  /** The estimates by name, in this order: "accuracy", "avg@n", "pass@k" for each k, "maj@n". Empty if no problem counts. */
  readonly estimates: Readonly<Record<string, Estimate>>;
}

/** Statistics of a group of problems. */
export interface GroupStatistics extends Statistics {
  /** The group's values by column. */
  readonly group: Readonly<Record<string, unknown>>;
}

/** Options of {@linkcode statistics}. */
export interface StatisticsOptions {
  /** The values of k for pass@k. Default: none. */
  readonly k?: readonly number[] | undefined;
  /** Columns of `fields` to group by. A group is a combination of their values. Default: none. */
  readonly by?: readonly string[] | undefined;
  /** The accuracy from which an answer passes. Default 0.5. */
  readonly threshold?: number | undefined;
  /** The seed of the bootstrap. Default 0. */
  readonly seed?: number | undefined;
  /** The number of draws of the bootstrap. Default 2000. */
  readonly resamples?: number | undefined;
}

/** The numbers of a problem by the names of {@linkcode Statistics.estimates}, and its mean reward. */
interface Problem {
  readonly values: Readonly<Record<string, number>>;
  readonly reward: number;
  readonly n: number;
}

/**
 * Estimates without bias the chance that at least one of k answers passes, from n answers of which c pass: 1 - C(n - c, k) / C(n, k)
 * (Chen et al., arXiv 2107.03374).
 *
 * @throws {RangeError} Unless 1 <= k <= n and 0 <= c <= n.
 *
 * @example
 * ```ts
 * import { passAtK } from "@kedge/kedge/actors";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * assertAlmostEquals(passAtK({ n: 4, c: 1, k: 2 }), 1 - 3 / 6);
 * ```
 */
export function passAtK({ n, c, k }: { n: number; c: number; k: number }): number {
  if (!Number.isInteger(k) || !(k >= 1 && k <= n)) {
    throw new RangeError(`Cannot estimate pass@${k} from ${n} answers: k goes from 1 to ${n}`);
  }
  if (!(c >= 0 && c <= n)) throw new RangeError(`Cannot estimate pass@${k}: ${c} of ${n} answers pass`);
  if (n - c < k) return 1;
  let none = 1;
  for (let i = n - c + 1; i <= n; i++) none *= 1 - k / i;
  return 1 - none;
}

/**
 * Returns the accuracy of the most frequent answer; of equally frequent ones, of the first. Two answers are equal if their texts are.
 * Responses without an answer have no vote. If no response has an answer, the first response counts.
 *
 * @example
 * ```ts
 * import { majorityAccuracy } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(majorityAccuracy([{ answer: "3", accuracy: 0 }, { answer: "2", accuracy: 1 }, { answer: " 2", accuracy: 1 }]), 1);
 * ```
 */
export function majorityAccuracy(answers: readonly Pick<EvaluationRecord, "answer" | "accuracy">[]): number {
  const votes = new Map<string, { count: number; accuracy: number }>();
  for (const { answer, accuracy } of answers) {
    const text = answer?.trim();
    if (!text) continue;
    const vote = votes.get(text);
    if (vote) vote.count++;
    else votes.set(text, { count: 1, accuracy });
  }
  let best: { count: number; accuracy: number } | undefined;
  for (const vote of votes.values()) if (!best || vote.count > best.count) best = vote;
  return (best ?? answers[0]!).accuracy;
}

/** Returns the p-quantile of sorted numbers, interpolated linearly. */
function quantile(sorted: Float64Array, p: number): number {
  const at = p * (sorted.length - 1), below = Math.floor(at), low = sorted[below]!;
  return low + (at - below) * ((sorted[below + 1] ?? low) - low);
}

/** Estimates the mean over problems, with its interval. */
function overProblems(values: readonly number[], { seed, resamples }: { seed: number; resamples: number }): Estimate {
  const count = values.length, sum = values.reduce((a, b) => a + b, 0);
  if (values.every((value) => value === values[0])) return { ...wilson(sum, count), method: "wilson over problems" };
  const random = new Random(seed);
  const means = Float64Array.from({ length: resamples }, () => {
    let total = 0;
    for (let i = 0; i < count; i++) total += values[random.integer(0, count)]!;
    return total / count;
  }).sort();
  return { value: sum / count, low: quantile(means, 0.025), high: quantile(means, 0.975), method: "bootstrap over problems" };
}

function problemOf(answers: readonly EvaluationRecord[], { k, threshold }: { k: readonly number[]; threshold: number }): Problem {
  const n = answers.length, mean = (of: (answer: EvaluationRecord) => number) => answers.reduce((sum, a) => sum + of(a), 0) / n;
  const c = answers.filter(({ accuracy }) => accuracy >= threshold).length;
  const values = {
    accuracy: answers[0]!.accuracy,
    [`avg@${n}`]: mean(({ accuracy }) => accuracy),
    ...Object.fromEntries(k.map((k) => [`pass@${k}`, passAtK({ n, c, k })])),
    [`maj@${n}`]: majorityAccuracy(answers),
  };
  return { values: answers.some(({ accuracy }) => Number.isNaN(accuracy)) ? {} : values, reward: mean(({ reward }) => reward), n };
}

function summary(problems: readonly Problem[], options: { seed: number; resamples: number }): Statistics {
  const counted = problems.filter(({ values }) => "accuracy" in values);
  const estimates = Object.keys(counted[0]?.values ?? {}).map((name): [string, Estimate] => {
    const values = counted.map((problem) => problem.values[name]!);
    if (name !== "accuracy") return [name, overProblems(values, options)];
    return [name, { ...wilson(values.reduce((a, b) => a + b, 0), values.length), method: "wilson" }];
  });
  return {
    problems: counted.length,
    ungraded: problems.length - counted.length,
    n: problems[0]!.n,
    reward: counted.reduce((sum, { reward }) => sum + reward, 0) / counted.length,
    estimates: Object.fromEntries(estimates),
  };
}

/** Checks the columns to group by. @throws {RangeError} For a column that no record has. */
export function checkColumns(records: readonly Pick<EvaluationRecord, "fields">[], by: readonly string[]): void {
  const missing = by.find((column) => !records.some(({ fields }) => Object.hasOwn(fields, column)));
  if (missing === undefined) return;
  const columns = [...new Set(records.flatMap(({ fields }) => Object.keys(fields)))];
  throw new RangeError(`Cannot sum up: no record has a column "${missing}"; the columns are ${columns.join(", ") || "none"}`);
}

/** Returns a value as a group's key. Values with different JSON have different keys. */
function keyOf(value: unknown): string | number | boolean | null {
  if (value === undefined || value === null) return null;
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : JSON.stringify(value);
}

/**
 * Statistics of graded answers.
 *
 * "accuracy" is that of the first answer to each problem, with Wilson's interval. The other values are means over problems; their
 * intervals are percentiles of a bootstrap that draws whole problems. If all problems have the same value, the bootstrap's interval would
 * have no width. Wilson's interval over the problems is used then, which is wide enough because no value in [0, 1] varies more than a
 * coin's.
 *
 * @throws {RangeError} For no records, problems with different numbers of answers, a k above that number, or a column that no record has.
 *
 * @example
 * ```ts
 * import { statistics } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const record = (id: string, sample: number, accuracy: number) => ({ id, sample, accuracy, reward: accuracy, answer: `${accuracy}`, fields: { level: id } });
 * const { overall, groups } = statistics([record("a", 0, 1), record("a", 1, 0), record("b", 0, 0), record("b", 1, 0)], { k: [2], by: ["level"] });
 * assertEquals(Object.entries(overall.estimates).map(([name, { value }]) => [name, value]), [["accuracy", 0.5], ["avg@2", 0.25], ["pass@2", 0.5], ["maj@2", 0.5]]);
 * assertEquals(groups.map(({ group, reward }) => [group.level, reward]), [["a", 0.5], ["b", 0]]);
 * ```
 */
export function statistics(
  records: readonly EvaluationRecord[],
  options: StatisticsOptions = {},
): { overall: Statistics; groups: GroupStatistics[] } {
  const { k = [], by = [], threshold = 0.5, seed = 0, resamples = 2000 } = options,
    refuse = (words: string) => new RangeError(`Cannot sum up: ${words}`);
  if (records.length === 0) throw refuse("there are no records");
  checkColumns(records, by);
  const answers = from(records.map((record) => ({ id: record.id, record }))).groupby("id").rollup({ answers: op.array_agg("record") })
    .objects() as { answers: EvaluationRecord[] }[];
  const rows = answers.map(({ answers }) => {
    const sorted = answers.toSorted((a, b) => a.sample - b.sample), { fields } = sorted[0]!;
    const keys = by.map((column, i) => [`key ${i}`, keyOf(fields[column])] as const);
    return { ...Object.fromEntries(keys), problem: problemOf(sorted, { k, threshold }) };
  });
  const n = rows[0]!.problem.n, odd = rows.findIndex(({ problem }) => problem.n !== n);
  if (odd >= 0) throw refuse(`problem ${answers[odd]!.answers[0]!.id} has ${rows[odd]!.problem.n} answers, the first ${n}`);
  const overall = summary(rows.map(({ problem }) => problem), { seed, resamples });
  if (by.length === 0) return { overall, groups: [] };
  const grouped = from(rows).groupby(...by.map((_, i) => `key ${i}`)).rollup({ problems: op.array_agg("problem") })
    .objects() as (Record<string, unknown> & { problems: Problem[] })[];
  const groups = grouped.map((row) => ({
    group: Object.fromEntries(by.map((column, i) => [column, row[`key ${i}`]])),
    ...summary(row.problems, { seed, resamples }),
  }));
  const order = (a: unknown, b: unknown) => String(a).localeCompare(String(b), "en", { numeric: true });
  return { overall, groups: groups.sort((a, b) => by.reduce((sign, column) => sign || order(a.group[column], b.group[column]), 0)) };
}
