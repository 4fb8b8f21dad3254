import { assert, assertEquals, assertRejects } from "@std/assert";
import { train } from "../../cli/train.ts";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { LITTLE, logged, withRunDir } from "../actors/little_run.ts";
import { assertSameBytes } from "../files.ts";
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
