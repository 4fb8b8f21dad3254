import { assert, assertEquals, assertRejects } from "@std/assert";
import { UsageError } from "../../cli/command.ts";
import { train } from "../../cli/train.ts";
import { FAILED } from "../../cli/train/ends.ts";
import { writeRequest } from "../../cli/train/request.ts";
import type { RunRequest } from "../../cli/train/run.ts";
import { loadConfig } from "../../actors/config/load.ts";
import "sharp";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { LITTLE, littleConfig, littleRun, logged, withRunDir } from "../actors/little_run.ts";
import { afterDeath, CliProcess, family, send, until } from "../cli_process.ts";
import { assertSameBytes, exists } from "../files.ts";
import { flagsOf, MODEL, together } from "../../cli/permissions.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { Random } from "../../tensor/random.ts";
import { ROOT } from "../root.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as a leak

const KILLS = Deno.args.includes("--slow") ? 40 : 2;

const FLAGS = ["--no-prompt", ...flagsOf(together(MODEL, { write: true }))];

/** Starts the training process without its supervisor. */
function start(sets: readonly string[]): Deno.ChildProcess {
  const child = new Deno.Command("deno", {
    args: ["run", ...FLAGS, `${ROOT}/cli/train/run.ts`],
    cwd: ROOT,
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  writeRequest(input, { loaded: loadConfig({ sets }), resume: true } satisfies RunRequest);
  input.close().catch(() => {});
  return child;
}

/** A value that shows how far a run's writing has progressed. It changes when the run writes. */
type Mark = (run: string) => string | number;
const entries = (folder: string) => exists(folder) ? Array.from(Deno.readDirSync(folder), ({ name }) => name).sort().join() : "";
const sizeOf = (path: string) => exists(path) ? Deno.statSync(path).size : 0;
/** Writes are in progress in the moments after these values change. */
const WRITES: readonly Mark[] = [
  (run) => entries(`${run}/checkpoints`), // a new checkpoint is begun, renamed, and the oldest removed
  (run) =>
    entries(`${run}/checkpoints`).split(",").filter((name) => name.includes("tmp")).map((name) => entries(`${run}/checkpoints/${name}`))
      .join(),
  (run) => sizeOf(`${run}/metrics.jsonl`),
  (run) => sizeOf(`${run}/rollouts.jsonl`),
  (run) => entries(run), // initial, config.json, report.html
];

/** Returns when a mark has changed `times` times, or the process has ended. */
async function afterWrite(child: Deno.ChildProcess, mark: () => string | number, times: number): Promise<void> {
  let over = false;
  void child.status.then(() => over = true);
  for (let last = mark(), seen = 0; seen < times && !over;) {
    // deno-lint-ignore no-await-in-loop -- it looks again and again
    await new Promise((resolve) => setTimeout(resolve, 1));
    let now = last;
    try {
      now = mark();
    } catch { // it was renamed while it was read
    }
    if (now !== last) seen++;
    last = now;
  }
}

Deno.test(`a run that is killed ${KILLS} times, half of them within its writes, reaches the same result, and no reader sees a torn file`, async () => {
  await withRunDir(async (folder) => {
    const own = ["sft.steps=4", "sft.saveFreq=1", "trainer.maxSteps=6", "trainer.saveFreq=1", "logging.report=true"];
    const sets = (name: string) => [...LITTLE, ...own, `runDir=${folder}`, `name=${name}`];
    const whole = await start(sets("whole")).output();
    assertEquals(whole.code, 0, new TextDecoder().decode(whole.stderr));
    const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed), seen: number[] = [], run = `${folder}/killed`;
    for (let kill = 0; kill < KILLS; kill++) {
      const child = start(sets("killed")), moment = 500 + 2500 * random.next(), write = WRITES[random.integer(0, WRITES.length)]!;
      // deno-lint-ignore no-await-in-loop -- one life after the other
      await (kill % 2 === 0
        ? new Promise((resolve) => setTimeout(resolve, moment))
        : afterWrite(child, () => write(run), random.integer(1, 12)));
      // deno-lint-ignore no-await-in-loop -- as above
      await new Promise((resolve) => setTimeout(resolve, 10 * random.next()));
      try {
        child.kill("SIGKILL");
      } catch { // it has finished already
      }
      // deno-lint-ignore no-await-in-loop -- as above
      await child.output();
      // The checkpoints of the warm start are older than step 0.
      const last = (kind: "step" | "warm") => new Checkpoints(run, { saveLimit: 3, saveBest: true, kind }).latest().checkpoint?.step;
      const step = last("step") ?? (last("warm") ?? 0) - 5;
      assert(step >= (seen.at(-1) ?? -5), `seed ${seed}: step ${step} after ${seen}`);
      seen.push(step);
      if (step !== 6 || kill === KILLS - 1) continue;
      Deno.removeSync(run, { recursive: true }); // starts from the beginning again
      seen.length = 0;
    }
    const last = await start(sets("killed")).output();
    assertEquals(last.code, 0, `seed ${seed}: ${new TextDecoder().decode(last.stderr)}`);
    assertEquals(logged(run), logged(`${folder}/whole`), `seed ${seed}`);
    for (const file of ["model.safetensors", "trainer.safetensors"]) {
      const bytes = (name: string) => Deno.readFileSync(`${folder}/${name}/checkpoints/step-6/${file}`);
      assertSameBytes(bytes("killed"), bytes("whole"), `seed ${seed}`);
    }
    // Each step's answers are logged once, in order.
    const answers = (name: string) =>
      Deno.readTextFileSync(`${folder}/${name}/rollouts.jsonl`).trim().split("\n").map((line) => JSON.parse(line)).map((line) => [
        line.step,
        line.sample,
        line.response,
      ]);
    assertEquals(answers("killed"), answers("whole"), `seed ${seed}`);
    assertEquals(entries(`${run}/checkpoints`), entries(`${folder}/whole/checkpoints`));
  });
});

Deno.test("train refuses unknown options and suggests the nearest name", async () => {
  await assertRejects(() => train(["--set", "rollout.temprature=2"]), UsageError, 'did you mean "rollout.temperature"');
  await assertRejects(() => train(["--confg", "x.json"]), UsageError, 'unknown option "--confg"');
});

Deno.test("after a crash in native code the supervisor starts another process, which continues the run", async () => {
  await withRunDir(async (folder) => {
    const sets = [...LITTLE, `runDir=${folder}`, "trainer.maxSteps=25", "trainer.saveFreq=1"], run = `${folder}/board`;
    const file = `${folder}/config.jsonc`, options = ["--config", file, ...sets.flatMap((set) => ["--set", set])];
    Deno.writeTextFileSync(file, '{ "optim": { "weightDecay": 0.03 } }');
    await using watcher = new CliProcess("cli/train.ts", options, { run: "deno" });
    const first = new Checkpoints(run, { saveLimit: 3, saveBest: true });
    await until(() => first.steps().some((step) => step >= 2));
    const pid = Number(Deno.readTextFileSync(`${run}/lock`)), config = Deno.readTextFileSync(`${run}/config.json`);
    // If the file were read again, the first key would make it a different run, and the second one would be refused.
    Deno.writeTextFileSync(file, '{ "optim": { "weightDecay": 0.5 }, "no such key": 1 }');
    await send(pid, "SIGSEGV");
    assertEquals((await watcher.end()).code, 0, watcher.output);
    assert(watcher.output.includes("crashed with SIGSEGV"), watcher.output);
    assert(/Resumed from .*step-\d+/.test(watcher.output), watcher.output);
    assertEquals(Deno.readTextFileSync(`${run}/config.json`), config, "the configuration is that of the beginning");
    assertEquals(JSON.parse(config).optim.weightDecay, 0.03);
    assertEquals(first.steps().at(-1), 25);
    assertEquals(Deno.readTextFileSync(`${run}/lock`), "", "it was closed in order");
  });
});

const rewardOf = (name: string) =>
  `reward=${JSON.stringify({ parts: { accuracy: { use: new URL(`../actors/${name}.ts`, import.meta.url).href } } })}`;
const settings = (...sets: readonly string[]) => [...LITTLE, ...sets].flatMap((set) => ["--set", set]);

Deno.test("Ctrl-C, which reaches all processes, ends a run after the current step with a checkpoint, and changes no bit of it", async () => {
  await withRunDir(async (folder) => {
    const own = ["trainer.saveFreq=0", rewardOf("slow_reward")], run = `${folder}/board`;
    await using process = new CliProcess("cli/train.ts", settings(...own, "trainer.maxSteps=500", `runDir=${folder}`), { group: true });
    await until(() => exists(`${run}/metrics.jsonl`) && logged(run).some(({ step }) => step >= 2), () => process.output);
    await send(-process.child.pid, "SIGINT");
    assertEquals((await process.end()).code, 130, process.output);
    const { step } = new Checkpoints(run, { saveLimit: 3, saveBest: true }).latest().checkpoint!;
    assert(step >= 2 && step < 500 && process.output.includes(`${step} of 500 steps`), process.output);
    await littleRun(littleConfig(folder, [...own, "name=whole", `trainer.maxSteps=${step}`]));
    const lines = (path: string) =>
      logged(path).map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !/^val[/_]/.test(key))));
    assertEquals(lines(run), lines(`${folder}/whole`));
    const weights = (name: string) => Deno.readFileSync(`${folder}/${name}/checkpoints/step-${step}/model.safetensors`);
    assertSameBytes(weights("board"), weights("whole"), "weights");
  });
});

Deno.test("if the supervisor is killed, the run, its endpoint and a stuck grader end too", async () => {
  await withRunDir(async (folder) => {
    const own = [rewardOf("stuck_reward"), "grader.timeLimit=600000", `runDir=${folder}`];
    await using process = new CliProcess("cli/train.ts", ["--serve", ":0", ...settings(...own)]);
    let all: Awaited<ReturnType<typeof family>> = [];
    await until(async () => {
      all = await family(process.child.pid);
      return all.some(({ command }) => command.includes("grader_child"));
    }, () => process.output);
    await new Promise((resolve) => setTimeout(resolve, 500));
    process.child.kill("SIGKILL");
    for (const name of ["cli/train.ts", "train/run.ts", "serve_run.ts", "grader_child"]) {
      assert(all.some(({ command }) => command.includes(name)), name);
    }
    assertEquals(await afterDeath(all.map(({ pid }) => pid)), []);
    assert(process.output.includes("The process that supervises the run has ended"), process.output);
    using again = Deno.openSync(`${folder}/board/lock`, { write: true });
    assert(again.tryLockSync(true), "the directory is free");
  });
});

Deno.test("two processes cannot train in one directory", async () => {
  await withRunDir(async (folder) => {
    const sets = [...LITTLE, `runDir=${folder}`, "trainer.maxSteps=20"];
    const first = start(sets);
    await until(() => exists(`${folder}/board/metrics.jsonl`));
    const second = await start(sets).output();
    assertEquals([second.code, new TextDecoder().decode(second.stderr).includes("Cannot train in")], [FAILED, true]);
    assertEquals((await first.output()).code, 0);
  });
});
