/**
 * The outcome of a run, as its file holds it.
 *
 * @module
 */
import { Lines } from "../../actors/run/lines.ts";
import { writeWhole } from "../../actors/run/whole_file.ts";
import type { RunPlace } from "./plan.ts";

/** Held-out accuracy after a step. */
export interface Evaluation {
  readonly step: number;
  /** Of sampled answers. */
  readonly sampled: number;
  /** Of greedy answers; undefined where they were not asked for. */
  readonly greedy?: number;
}

/** What is kept of a run. */
export interface Outcome extends RunPlace {
  /** Held-out accuracies by step. */
  readonly curve: readonly Evaluation[];
  /** Why the run failed, if its updates diverged. Its curve then ends early. */
  readonly failed?: string;
  /** Seconds that the run took. */
  readonly seconds: number;
}

/** An outcome with the metrics of its steps, as the run's folder holds it. */
export interface StoredOutcome extends Outcome {
  /** The settings that the run was made with. */
  readonly sets: readonly string[];
  /** Metrics about classes of tokens and anchors by name: each step's value, null where it has none. */
  readonly metrics: Readonly<Record<string, readonly (number | null)[]>>;
}

/** What is kept of a warm start. */
export interface WarmOutcome {
  /** The settings that it was made with. */
  readonly sets: readonly string[];
  /** Seconds that it took. */
  readonly seconds: number;
  /** Median of the seconds of a step. */
  readonly stepSeconds: number;
  /** Its greedy accuracy on held-out rows; undefined where it was not evaluated. */
  readonly greedy?: number;
}

/** Makes the outcome of a warm start from its log. */
export function readWarmOutcome(run: string, of: Pick<WarmOutcome, "sets" | "seconds">): WarmOutcome {
  const lines = [...new Lines(`${run}/metrics.jsonl`).entries()];
  const numbers = (name: string) => lines.map((line) => line[name]).filter((value) => typeof value === "number");
  const times = numbers("timing_s/step").sort((a, b) => a - b), greedy = numbers("val/accuracy_greedy").at(-1);
  return { ...of, stepSeconds: times[times.length >> 1] ?? 0, ...(greedy !== undefined && { greedy }) };
}

/** The metrics of steps that an outcome keeps. */
const KEPT =
  /^(classes\/|atrl\/(anchor_purity|weight_|connectivity_|advantage_share))|^(reward\/accuracy|actor\/grad_norm|actor\/entropy)$/;

/** Makes the outcome of a run from its log. */
export function readOutcome(run: string, of: RunPlace & { sets: readonly string[]; seconds: number; failed?: string }): StoredOutcome {
  const curve: Evaluation[] = [], steps: Readonly<Record<string, unknown>>[] = [], names = new Set<string>();
  for (const line of new Lines(`${run}/metrics.jsonl`).entries()) {
    const sampled = line["val/accuracy"], greedy = line["val/accuracy_greedy"];
    if (typeof sampled === "number") curve.push({ step: line.step, sampled, ...(typeof greedy === "number" && { greedy }) });
    if (line["actor/loss"] === undefined) continue;
    steps.push(line);
    for (const name of Object.keys(line)) if (KEPT.test(name)) names.add(name);
  }
  const value = (line: Readonly<Record<string, unknown>>, name: string) =>
    typeof line[name] === "number" ? Number(line[name].toPrecision(6)) : null;
  const metrics = Object.fromEntries([...names].map((name) => [name, steps.map((line) => value(line, name))]));
  return { ...of, curve, metrics };
}

const pathOf = (run: string) => `${run}/outcome.json`;

/** Writes an outcome into the run's folder. */
export function storeOutcome(run: string, outcome: object): void {
  writeWhole(pathOf(run), `${JSON.stringify(outcome)}\n`);
}

/**
 * Returns a run's outcome; undefined if it is not finished.
 *
 * @param sets The settings that it must have been made with.
 * @throws {RangeError} if it was made with others.
 */
export function storedOutcome<T extends { readonly sets: readonly string[] }>(run: string, sets: readonly string[]): T | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(pathOf(run));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const outcome = JSON.parse(text) as T, missing = (a: readonly string[], b: readonly string[]) => a.filter((set) => !b.includes(set));
  const [gone, come] = [missing(outcome.sets, sets), missing(sets, outcome.sets)];
  if (gone.length === 0 && come.length === 0) return outcome;
  const words = [gone.length > 0 && `with ${gone.join(", ")}`, come.length > 0 && `without ${come.join(", ")}`].filter(Boolean).join(
    " and ",
  );
  throw new RangeError(`Cannot use ${run}: it was made ${words}; name another folder with --dir, or remove it`);
}
