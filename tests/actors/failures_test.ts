// Tests failures during a run and their consequences.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import "sharp";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { Lines } from "../../actors/run/lines.ts";
import type { TrainerEvent } from "../../actors/messages.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { newBoardModel } from "../../data/board/mod.ts";
import { TINY_PNG } from "./tiny_png.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

Deno.test("a grader that hangs affects its samples and not the run", async () => {
  await withRunDir(async (folder) => {
    const reward = JSON.stringify({ parts: { accuracy: { use: new URL("./stuck_reward.ts", import.meta.url).href } } });
    const sets = [
      `reward=${reward}`,
      "grader.timeLimit=100",
      "trainer.maxSteps=1",
      "val.limit=1",
      "val.greedy=false",
      "data.rolloutBatchSize=2",
    ];
    const notes: string[] = [];
    const { step } = await littleRun(littleConfig(folder, sets), { onEvent: (event) => event.kind === "note" && notes.push(event.text) });
    assert(notes.some((text) => /Step 1: \d+ answers were not graded: .*100 ms/.test(text)), notes.join("\n"));
    const line = logged(`${folder}/board`).find((one) => "reward/overall" in one)!;
    assertEquals(step, 1);
    assert(line["reward/failures"] as number > 0, "some answers get stuck");
    assert(Math.abs(line["reward/overall"] as number - (6 - (line["reward/failures"] as number)) / 6) < 1e-9);
  });
});

Deno.test("supervised training on file rows with demonstrations; rows without one are named", async () => {
  await withRunDir(async (folder) => {
    newBoardModel(`${folder}/model`, { seed: 1 });
    const rows = ["one", "two", "three"].map((answer, i) =>
      JSON.stringify({ problem: "what is this ?", answer, ...(i < 2 && { solution: ` ${answer}` }) })
    );
    Deno.writeTextFileSync(`${folder}/all.jsonl`, rows.slice(0, 2).join("\n"));
    Deno.writeTextFileSync(`${folder}/some.jsonl`, rows.join("\n"));
    const sets = (name: string) => [
      `name=${name}`,
      `model.path=${folder}/model`,
      "data.task=files",
      `data.trainFiles=${folder}/${name}.jsonl`,
      "data.demonstrationKey=solution",
      'sft={"steps":30,"batchSize":4,"lr":0.01,"warmupSteps":2}',
      'reward={"use":"exact"}',
    ];
    await littleRun(littleConfig(folder, sets("all")), { warmStartOnly: true });
    const losses = logged(`${folder}/all`).map((line) => line["sft/loss"] as number);
    assertEquals([losses.length, new Checkpoints(`${folder}/all`, { saveLimit: 3, saveBest: true }).steps()], [30, [0]]);
    assert(losses.at(-1)! < 0.5 * losses[0]!, `${losses[0]} to ${losses.at(-1)}`);
    const error = await assertRejects(() => littleRun(littleConfig(folder, sets("some")), { warmStartOnly: true }), KedgeError);
    assertEquals(error.code, "BadData");
    assert(error.message.includes("some.jsonl:2"), error.message);
  });
});

/** Makes a configuration whose file has a row without its picture. */
function brokenRows(folder: string): string[] {
  newBoardModel(`${folder}/model`, { seed: 1 });
  Deno.mkdirSync(`${folder}/images`);
  Deno.writeFileSync(`${folder}/images/good.png`, TINY_PNG);
  Deno.writeTextFileSync(`${folder}/images/bad.png`, "no picture");
  const row = (name: string) => JSON.stringify({ problem: "what is this ? <image>", answer: "4", images: [`images/${name}.png`] });
  Deno.writeTextFileSync(`${folder}/rows.jsonl`, ["good", "bad", "good", "good"].map(row).join("\n"));
  return [
    `model.path=${folder}/model`,
    "data.task=files",
    `data.trainFiles=${folder}/rows.jsonl`,
    "sft=null",
    "trainer.maxSteps=1",
    "data.minPixels=3136",
  ];
}

Deno.test("a picture that cannot be read ends the run with the row's name, or is quarantined", async () => {
  await withRunDir(async (folder) => {
    const sets = brokenRows(folder);
    const error = await assertRejects(() => littleRun(littleConfig(folder, [...sets, "name=stop"])), KedgeError, "rows.jsonl:1");
    assertEquals(error.code, "BadData");
    assertEquals((await littleRun(littleConfig(folder, [...sets, "name=aside", "data.badRows=quarantine"]))).step, 1);
    const [row, ...rest] = new Lines(`${folder}/aside/quarantine.jsonl`).read();
    assertEquals(rest, []);
    assert((row!["reason"] as string).includes("rows.jsonl:1"), JSON.stringify(row));
  });
});

Deno.test("a prompt's format is read from the file that it names", async () => {
  await withRunDir(async (folder) => {
    const sets = [...brokenRows(folder), "data.badRows=quarantine", "trainer.maxSteps=1"];
    Deno.writeTextFileSync(`${folder}/format.txt`, "what is the red number ? {content}\n");
    await littleRun(littleConfig(folder, [...sets, "name=plain"]));
    await littleRun(littleConfig(folder, [...sets, "name=formatted", `data.formatPrompt=${folder}/format.txt`]));
    const [plain, formatted] = ["plain", "formatted"].map((name) => logged(`${folder}/${name}`).at(-1)!["prompt_length/mean"] as number);
    assert(formatted! >= plain! + 5, `${plain}, ${formatted}`);
  });
});

Deno.test("weights that are not finite end the run as diverged, and its checkpoints remain", async () => {
  await withRunDir(async (folder) => {
    const sets = ["optim.lr=1e38", "optim.maxGradNorm=0", "trainer.saveFreq=1", "trainer.maxSteps=20", "trainer.maxSkipped=3"];
    const error = await assertRejects(() => littleRun(littleConfig(folder, sets)), KedgeError);
    assertEquals(error.code, "Diverged");
    assert(new Checkpoints(`${folder}/board`, { saveLimit: 3, saveBest: true }).latest().checkpoint !== undefined);
  });
});

const mortal = (query: string) => ({ policy: new URL(`./mortal_policy.ts?${query}`, import.meta.url).href });

Deno.test("a policy whose worker dies is restarted from the last checkpoint, and the run's result does not change", async () => {
  await withRunDir(async (folder) => {
    const notes: string[] = [];
    await littleRun(littleConfig(folder, ["name=whole"]));
    const { step } = await littleRun(littleConfig(folder, ["name=died"]), {
      modules: mortal(`mark=${folder}/mark`),
      onEvent: (event) => event.kind === "note" && notes.push(event.text),
    });
    assertEquals(step, 4);
    assert(
      notes.some((note) => note.includes("told to die") && note.includes("Restarting from the last checkpoint (1 of 3)")),
      notes.join("; "),
    );
    assert(notes.some((note) => /Resumed from .*step-2/.test(note)), notes.join("; "));
    assertEquals(logged(`${folder}/died`), logged(`${folder}/whole`));
  });
});

Deno.test("an actor's error ends the run, and its checkpoints remain", async () => {
  await withRunDir(async (folder) => {
    const given = { modules: mortal(`throws&mark=${folder}/mark`) };
    await assertRejects(() => littleRun(littleConfig(folder), given), RangeError, "told to throw");
    assertEquals(new Checkpoints(`${folder}/board`, { saveLimit: 3, saveBest: true }).latest().checkpoint!.step, 2);
  });
});

Deno.test("removing a run's directory ends the run, and the directory is not recreated", async () => {
  await withRunDir(async (folder) => {
    const run = `${folder}/board`;
    const onEvent = (event: TrainerEvent) => {
      if (event.kind === "metrics" && event.line["step"] === 1) Deno.renameSync(run, `${folder}/elsewhere`);
    };
    await assertRejects(() => littleRun(littleConfig(folder), { onEvent }), KedgeError, `${run} is gone`);
    assertThrows(() => Deno.statSync(run), Deno.errors.NotFound);
  });
});

Deno.test("a full disk during a checkpoint leaves the older checkpoints and no partial one", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const checkpoints = new Checkpoints(folder, { saveLimit: 2, saveBest: false });
    const model = (path: string) => {
      Deno.mkdirSync(path);
      Deno.writeTextFileSync(`${path}/config.json`, "{}");
    };
    const parts = (data: () => Generator<Uint8Array>) => ({
      model,
      tensors: [{ name: "x", dtype: "F32" as const, shape: [4], data }],
      state: {},
    });
    checkpoints.save(
      1,
      parts(function* () {
        yield new Uint8Array(16);
      }),
    );
    assertThrows(
      () =>
        checkpoints.save(
          2,
          parts(function* () {
            yield new Uint8Array(8);
            throw new Error("No space left on device (os error 28)");
          }),
        ),
      Error,
      "No space left",
    );
    assertEquals(checkpoints.latest().checkpoint!.step, 1);
    assertEquals(Array.from(Deno.readDirSync(`${folder}/checkpoints`), ({ name }) => name), ["step-1"]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("checkpoints keep the newest and the best", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const checkpoints = new Checkpoints(folder, { saveLimit: 3, saveBest: true });
    const model = (path: string) => Deno.mkdirSync(path);
    for (const step of [5, 10, 15, 20, 25]) checkpoints.save(step, { model, tensors: [], state: {}, score: step === 10 ? 0.9 : 0.5 });
    assertEquals(checkpoints.steps(), [10, 15, 20, 25]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
