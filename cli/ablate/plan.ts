/**
 * The runs of a comparison. They are known before any of them, but for the learning rates of the report.
 *
 * @module
 */
import { METHODS } from "./methods.ts";
import type { Part, Preset } from "./presets.ts";

/** A comparison that was asked for: a preset, with what the command line changes. */
export interface Design extends Preset {
  /** The seed of the first warm start. Those of the choice come first, then those of the report. */
  readonly from: number;
  /** Further keys of all runs. They take precedence. */
  readonly extra: readonly string[];
}

/** The seeds of the warm starts of a part that are used. Without them, they are assumed to be the first ones. */
export type WarmSeeds = readonly number[];

/** A warm start that is to be made. */
export interface WarmJob {
  readonly name: string;
  readonly file?: string | undefined;
  readonly sets: readonly string[];
}

/** What a run is of. */
export interface RunPlace {
  readonly method: string;
  readonly rate: number;
  /** The seed of its warm start. */
  readonly warm: number;
  /** Its number among the runs of its method, rate and warm start. */
  readonly seed: number;
}

/** A run that is to be made. */
export interface RunJob extends WarmJob {
  readonly place: RunPlace;
  /** The name of the warm start that it begins with; undefined: it begins with the configuration's model. */
  readonly warmStart: string | undefined;
}

/** Returns the seeds of the warm starts of a part, if none is left out. */
export function warmSeeds({ from, choice, report }: Design, part: "choice" | "report"): WarmSeeds {
  const first = part === "choice" ? from : from + choice.warm;
  return Array.from({ length: part === "choice" ? choice.warm : report.warm }, (_, i) => first + i);
}

/** The keys that a warm start does not depend on. Comparisons that differ only in these can share it. */
const NOT_OF_WARM_START = /^(rollout|algorithm|atrl|optim|batch|grader|trainer|val|logging|data\.(rolloutBatchSize|prefetch))\b/;

/** Keys by which a warm start ends with its accuracy. */
const CHECK = ["trainer.valBeforeTrain=true", "val.greedy=true", "val.limit=256"];

/** Lists warm starts by their seeds; none if the runs of a comparison begin with the same model. */
export function warmJobs(design: Design, seeds: WarmSeeds): WarmJob[] {
  if (!design.hasWarmStarts) return [];
  const sets = [...design.sets, ...design.extra].filter((set) => !NOT_OF_WARM_START.test(set) || /^(grader|logging)\./.test(set));
  const check = design.leastGreedy === undefined ? [] : CHECK;
  return seeds.map((seed) => ({ name: `warm-${seed}`, file: design.file, sets: [...sets, ...check, `seed=${seed}`] }));
}

/** Lists the runs by which the rates are chosen: every method at every rate. */
export function choiceJobs(design: Design, seeds: WarmSeeds = warmSeeds(design, "choice")): RunJob[] {
  return jobs(design, { part: "choice", warm: seeds }, (method) => design.rates.map((rate) => [method, rate] as const));
}

/** Lists the runs of the report: every method at its rate. @param rates The rates by method. A method without one is left out. */
export function reportJobs(
  design: Design,
  rates: ReadonlyMap<string, number>,
  seeds: WarmSeeds = warmSeeds(design, "report"),
): RunJob[] {
  return jobs(design, { part: "report", warm: seeds }, (method) => rates.has(method) ? [[method, rates.get(method)!] as const] : []);
}

/** Seeds come outermost, so that what is done when a command is stopped is balanced over methods and warm starts. */
function jobs(
  design: Design,
  { part, warm: warmStarts }: { part: "choice" | "report"; warm: WarmSeeds },
  each: (method: string) => (readonly [string, number])[],
): RunJob[] {
  const { seeds, sets }: Part = design[part], list: RunJob[] = [];
  for (let seed = 0; seed < seeds; seed++) {
    for (const warm of warmStarts) {
      for (const [i, [method, rate]] of design.methods.flatMap(each).entries()) {
        // The evaluation before the first step is the same for all methods, so that one of them makes it.
        const start = part === "report" && i === 0 ? ["trainer.valBeforeTrain=true"] : [];
        list.push(runJob(design, { method, rate, warm, seed }, [...sets, ...start]));
      }
    }
  }
  return list;
}

function runJob(design: Design, place: RunPlace, sets: readonly string[]): RunJob {
  const { method, rate, warm, seed } = place;
  return {
    name: `${method}-${rate.toExponential()}-w${warm}-s${seed}`,
    file: design.file,
    place,
    warmStart: design.hasWarmStarts ? `warm-${warm}` : undefined,
    sets: [
      ...design.sets,
      // Answers of one run of each warm start are kept, for the histograms.
      `logging.rollouts=${seed === 0 ? "all" : "none"}`,
      ...sets,
      ...design.extra,
      ...METHODS[method]!.sets,
      `optim.lr=${rate}`,
      `trainer.maxSteps=${design.steps}`,
      "trainer.saveFreq=null",
      // Two warm starts have no seed in common, and no run has that of a warm start.
      `seed=${1000 * (warm + 1) + seed}`,
    ],
  };
}
