import { assert, assertEquals, assertRejects } from "@std/assert";
import type { RunJob, WarmJob } from "../../cli/ablate/plan.ts";
import { Runner } from "../../cli/ablate/runner.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { LITTLE, logged, withRunDir } from "../actors/little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const SETS = [
  ...LITTLE.filter((set) => !/^(seed|trainer\.|reward)/.test(set)),
  "val.limit=2",
  "grader.workers=0",
  `reward=${JSON.stringify({ use: "length", options: { min: 30, slack: 30, unit: "characters" } })}`,
];
const WARM: WarmJob = { name: "warm-5", sets: [...SETS, "trainer.valBeforeTrain=true", "val.greedy=true", "seed=5"] };
const JOBS: readonly RunJob[] = ["off", "soft"].map((method) => ({
  name: method,
  place: { method, rate: 1e-3, warm: 5, seed: 0 },
  warmStart: "warm-5",
  sets: [...SETS, "seed=50", `atrl.mode=${method}`, "trainer.maxSteps=2", "trainer.saveFreq=null", "trainer.valBeforeTrain=false"],
}));

Deno.test("runs have the same bits side by side and one after the other; a stopped comparison goes on; what is finished stays", async () => {
  await withRunDir(async (folder) => {
    const warmDir = folder, [side, turn] = [`${folder}/side`, `${folder}/turn`] as const;
    const isGoing = new AbortController().signal, stop = new AbortController();
    {
      using runner = new Runner({ dir: side, warmDir, slots: 2, threads: 1 });
      const [warm] = await runner.warmStarts([WARM], { signal: isGoing });
      assert(warm!.greedy! >= 0 && warm!.greedy! <= 1);
      const made = await runner.runs(JOBS, { signal: isGoing });
      assert(made.every(({ curve }) => curve.length === 1 && curve[0]!.step === 2));
      assertEquals(made.map(({ method }) => method), ["off", "soft"]);
    }
    using runner = new Runner({ dir: turn, warmDir, slots: 1, threads: 1 });
    const stopped = await runner.runs(JOBS, { signal: stop.signal, onEnd: () => stop.abort() });
    assertEquals(stopped.map(({ method }) => method), ["off"]);
    const fresh: boolean[] = [];
    const made = await runner.runs(JOBS.toReversed(), { signal: isGoing, onEnd: (isFresh) => fresh.push(isFresh) });
    assertEquals([made.map(({ method }) => method), fresh], [["soft", "off"], [true, false]]);
    const lines = (dir: string) => JOBS.map(({ name }) => logged(`${dir}/${name}`)), [off, soft] = lines(side);
    assertEquals(lines(turn), [off, soft]);
    assert(off![0]!["actor/grad_norm"] as number > 0);
    assert(off![0]!["actor/grad_norm"] !== soft![0]!["actor/grad_norm"], "the methods differ");
    const other = JOBS.map((job) => ({ ...job, sets: [...job.sets, "rollout.n=4"] }));
    await assertRejects(() => runner.runs(other, { signal: isGoing }), RangeError, "it was made without rollout.n=4; name another folder");
  });
});
