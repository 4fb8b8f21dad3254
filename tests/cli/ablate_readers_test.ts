import { assertEquals, assertRejects } from "@std/assert";
import type { WarmOutcome } from "../../cli/ablate/outcome.ts";
import { type Design, type WarmJob, warmJobs } from "../../cli/ablate/plan.ts";
import { PRESETS } from "../../cli/ablate/presets.ts";
import { knownReaders, type LeftOut, makeReaders } from "../../cli/ablate/readers.ts";

const base: Design = { ...PRESETS.minutes, leastGreedy: 0.5, from: 7, extra: [] },
  design = { ...base, choice: { ...base.choice, warm: 3 } };
const seedOf = ({ name }: WarmJob) => Number(name.slice("warm-".length));

/** A runner whose warm starts have made-up accuracies. */
function runnerOf(greedy: (seed: number) => number | undefined) {
  const made: number[] = [];
  const outcome = (job: WarmJob): WarmOutcome => {
    const value = greedy(seedOf(job));
    return { sets: job.sets, seconds: 1, stepSeconds: 0.001, ...(value !== undefined && { greedy: value }) };
  };
  const warmStarts = (jobs: readonly WarmJob[]) => {
    made.push(...jobs.map(seedOf));
    return Promise.resolve(jobs.map(outcome));
  };
  return { made, warmStarts, storedWarm: (job: WarmJob) => made.includes(seedOf(job)) ? outcome(job) : undefined };
}

/** Makes warm starts from seed 7. */
async function readers(of: Design, runner: ReturnType<typeof runnerOf>) {
  const leftOut: LeftOut[] = [], begin = () => ({ signal: new AbortController().signal });
  const seeds = await makeReaders(of, { from: 7, count: 3, runner, begin, onLeftOut: (one) => leftOut.push(one) });
  return { seeds, leftOut };
}

Deno.test("the next seeds take the place of warm starts that cannot read, and the same command finds them again", async () => {
  const runner = runnerOf((seed) => [8, 10].includes(seed) ? 0.1 : 0.5);
  assertEquals(knownReaders(design, runner), undefined);
  const expected = { seeds: [7, 9, 11], leftOut: [{ seed: 8, greedy: 0.1 }, { seed: 10, greedy: 0.1 }] };
  assertEquals(await readers(design, runner), expected);
  assertEquals(runner.made, [7, 8, 9, 10, 11]);
  assertEquals(knownReaders(design, runner), expected.seeds);
});

Deno.test("without a least accuracy all warm starts are used, and are not evaluated", async () => {
  const { leastGreedy: _, ...unchecked } = design;
  assertEquals(await readers(unchecked, runnerOf(() => undefined)), { seeds: [7, 8, 9], leftOut: [] });
  const evaluates = (of: Design) => warmJobs(of, [7])[0]!.sets.includes("trainer.valBeforeTrain=true");
  assertEquals([evaluates(design), evaluates(unchecked)], [true, false]);
});

Deno.test("where hardly any warm start can read, the comparison ends with an error", async () => {
  const runner = runnerOf(() => 0.25);
  await assertRejects(() => readers(design, runner), RangeError, "15 of 15 warm starts answer less than 0.5 of the rows greedily");
});
