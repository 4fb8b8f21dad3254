// deno-lint-ignore-file no-console -- a part of a command
import { ENDING } from "../../ffi/end_with_owner.ts";
import { BASE } from "./methods.ts";
import type { StoredOutcome } from "./outcome.ts";
import { choiceJobs, type Design, reportJobs, type RunJob, type WarmSeeds, warmSeeds } from "./plan.ts";
import { RunsProgress } from "./progress.ts";
import { Runner, type Work } from "./runner.ts";
import { type Costs, measureCosts, sizeFor, sizeWords } from "./size.ts";
import { type Choice, chooseRates, measure, spreadOf } from "./statistics.ts";
import { type Made, writeResults } from "./results.ts";
import { knownReaders, type LeftOut, makeReaders } from "./readers.ts";

/** Exit code of a command that was stopped. */
const STOPPED = 130;

/** Where a comparison keeps its runs, and what it writes. */
export interface CompareOptions {
  readonly dir: string;
  readonly warmDir: string;
  /** The path of the files that are written, without their endings. */
  readonly out: string;
  readonly slots: number;
  /** Half the width of the interval that is wanted; undefined: the report has the size that the design says. */
  readonly interval: number | undefined;
  /** Whether only the size is said. */
  readonly isPlan: boolean;
  /** A file with how well each head tells readings, which is drawn; undefined: none. */
  readonly heads: string | undefined;
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
    if (!made) return stop.signal.aborted ? STOPPED : 0;
    const words = writeResults(made, options);
    console.log(words);
    return 0;
  } finally {
    for (const signal of ENDING) Deno.removeSignalListener(signal, listener);
  }
}

/** Makes all runs. @returns Undefined if it was stopped, or if only the plan was asked for. */
async function makeAll(asked: Design, options: CompareOptions, signal: AbortSignal): Promise<Made | undefined> {
  const { dir, warmDir, slots, isPlan } = options;
  const threads = asked.slots === undefined ? Math.max(1, Math.floor(navigator.hardwareConcurrency / slots)) : null;
  using runner = new Runner({ dir, warmDir, slots, threads });
  const costs = await measureCosts(asked, { runner, slots, signal });
  if (signal.aborted) return undefined;
  const sized = (chosen: readonly StoredOutcome[]) => resized(asked, { ...options, costs, chosen });
  const hasChoice = asked.rates.length > 1 || asked.report.warm === 0, known = hasChoice ? knownReaders(asked, runner) : undefined;
  const before = known ? runner.stored(choiceJobs(asked, known)) : [];
  const first = sized(before.length === choiceJobs(asked).length ? before : []);
  console.log(first.words);
  if (isPlan) return undefined;
  const leftOut: LeftOut[] = [];
  const make = async (design: Design, part: "choice" | "report", { from, jobs }: {
    from: number;
    jobs: (seeds: WarmSeeds) => readonly RunJob[];
  }): Promise<{ seeds: WarmSeeds; outcomes: StoredOutcome[] } | undefined> => {
    const begin = (count: number) => counter(`Warm starts of the ${part}`, count, signal);
    const seeds = await makeReaders(design, { from, count: design[part].warm, runner, begin, onLeftOut: (one) => leftOut.push(one) });
    if (!seeds) return undefined;
    const list = jobs(seeds), outcomes = await runner.runs(list, counter(`Runs of the ${part}`, list.length, signal));
    return signal.aborted ? undefined : { seeds, outcomes };
  };
  const choice = hasChoice
    ? await make(asked, "choice", { from: asked.from, jobs: (seeds) => choiceJobs(asked, seeds) })
    : { seeds: warmSeeds(asked, "choice"), outcomes: [] };
  if (!choice) return undefined;
  const chosen = choice.outcomes, choices = chooseRates(chosen, asked.methods, measure("final", asked.lastEvaluations));
  const rates = hasChoice ? ratesOf(choices) : new Map(asked.methods.map((method) => [method, asked.rates[0]!]));
  if (asked.report.warm === 0) return { design: asked, choices, rates, chosen, reported: [], seeds: [], leftOut };
  const { design, words } = sized(chosen);
  if (words !== first.words) console.log(words);
  const from = Math.max(...choice.seeds) + 1,
    report = await make(design, "report", { from, jobs: (seeds) => reportJobs(design, rates, seeds) });
  return report && { design, choices, rates, chosen, reported: report.outcomes, seeds: report.seeds, leftOut };
}

const ratesOf = (choices: readonly Choice[]) => new Map(choices.map(({ method, rate }) => [method, rate]));

/** Prints how far a list of runs has come. */
function counter(what: string, total: number, signal: AbortSignal): Work {
  const encoder = new TextEncoder(), print = (text: string) => void Deno.stdout.writeSync(encoder.encode(text));
  const progress = new RunsProgress(what, total, { print, isTerminal: Deno.stdout.isTerminal() });
  return { signal, onEnd: (isFresh) => progress.count(isFresh) };
}

/** Gives the report the size that the wanted interval needs, as far as is known, and says the size. */
function resized(
  design: Design,
  { slots, interval, costs, chosen }: CompareOptions & { costs: Costs | undefined; chosen: readonly StoredOutcome[] },
): { design: Design; words: string } {
  const { methods, lastEvaluations, prior } = design, value = measure("final", lastEvaluations);
  const rates = ratesOf(chooseRates(chosen, methods, value)), base = methods.includes(BASE) ? BASE : methods[0]!;
  const pilot = spreadOf(chosen.filter(({ method, rate }) => rates.get(method) === rate), { base, methods, value }),
    spread = pilot ?? prior;
  const fixed = design.hasWarmStarts ? {} : { fixedSeeds: 1 }, each = costs ?? { warm: 1, choice: 1, report: 1 };
  const size = interval === undefined ? {} : sizeFor(interval, { spread, costs: each, methods: methods.length, ...fixed });
  const report = { ...design.report, ...size }, made = { ...design, report };
  return { design: made, words: sizeWords(made, { slots, costs, spread, isPilot: pilot !== undefined, interval }) };
}
