/**
 * How large a comparison must be for a wanted interval, and how long it takes.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { loadConfig } from "../../actors/config/load.ts";
import { choiceJobs, type Design, reportJobs, type RunJob, warmJobs, warmSeeds } from "./plan.ts";
import type { Part, Spread } from "./presets.ts";
import type { Runner } from "./runner.ts";
import { meanOf, tQuantile } from "./student.ts";

/** Seconds that a slot takes for each kind of work. */
export interface Costs {
  /** A warm start. */
  readonly warm: number;
  /** A run of the choice. */
  readonly choice: number;
  /** A run of the report. */
  readonly report: number;
}

/** The most warm starts, and the most seeds of each, that are considered. */
const [MOST_WARM, MOST_SEEDS] = [400, 64];
/** Steps of the warm start that is measured. */
const CALIBRATION_STEPS = 20;

/**
 * Returns half the width of the 95 % interval of a difference, as it is to be expected.
 *
 * @example
 * ```ts
 * import { expectedHalf } from "./size.ts";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * assertAlmostEquals(expectedHalf({ warm: 0.3, seed: 0.4 }, { warm: 4, seeds: 1 }), 3.1824463 * 0.5 / 2, 1e-6);
 * ```
 */
export function expectedHalf(spread: Spread, { warm, seeds }: { warm: number; seeds: number }): number {
  return tQuantile(0.975, warm - 1) * Math.sqrt((spread.warm ** 2 + spread.seed ** 2 / seeds) / warm);
}

/**
 * Returns the cheapest number of warm starts and seeds for which half the width of the interval is at most the wanted one.
 *
 * @throws {RangeError} if even the largest comparison would not do.
 */
export function sizeFor(
  half: number,
  { spread, costs, methods, fixedSeeds }: { spread: Spread; costs: Costs; methods: number; fixedSeeds?: number },
): { warm: number; seeds: number } {
  let best: { warm: number; seeds: number; cost: number } | undefined;
  for (let seeds = fixedSeeds ?? 1; seeds <= (fixedSeeds ?? MOST_SEEDS); seeds++) {
    for (let warm = 2; warm <= MOST_WARM; warm++) {
      if (expectedHalf(spread, { warm, seeds }) > half) continue;
      const cost = warm * (costs.warm + methods * seeds * costs.report);
      if (!best || cost < best.cost) best = { warm, seeds, cost };
      break; // more warm starts of as many seeds cost more
    }
  }
  if (!best) throw new RangeError(`Cannot reach an interval of ± ${half}: ${MOST_WARM} warm starts are not enough; ask for a wider one`);
  return { warm: best.warm, seeds: best.seeds };
}

/** The counts of a comparison, and its time. */
export interface Size {
  readonly warmStarts: number;
  readonly choiceRuns: number;
  readonly reportRuns: number;
  /** Minutes of all, if nothing is made yet. */
  readonly minutes: number;
}

/** Counts what a comparison makes. */
export function sizeOf(design: Design, { costs, slots }: { costs: Costs; slots: number }): Size {
  const { choice, report, methods } = design, hasChoice = design.rates.length > 1 || report.warm === 0;
  const choiceRuns = hasChoice ? choice.warm * choice.seeds * methods.length * design.rates.length : 0;
  const reportRuns = report.warm * report.seeds * methods.length;
  const warmStarts = design.hasWarmStarts ? (hasChoice ? choice.warm : 0) + report.warm : 0;
  const seconds = warmStarts * costs.warm + choiceRuns * costs.choice + reportRuns * costs.report;
  return { warmStarts, choiceRuns, reportRuns, minutes: seconds / slots / 60 };
}

/** Copies of a job, one for each slot, by a name that other settings do not have. */
function copies<J extends { readonly sets: readonly string[] }>(job: J, name: string, slots: number): (J & { name: string })[] {
  const print = createHash("sha256").update(job.sets.join("\n")).digest("hex").slice(0, 8);
  return Array.from({ length: slots }, (_, i) => ({ ...job, name: `calibration-${name}-${print}-${i}` }));
}

/**
 * Measures the costs with every slot at work: a few steps of a warm start, whose median is scaled to the other steps, and runs of each kind
 * from it. A model that has learned little answers at length, so that the runs that follow may take less. A comparison of given models is
 * not measured beforehand.
 *
 * @returns Undefined if it was not measured, or stopped.
 */
export async function measureCosts(
  design: Design,
  { runner, slots, signal }: { runner: Runner; slots: number; signal: AbortSignal },
): Promise<Costs | undefined> {
  const { leastGreedy: _, ...unchecked } = design;
  const few = { ...unchecked, extra: [...design.extra, `sft.steps=${CALIBRATION_STEPS}`, "sft.warmupSteps=0", "sft.saveFreq=0"] };
  const seeds = warmSeeds(design, "choice"), [first] = warmJobs(few, seeds), [full] = warmJobs(unchecked, seeds);
  if (!first || !full) return undefined;
  const warm = copies(first, "warm", slots), rates = new Map(design.methods.map((method) => [method, design.rates[0]!]));
  const made = (await runner.warmStarts(warm, { signal })).filter((one) => one !== undefined);
  // The last run of each part: the first one of the report also evaluates the model before its first step.
  const cost = async (name: string, jobs: readonly RunJob[]) => {
    const [job] = jobs.slice(-1), list = job ? copies({ ...job, warmStart: warm[0]!.name }, name, slots) : [];
    return meanOf((await runner.runs(list, { signal })).map((outcome) => outcome.seconds));
  };
  const choice = await cost("choice", choiceJobs(design)), report = await cost("report", reportJobs(design, rates));
  if (signal.aborted) return undefined;
  const steps = loadConfig({ file: full.file, sets: full.sets }).config.sft?.steps ?? 0;
  const warmSeconds = meanOf(made.map(({ seconds, stepSeconds }) => seconds + (steps - CALIBRATION_STEPS) * stepSeconds));
  return { warm: warmSeconds, choice, report: Number.isNaN(report) ? choice : report };
}

/** Says the size of a comparison in words. */
export function sizeWords(
  design: Design,
  { slots, costs, spread, isPilot, interval }: {
    slots: number;
    /** Undefined: not measured. */
    costs: Costs | undefined;
    spread: Spread;
    /** Whether the spread is that of runs of the choice. */
    isPilot: boolean;
    interval: number | undefined;
  },
): string {
  const { choice, report, methods, rates } = design, zero = { warm: 0, choice: 0, report: 0 };
  const size = sizeOf(design, { costs: costs ?? zero, slots }),
    shapeOf = ({ warm, seeds }: Part) => design.hasWarmStarts ? `${warm} warm starts x ${seeds} seeds` : `${warm * seeds} seeds`;
  const lines: string[] = [];
  if (size.choiceRuns > 0) {
    const shape = `${shapeOf(choice)} x ${methods.length} methods x ${rates.length} rates`;
    lines.push(`Choice of rates: ${shape} = ${size.choiceRuns} runs`);
  }
  if (size.reportRuns > 0) {
    const shape = `${shapeOf(report)} x ${methods.length} methods`;
    lines.push(`Report: ${shape} = ${size.reportRuns} runs`);
    const from = isPilot ? "in the runs of the choice" : "assumed, until the choice has been made";
    const deviations = `standard deviations of ${spread.warm.toFixed(3)} between warm starts and ${
      spread.seed.toFixed(3)
    } between seeds, ${from}`;
    const half = report.warm > 1 ? `± ${expectedHalf(spread, report).toFixed(3)}` : "none, which takes at least two warm starts";
    lines.push(`Interval of a difference (95 %): ${half}${interval === undefined ? "" : `, wanted ± ${interval}`}; ${deviations}`);
  }
  const each = costs &&
    [`a warm start takes ${costs.warm.toFixed(0)} s`, `a run ${costs.choice.toFixed(1)} and ${costs.report.toFixed(1)} s`];
  const time = costs
    ? `about ${Math.ceil(size.minutes)} minutes with ${slots} side by side (${each!.join(", ")})`
    : "the time is not known beforehand";
  lines.push(
    `In all ${size.warmStarts > 0 ? `${size.warmStarts} warm starts and ` : ""}${size.choiceRuns + size.reportRuns} runs: ${time}`,
  );
  return lines.join("\n");
}
