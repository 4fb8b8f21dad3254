/** Runs the examples as programs, each in a separate folder, and checks their output. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import "sharp";
import { flagsOf, MODEL, together } from "../cli/permissions.ts";
import { serveControl } from "../control/http/serve.ts";
import { RunController } from "../control/run/run_controller.ts";
import { newBoardModel } from "../data/board/mod.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { LITTLE } from "./actors/little_run.ts";
import { TINY_PNG } from "./actors/tiny_png.ts";
import { runDeno } from "./deno.ts";
import { ROOT } from "./root.ts";

CpuDevice.open()[Symbol.dispose](); // built, should it not be; and a library that a test loads counts as its leak

const PERMISSIONS = flagsOf(together(MODEL, { write: true }));

/** Runs a program of `examples/` in a new folder. @returns Its output. */
async function example(name: string, args: readonly string[], prepare: (folder: string) => void = () => {}): Promise<string> {
  const folder = Deno.makeTempDirSync();
  try {
    prepare(folder);
    const command = ["run", "--quiet", "--no-prompt", `--config=${ROOT}/deno.json`, ...PERMISSIONS, `${ROOT}/examples/${name}`, ...args];
    const { code, stdout, stderr } = await runDeno(command, { cwd: folder });
    assertEquals(code, 0, stderr);
    return stdout;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("library_30_lines.ts makes one step, and its log-probs match the sampling distribution", async () => {
  const printed = await example("library_30_lines.ts", []);
  const [, tokens, gap, norm] = /^(\d+) tokens, log-probs within (\S+) of the engine's, gradient norm (\S+)$/m.exec(printed)!;
  assert(Number(tokens) > 16, printed);
  assert(Number(gap) < 1e-5, printed);
  assert(Number(norm) > 0, printed);
  assertMatch(printed, /^atrl\/anchor_fraction 0\.\d+$/m);
});

Deno.test("inspect_anchors.ts prints every token with its cluster, and a mark at the anchors", async () => {
  const printed = await example("inspect_anchors.ts", ["model", "picture.png", " what is the red number ?", "12"], (folder) => {
    newBoardModel(`${folder}/model`, { seed: 1 });
    Deno.writeFileSync(`${folder}/picture.png`, TINY_PNG);
  });
  const lines = printed.trim().split("\n"), rows = lines.slice(1, -1);
  const [, tokens, anchors] = /^(\d+) tokens, (\d+) anchors, \d+ clusters$/.exec(lines.at(-1)!)!;
  for (const row of rows) assertMatch(row, /^[* ] +0\.\d{3} +\d+ +\d+\.\d\d {2}".*"$/);
  assertEquals([rows.length, rows.filter((row) => row.startsWith("*")).length], [Number(tokens), Number(anchors)]);
  assert(Number(anchors) > 0, printed);
});

Deno.test("built_in_task.ts trains to its last step, and prints the run's directory", async () => {
  const little = [
    "device=cpu",
    "sft.steps=1",
    "sft.batchSize=2",
    "sft.warmupSteps=1",
    "data.rolloutBatchSize=2",
    "rollout.n=2",
    "val.limit=2",
  ];
  const printed = await example("built_in_task.ts", [...little, "data.maxResponseLength=6", "trainer.maxSteps=2", "name=mine"]);
  assertMatch(printed, /^step 2: reward\/overall \d/m);
  assertStringIncludes(printed, "done after 2 of 2 steps: runs/mine");
});

Deno.test("http_drive.ts starts a run, tunes it, talks to its policy and stops it", async () => {
  const runDir = Deno.makeTempDirSync();
  try {
    await using control = new RunController({ sets: [...LITTLE, `runDir=${runDir}`, "trainer.maxSteps=10000"] });
    await using server = serveControl(control, { port: 0 });
    const args = ["run", "--quiet", "--no-prompt", `--config=${ROOT}/deno.json`, "--allow-net=127.0.0.1", `${ROOT}/examples/http_drive.ts`];
    const { code, stdout, stderr } = await runDeno([...args, server.url, server.token, "3"], { cwd: runDir });
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^run board\nstep 1: reward \d\.\d{3}, entropy \d\.\d{3}$/m);
    assertStringIncludes(stdout, 'tuned {"changed":[{"path":"optim.lr","from":0.001,"to":0.00005}]');
    assertMatch(stdout, /^step 3: /m);
    assertMatch(stdout, /^the policy of step-\d+ says:/m);
    assertMatch(stdout, /^checkpoint \d+\nnow stopping$/m);
    assertEquals((await control.ended)!.state, "stopped");
  } finally {
    Deno.removeSync(runDir, { recursive: true });
  }
});
