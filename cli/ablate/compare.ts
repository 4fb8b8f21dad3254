// deno-lint-ignore-file no-console -- a part of a command
import { ENDING } from "../../ffi/end_with_owner.ts";
import { BASE, CEILING } from "./methods.ts";
import type { Outcome, StoredOutcome } from "./outcome.ts";
import { choiceJobs, type Design, reportJobs, type RunJob, warmJobs } from "./plan.ts";
import { RunsProgress } from "./progress.ts";
import { Runner, type Work } from "./runner.ts";
import { type Choice, chooseRates, measure, withStarts } from "./statistics.ts";
import { choiceTable, reportTables } from "./tables.ts";

/** Exit code of a command that was stopped. */
const STOPPED = 130;

/** Where a comparison keeps its runs, and what it writes. */
export interface CompareOptions {
  readonly dir: string;
  readonly warmDir: string;
  /** The path of the files that are written, without their endings. */
  readonly out: string;
  readonly slots: number;
}

/** Makes a comparison. @returns The exit code. */
export async function compare(design: Design, options: CompareOptions): Promise<number> {
  const stop = new AbortController(),
    listener = () => {
      if (stop.signal.aborted) Deno.exit(STOPPED);
      console.log("\nStopping; the same command goes on from here. Stop again to stop at once.");
      stop.abort();
    };
  for (const signal of ENDING) Deno.addSignalListener(signal, listener);
  try {
    const made = await makeAll(design, options, stop.signal);
    if (!made) return STOPPED;
    write(design, made, options.out);
    return 0;
  } finally {
    for (const signal of ENDING) Deno.removeSignalListener(signal, listener);
  }
}

/** The finished parts of a comparison. */
interface Made {
  readonly choices: readonly Choice[];
  readonly rates: ReadonlyMap<string, number>;
  readonly chosen: readonly StoredOutcome[];
  readonly reported: readonly StoredOutcome[];
}

/** Makes all runs. @returns Undefined if it was stopped. */
async function makeAll(design: Design, { dir, warmDir, slots }: CompareOptions, signal: AbortSignal): Promise<Made | undefined> {
  const threads = design.slots === undefined ? Math.max(1, Math.floor(navigator.hardwareConcurrency / slots)) : null;
  const encoder = new TextEncoder(), print = (text: string) => void Deno.stdout.writeSync(encoder.encode(text));
  const counter = (what: string, total: number): Work => {
    const progress = new RunsProgress(what, total, { print, isTerminal: Deno.stdout.isTerminal() });
    return { signal, onEnd: (isFresh) => progress.count(isFresh) };
  };
  using runner = new Runner({ dir, warmDir, slots, threads });
  const make = async (part: "choice" | "report", jobs: readonly RunJob[]): Promise<StoredOutcome[] | undefined> => {
    const warm = warmJobs(design, part);
    await runner.warmStarts(warm, counter(`Warm starts of the ${part}`, warm.length));
    const outcomes = await runner.runs(jobs, counter(`Runs of the ${part}`, jobs.length));
    return signal.aborted ? undefined : outcomes;
  };
  const hasChoice = design.rates.length > 1 || design.report.warm === 0;
  const chosen = hasChoice ? await make("choice", choiceJobs(design)) : [];
  if (!chosen) return undefined;
  const choices = chooseRates(chosen, design.methods, measure("final", design.lastEvaluations));
  const rates = hasChoice
    ? new Map(choices.map(({ method, rate }) => [method, rate]))
    : new Map(design.methods.map((method) => [method, design.rates[0]!]));
  const reported = design.report.warm === 0 ? [] : await make("report", reportJobs(design, rates));
  return reported && { choices, rates, chosen, reported };
}

/** Writes what came out, and prints the tables. */
function write(design: Design, { choices, rates, chosen, reported }: Made, out: string): void {
  const bare = (outcomes: readonly StoredOutcome[]): Outcome[] => outcomes.map(({ sets: _, metrics: __, ...outcome }) => outcome);
  const report = withStarts(bare(reported)), { methods, lastEvaluations: last } = design;
  const tables = [
    ...(choices.length > 0 ? [`Choice of learning rates: held-out accuracy at the end\n\n${choiceTable(choices)}`] : []),
    ...(report.length > 0 ? [reportTables(report, { methods, rates, bases: [BASE, CEILING], last })] : []),
  ].join("\n\n");
  Deno.writeTextFileSync(`${out}.json`, `${JSON.stringify({ design, choices, choice: bare(chosen), report })}\n`);
  Deno.writeTextFileSync(`${out}.table.md`, `${tables}\n`);
  console.log(tables);
}
