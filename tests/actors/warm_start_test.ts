// Tests that the supervised warm start is a part of the run: it can be stopped, killed and continued like the steps after it.
import { assert, assertEquals, assertMatch } from "@std/assert";
import "sharp";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { assertSameBytes, exists } from "../files.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const WARM = ["sft.steps=6", "sft.saveFreq=2", "trainer.maxSteps=1", "trainer.saveFreq=1", "optim.moments=bf16"];
const names = (run: string) => Array.from(Deno.readDirSync(`${run}/checkpoints`), ({ name }) => name).sort();
const bytes = (run: string, file: string) => Deno.readFileSync(`${run}/checkpoints/${file}`);

/** Runs, and stops at a step of the warm start. @returns The error message. */
async function stoppedAt(config: Parameters<typeof littleRun>[0], step: number, warmStartOnly: boolean): Promise<string> {
  const notes: string[] = [];
  const { state } = await littleRun(config, {
    warmStartOnly,
    onEvent: (event, trainer) => {
      if (event.kind === "note") notes.push(event.text);
      if (event.kind === "metrics" && event.line["sft_step"] === step) void trainer.peer.request(() => ({ type: "stop" }));
    },
  });
  assertEquals(state, "stopped");
  return notes.join("\n");
}

Deno.test("a warm start that was stopped or killed continues, to the bit", async () => {
  await withRunDir(async (folder) => {
    const config = (name: string) => littleConfig(folder, [...WARM, `name=${name}`]),
      whole = `${folder}/whole`,
      parted = `${folder}/parted`;
    await littleRun(config("whole"));
    assertEquals(names(whole), ["step-0", "step-1"], "those within the warm start are gone with it");

    const words = await stoppedAt(config("parted"), 3, true);
    const [done] = new Checkpoints(parted, { saveLimit: 1, saveBest: false, kind: "warm" }).steps();
    assert(done === 3 || done === 4, `${done}`);
    assertEquals(names(parted), [`warm-${done}`], "one is kept");
    assertMatch(words, new RegExp(`Stopped in the warm start, after ${done} of its 6 steps: .*/warm-${done}$`));
    assertEquals(logged(parted).length, done);

    // The run was killed two steps after the checkpoint. The last line is half written.
    Deno.writeTextFileSync(`${parted}/metrics.jsonl`, `{"step":0,"phase":"sft","sft_step":${done + 1}}\n{"step":0,"ph`, { append: true });
    await littleRun(config("parted"), { warmStartOnly: true });
    assertEquals(names(parted), ["step-0"]);
    await littleRun(config("parted"));
    assertEquals(logged(parted), logged(whole));
    for (const file of ["step-0/model.safetensors", "step-1/model.safetensors", "step-1/trainer.safetensors"]) {
      assertSameBytes(bytes(parted, file), bytes(whole, file), file);
    }
  });
});

Deno.test("a warm start alone ends with an evaluation, which a run that goes on from it does not repeat", async () => {
  await withRunDir(async (folder) => {
    const config = littleConfig(folder, [...WARM, "trainer.valBeforeTrain=true"]), lines = () => logged(`${folder}/board`);
    await littleRun(config, { warmStartOnly: true });
    const done = lines();
    assertEquals([done.length, typeof done.at(-1)!["val/accuracy"]], [7, "number"]);
    await littleRun(config);
    assertEquals(lines().slice(0, 7), done);
    assertEquals(lines().filter(({ step, "val/accuracy": accuracy }) => step === 0 && accuracy !== undefined).length, 1);
  });
});

Deno.test("a torn checkpoint of the warm start is skipped, and a stop before the first step says that there is no checkpoint", async () => {
  await withRunDir(async (folder) => {
    const config = littleConfig(folder, WARM), run = `${folder}/board`, notes: string[] = [];
    await stoppedAt(config, 2, true);
    const [name] = names(run);
    Deno.truncateSync(`${run}/checkpoints/${name}/trainer.safetensors`, 100);
    const { state } = await littleRun(config, {
      onEvent: (event, trainer) => {
        if (event.kind === "note") notes.push(event.text);
        if (event.kind === "status" && event.status.state === "warm-start") void trainer.peer.request(() => ({ type: "stop" }));
      },
    });
    assertEquals(state, "stopped");
    assert(notes.some((note) => note.startsWith("Passed over a checkpoint") && note.includes(name!)), notes.join("\n"));
    assertMatch(notes.at(-1)!, /Stopped before the first step|after 1 of its 6 steps/);
  });
});

Deno.test("a run that is killed after its warm start makes the missing reference and first evaluation", async () => {
  await withRunDir(async (folder) => {
    const sets = [
      "trainer.maxSteps=1",
      "trainer.saveFreq=1",
      "trainer.valBeforeTrain=true",
      'algorithm.kl={"kind":"k3","coefficient":0.1}',
    ];
    const config = littleConfig(folder, sets), run = `${folder}/board`;
    await littleRun(config);
    const lines = logged(run), weights = bytes(run, "step-1/model.safetensors");
    assert(lines.some((line) => line.step === 0 && "val/accuracy" in line));
    for (const lost of ["reference", "checkpoints/step-1"]) Deno.removeSync(`${run}/${lost}`, { recursive: true });
    const kept = Deno.readTextFileSync(`${run}/metrics.jsonl`).split("\n").filter((line) => line.includes("sft_step"));
    Deno.writeTextFileSync(`${run}/metrics.jsonl`, kept.map((line) => `${line}\n`).join(""));
    await littleRun(config);
    assertEquals(logged(run), lines);
    assertSameBytes(bytes(run, "step-1/model.safetensors"), weights, "weights");
    // It does not make existing parts twice.
    Deno.removeSync(`${run}/checkpoints/step-1`, { recursive: true });
    await littleRun(config);
    assertEquals(logged(run), lines);
    assert(exists(`${run}/reference/model.safetensors`));
  });
});
