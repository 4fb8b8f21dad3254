// deno-lint-ignore-file no-await-in-loop no-console -- a part of a command; how many are wanted next depends on those before
/**
 * The warm starts of a comparison: those that can read.
 *
 * @module
 */
import { type Design, warmJobs, type WarmSeeds, warmSeeds } from "./plan.ts";
import type { Runner, Work } from "./runner.ts";

/** A warm start that is not used. */
export interface LeftOut {
  readonly seed: number;
  /** Its greedy accuracy. */
  readonly greedy: number;
}

/** How many warm starts may be left out for each one that is wanted. */
const MOST_LEFT_OUT = 3;

const reads = ({ leastGreedy = 0 }: Design, greedy: number | undefined) => greedy === undefined || greedy >= leastGreedy;

/**
 * Makes warm starts, and leaves out those whose greedy accuracy is below the design's least. Seeds are taken one after the other, so that the
 * outcome depends neither on the order in which they end nor on a stop between.
 *
 * @param options `begin`: is told how many are made next. `onLeftOut`: is told of each that is left out.
 * @returns The seeds of those that can read; undefined if the signal came before.
 * @throws {RangeError} if most of them cannot.
 */
export async function makeReaders(
  design: Design,
  { from, count, runner, begin, onLeftOut }: {
    from: number;
    count: number;
    runner: Pick<Runner, "warmStarts">;
    begin: (count: number) => Work;
    onLeftOut: (one: LeftOut) => void;
  },
): Promise<WarmSeeds | undefined> {
  const seeds: number[] = [];
  for (let next = from, missing = count; missing > 0; missing = count - seeds.length) {
    if (next - from > (1 + MOST_LEFT_OUT) * count) {
      const words = `${next - from - seeds.length} of ${
        next - from
      } warm starts answer less than ${design.leastGreedy} of the rows greedily`;
      throw new RangeError(`Cannot compare: ${words}; lower --least-greedy, or change the supervised training`);
    }
    const tried = Array.from({ length: missing }, (_, i) => next + i), work = begin(missing);
    const made = await runner.warmStarts(warmJobs(design, tried), work);
    if (work.signal.aborted) return undefined;
    for (const [i, seed] of tried.entries()) {
      const greedy = made[i]?.greedy;
      if (reads(design, greedy)) {
        seeds.push(seed);
        continue;
      }
      console.log(`Warm start ${seed} is left out: it answers ${greedy!.toFixed(3)} of the rows greedily`);
      onLeftOut({ seed, greedy: greedy! });
    }
    next += missing;
  }
  return seeds;
}

/** Returns the seeds of the choice's warm starts, if all of them are there; undefined otherwise. */
export function knownReaders(design: Design, runner: Pick<Runner, "storedWarm">): WarmSeeds | undefined {
  if (!design.hasWarmStarts) return warmSeeds(design, "choice");
  const seeds: number[] = [];
  for (let seed = design.from; seeds.length < design.choice.warm; seed++) {
    const stored = runner.storedWarm(warmJobs(design, [seed])[0]!);
    if (!stored) return undefined;
    if (reads(design, stored.greedy)) seeds.push(seed);
  }
  return seeds;
}
