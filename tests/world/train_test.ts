import { assert, assertEquals } from "@std/assert";
import { LITTLE, logged } from "../actors/little_run.ts";
import { runDeno } from "../deno.ts";
import { ROOT } from "../root.ts";
import { MPI, onRanks, WITHOUT } from "./ranks.ts";

const SLOW = Deno.args.includes("--slow"), ignore = MPI.found.length === 0;
const WHOLE = [...LITTLE, "name=w", "trainer.valFreq=2", "val.limit=3"];

/** Makes a run to its end. @param ranks 0: in one process without MPI. */
async function train(ranks: number, runDir: string, sets: readonly string[]): Promise<void> {
  const args = [runDir, ...sets], program = `${ROOT}/tests/world/train_ranks.ts`;
  const { code, stderr } = ranks === 0
    ? await runDeno(["run", "-A", "--quiet", program, "--alone", ...args], { cwd: ROOT })
    : await onRanks(ranks, "train_ranks.ts", args);
  assertEquals(code, 0, stderr);
}

/** The folders of runs by name, which are removed at the end. */
async function withRuns(body: (folder: (name: string) => string) => Promise<void>): Promise<void> {
  const root = Deno.makeTempDirSync();
  try {
    await body((name) => `${root}/${name}`);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

/** The steps of a run with all of their numbers, its answers, and the bytes of the weights after its last step. */
function outcome(runDir: string, step: number): { lines: unknown; rollouts: string; weights: Uint8Array } {
  const path = `${runDir}/w`;
  return {
    lines: logged(path),
    rollouts: Deno.readTextFileSync(`${path}/rollouts.jsonl`),
    weights: Deno.readFileSync(`${path}/checkpoints/step-${step}/model.safetensors`),
  };
}

function assertSame(one: ReturnType<typeof outcome>, other: ReturnType<typeof outcome>): void {
  assertEquals(other.lines, one.lines);
  assertEquals(other.rollouts === one.rollouts, true, "the answers differ");
  assertEquals(
    other.weights.length === one.weights.length && other.weights.every((byte, i) => byte === one.weights[i]),
    true,
    "weights differ",
  );
}

/** Begins a run on some ranks and goes on with it on others; then compares it with a run of one process. */
function assertSplit(lanes: number, begins: number, goesOn: number): Promise<void> {
  return withRuns(async (folder) => {
    const sets = [...WHOLE, `world.lanes=${lanes}`, "world.checkEvery=1"];
    await train(0, folder("one"), sets);
    await train(begins, folder("several"), [...sets, "trainer.maxSteps=2"]);
    // The state of the optimizer is divided: each rank wrote about its share of what one process has.
    const size = (name: string) => Deno.statSync(`${folder("several")}/w/checkpoints/step-2/${name}.safetensors`).size;
    const parts = Array.from({ length: begins }, (_, k) => size(k === 0 ? "trainer" : `trainer-${k}`)),
      whole = parts.reduce((a, b) => a + b, 0);
    for (const part of parts) assert(Math.abs(part / whole - 1 / begins) < 0.05, `${parts}`);
    // An optimizer step sends little more than gradients to their owners and weights back.
    const line = JSON.parse(Deno.readTextFileSync(`${folder("several")}/w/metrics.jsonl`).trim().split("\n").at(-1)!);
    const least = 2 * (begins - 1) / begins * 4 * line["perf/trained_parameters"], ratio = line["perf/sent_bytes"] / least;
    assert(ratio >= 0.95 && ratio <= 1.05, `${ratio} times the least`);
    await train(goesOn, folder("several"), sets);
    assertSame(outcome(folder("one"), 4), outcome(folder("several"), 4));
  });
}

Deno.test({
  name: `a run on 2 ranks that one process resumes has the bits of a run of one process with the same lanes${WITHOUT}`,
  ignore,
  fn: () => assertSplit(2, 2, 0),
});

const SKIPPED = WITHOUT || (SLOW ? "" : " (skipped: runs with --slow)");
Deno.test({
  name: `a run on 4 ranks that 2 ranks resume has the bits of a run of one process with the same lanes${SKIPPED}`,
  ignore: ignore || !SLOW,
  fn: () => assertSplit(4, 4, 2),
});

const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  "dynamic sampling, an adaptive divergence, whitening, several updates of a rollout, and log-probs that are computed again": [
    "algorithm.onlineFiltering={}",
    `algorithm.kl=${JSON.stringify({ coefficient: { kind: "adaptive", coefficient: 0.1, target: 0.01, horizon: 100 } })}`,
    "algorithm.advEstimator=reinforce_plus_plus",
    "batch.globalBatchSize=2",
    "batch.ppoEpochs=2",
    "algorithm.oldLogprobs=recompute",
  ],
  "VPPO, low-rank adapters, and a divergence over the whole vocabulary": [
    "algorithm.credit=vppo",
    `model.lora=${JSON.stringify({ rank: 4 })}`,
    `algorithm.kl=${JSON.stringify({ kind: "full", coefficient: 0.1 })}`,
  ],
  "whole optimizers on all ranks": ["world.shard=none"],
};

for (const [what, sets] of Object.entries(OPTIONS)) {
  Deno.test({
    name: `2 ranks have the bits of one process: ${what}${SKIPPED}`,
    ignore: ignore || !SLOW,
    fn: () =>
      withRuns(async (folder) => {
        const all = [...WHOLE, "world.lanes=2", "trainer.valFreq=0", "trainer.maxSteps=3", "trainer.saveFreq=3", ...sets];
        await train(0, folder("one"), all);
        await train(2, folder("two"), all);
        const of = (run: string) => ({
          lines: logged(`${folder(run)}/w`),
          rollouts: Deno.readTextFileSync(`${folder(run)}/w/rollouts.jsonl`),
        });
        assertEquals(of("two").lines, of("one").lines);
        assertEquals(of("two").rollouts === of("one").rollouts, true, "the answers differ");
      }),
  });
}
