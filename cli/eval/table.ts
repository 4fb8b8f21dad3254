import type { Estimate, GroupStatistics, IntervalMethod, Statistics } from "../../actors/evaluator/statistics.ts";

const MARKS: Readonly<Record<IntervalMethod, string>> = { "wilson": "", "bootstrap over problems": "b", "wilson over problems": "w" };
const NOTES: Readonly<Record<IntervalMethod, string>> = {
  "wilson": "accuracy: of the first answer to each problem; its interval: 95 %, Wilson",
  "bootstrap over problems": "b: 95 %, percentiles of a bootstrap over problems",
  "wilson over problems": "w: 95 %, Wilson over problems, since all have the same value",
};

const percent = (share: number) => (100 * share).toFixed(1);
const cell = ({ value, low, high, method }: Estimate) => `${percent(value)} [${percent(low)}, ${percent(high)}]${MARKS[method]}`;

/**
 * Statistics as a table of text: a row for all problems, and one for each group.
 *
 * @param by The columns that the groups are of.
 *
 * @example
 * ```ts
 * import { statisticsTable } from "@kedge/kedge";
 * import { statistics } from "@kedge/kedge/actors";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const found = statistics([{ id: "a", sample: 0, accuracy: 1, reward: 1, fields: {} }]);
 * assertStringIncludes(statisticsTable(found), "100.0 [20.7, 100.0]");
 * ```
 */
export function statisticsTable(found: { overall: Statistics; groups: readonly GroupStatistics[] }, by: readonly string[] = []): string {
  const { overall, groups } = found, all = [overall, ...groups];
  // Of one answer, mean and majority are its accuracy.
  const names = [...new Set(all.flatMap(({ estimates }) => Object.keys(estimates)))].filter((name) => !/^(?:avg|maj)@1$/.test(name));
  const ungraded = overall.ungraded > 0;
  const head = [...(by.length > 0 ? by : [""]), "problems", ...ungraded ? ["ungraded"] : [], ...names.map((name) => `${name} %`), "reward"];
  const row = (labels: readonly string[], { problems, ungraded: left, estimates, reward }: Statistics) => [
    ...labels,
    `${problems}`,
    ...ungraded ? [`${left}`] : [],
    ...names.map((name) => estimates[name] ? cell(estimates[name]) : "-"),
    Number.isNaN(reward) ? "-" : reward.toFixed(3),
  ];
  const rows = [
    head,
    row(["all", ...by.slice(1).map(() => "")], overall),
    ...groups.map((group) => row(by.map((column) => printable(group.group[column])), group)),
  ];
  const labels = Math.max(1, by.length), widths = head.map((_, i) => Math.max(...rows.map((cells) => cells[i]!.length)));
  const lines = rows.map((cells) =>
    cells.map((text, i) => i < labels ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)).join("  ").trimEnd()
  );
  const used = new Set(all.flatMap(({ estimates }) => names.flatMap((name) => estimates[name]?.method ?? [])));
  return [...lines, "", ...(Object.keys(NOTES) as IntervalMethod[]).filter((method) => used.has(method)).map((method) => NOTES[method])]
    .join("\n");
}

/** A group's value in a line of text. */
function printable(value: unknown): string {
  return value === null || value === undefined ? "(none)" : String(value).replace(/\p{Cc}+/gu, " ");
}
