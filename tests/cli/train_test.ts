import { assert, assertEquals, assertRejects } from "@std/assert";
import { train } from "../../cli/train.ts";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { LITTLE, logged, withRunDir } from "../actors/little_run.ts";
import { assertSameBytes, exists } from "../files.ts";
import { Random } from "../../tensor/random.ts";
import { ROOT } from "../root.ts";

const KILLS = Deno.args.includes("--slow") ? 30 : 2;

const FLAGS = [
  "--no-prompt",
  "--allow-ffi",
  "--allow-read",
  "--allow-write",
  "--allow-run=c++,g++,nvcc,deno",
  "--allow-env=PATH,HOME,DENO_DIR,npm_package_config_libvips,MALLOC_ARENA_MAX,CUDA_HOME,CUDA_PATH,VIRTUAL_ENV,CONDA_PREFIX",
  "--allow-sys=systemMemoryInfo",
];

/** The process that trains, without its parent. */
function start(sets: readonly string[]): Deno.ChildProcess {
  const request = JSON.stringify({ config: undefined, sets, resume: true });
  return new Deno.Command("deno", {
    args: ["run", ...FLAGS, `${ROOT}/cli/train/run.ts`, request],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

async function until(there: () => boolean): Promise<void> {
  // deno-lint-ignore no-await-in-loop -- it waits
  while (!there()) await new Promise((resolve) => setTimeout(resolve, 20));
}

Deno.test(`a run that is killed ${KILLS} times at random moments comes to the same end, with no torn file read`, async () => {
  await withRunDir(async (folder) => {
    const sets = (name: string) => [...LITTLE, `runDir=${folder}`, `name=${name}`, "trainer.maxSteps=6", "trainer.saveFreq=1"];
    const whole = await start(sets("whole")).output();
    assertEquals(whole.code, 0, new TextDecoder().decode(whole.stderr));
    const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed), seen: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const child = start(sets("killed"));
      // deno-lint-ignore no-await-in-loop -- one life after the other
      await new Promise((resolve) => setTimeout(resolve, 500 + 2500 * random.next()));
      try {
        child.kill("SIGKILL");
      } catch { // it came to its end first
      }
      // deno-lint-ignore no-await-in-loop -- as above
      await child.output();
      const step = new Checkpoints(`${folder}/killed`, { saveLimit: 3, saveBest: true }).latest().checkpoint?.step ?? -1;
      assert(step >= (seen.at(-1) ?? -1), `seed ${seed}: step ${step} after ${seen}`);
      seen.push(step);
    }
    const last = await start(sets("killed")).output();
    assertEquals(last.code, 0, `seed ${seed}: ${new TextDecoder().decode(last.stderr)}`);
    assertEquals(logged(`${folder}/killed`), logged(`${folder}/whole`), `seed ${seed}`);
    const weights = (name: string) => Deno.readFileSync(`${folder}/${name}/checkpoints/step-6/model.safetensors`);
    assertSameBytes(weights("killed"), weights("whole"), `seed ${seed}`);
  });
});

Deno.test("train refuses what it does not know, with the nearest name", async () => {
  await assertRejects(() => train(["--set", "rollout.temprature=2"]), RangeError, 'did you mean "rollout.temperature"');
  await assertRejects(() => train(["--confg", "x.json"]), TypeError, '"--confg" is no option');
});

Deno.test("a fault in native code ends the run's process; the one that watches starts another, which goes on", async () => {
  await withRunDir(async (folder) => {
    const sets = [...LITTLE, `runDir=${folder}`, "trainer.maxSteps=60", "trainer.saveFreq=1"], run = `${folder}/board`;
    const watcher = new Deno.Command("deno", {
      args: [
        "run",
        "--no-prompt",
        "--allow-read",
        "--allow-run=deno",
        "--allow-env=PATH,HOME,DENO_DIR",
        `${ROOT}/cli/train.ts`,
        ...sets.flatMap((set) => ["--set", set]),
      ],
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output = watcher.output(), first = new Checkpoints(run, { saveLimit: 3, saveBest: true });
    await until(() => first.steps().some((step) => step >= 2));
    const pid = Number(Deno.readTextFileSync(`${run}/lock`));
    // Twice: V8's own handler passes the first over, since nothing faults again where it came.
    const kill = await new Deno.Command("deno", {
      args: ["eval", `Deno.kill(${pid}, "SIGSEGV"); setTimeout(() => Deno.kill(${pid}, "SIGSEGV"), 100)`],
    }).output();
    assertEquals(kill.code, 0, new TextDecoder().decode(kill.stderr));
    const { code, stderr, stdout } = await output, text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(code, 0, text(stderr));
    assert(text(stderr).includes("died of SIGSEGV"), text(stderr));
    assert(/Resumed from .*step-\d+/.test(text(stdout)), text(stdout));
    assertEquals(first.steps().at(-1), 60);
    assert(Number(Deno.readTextFileSync(`${run}/lock`)) !== pid);
  });
});

Deno.test("Ctrl-C ends a run after the step under way, with a checkpoint", async () => {
  await withRunDir(async (folder) => {
    const sets = [...LITTLE, `runDir=${folder}`, "trainer.maxSteps=500", "trainer.saveFreq=0"],
      run = `${folder}/board`,
      child = start(sets);
    await until(() => exists(`${run}/metrics.jsonl`) && logged(run).some(({ step }) => step >= 2));
    child.kill("SIGINT");
    assertEquals((await child.output()).code, 130);
    const { checkpoint } = new Checkpoints(run, { saveLimit: 3, saveBest: true }).latest();
    assert(checkpoint!.step >= 2 && checkpoint!.step < 500);
    assertEquals(logged(run).at(-1)!.step, checkpoint!.step);
  });
});

Deno.test("two processes do not train in one directory", async () => {
  await withRunDir(async (folder) => {
    const sets = [...LITTLE, `runDir=${folder}`, "trainer.maxSteps=20"];
    const first = start(sets);
    await until(() => exists(`${folder}/board/metrics.jsonl`));
    const second = await start(sets).output();
    assertEquals([second.code, new TextDecoder().decode(second.stderr).includes("Cannot train in")], [1, true]);
    assertEquals((await first.output()).code, 0);
  });
});
