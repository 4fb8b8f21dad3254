// Tests files of a run that somebody edited or that the disk refused. Each is named in an error, or skipped by a rule.
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { crc32 } from "node:zlib";
import "sharp";
import { loadConfig } from "../../actors/config/load.ts";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { openRunFolder } from "../../actors/run/run_folder.ts";
import { Tunings } from "../../actors/run/tunings.ts";
import { explained } from "../../actors/trainer/failure.ts";
import { newest } from "../../actors/trainer/saved.ts";
import { TrainingRun } from "../../actors/training_run.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertSameBytes, exists } from "../files.ts";
import { littleConfig, littleRun, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

type Json = Record<string, unknown>;
const STATE = { klCoefficient: 0, draws: 4, optimizer: { applied: 4, skipped: 0, skippedInRow: 0, steps: { a: 4 } } };

/** Makes a run with checkpoints of two steps, without models. */
function twoCheckpoints(run: string): Checkpoints {
  const all = new Checkpoints(run, { saveLimit: 3, saveBest: false }), { config } = loadConfig();
  for (const step of [2, 4]) {
    all.save(step, { model: (path) => Deno.mkdirSync(path), tensors: [], state: { ...STATE, config, step } as Json, score: 0.5 });
  }
  return all;
}

/** Recomputes the checksum, so that the edit looks intended. */
function sealed({ checksum: _, ...seal }: Json): string {
  return JSON.stringify({ ...seal, checksum: crc32(JSON.stringify(seal)) });
}

Deno.test("a checkpoint with an edited trainer.json is skipped and named, and the one before it is used", async () => {
  await withRunDir((folder) => {
    const state = (seal: Json) => seal["state"] as Json, changed = (change: (seal: Json) => void) => (seal: Json) => (change(seal), seal);
    const without = (key: string) => changed((seal) => delete state(seal)[key]),
      set = (key: string, to: unknown) => changed((seal) => state(seal)[key] = to);
    // The edit, whether the checksum is corrected afterwards, and the expected message.
    const cases: [edit: (seal: Json) => unknown, isSealed: boolean, words: RegExp][] = [
      [(seal) => JSON.stringify(seal).slice(0, -20), false, /JSON/],
      [() => "", false, /JSON/],
      [() => "null", false, /no object/],
      [() => "[]", false, /checksum/],
      [() => "{}", false, /checksum/],
      [set("step", 5), false, /checksum/],
      [set("draws", 5), false, /checksum/],
      [changed((seal) => ((state(seal)["config"] as Json)["optim"] as Json)["lr"] = 1), false, /checksum/],
      [changed((seal) => seal["score"] = 1), false, /checksum/],
      [changed((seal) => seal["step"] = 5), true, /step 5/],
      [changed((seal) => delete seal["files"]), true, /files/],
      [changed((seal) => delete seal["state"]), true, /state/],
      [changed((seal) => seal["files"] = { "x.json": ["12"] }), true, /files\.x\.json/],
      [set("step", 5), true, /state\.step is 5/],
      [set("step", "4"), true, /state\.step/],
      [set("draws", -1), true, /state\.draws/],
      [without("draws"), true, /state\.draws/],
      [without("config"), true, /state\.config/],
      [without("optimizer"), true, /state\.optimizer/],
      [set("optimizer", { ...STATE.optimizer, applied: "4" }), true, /state\.optimizer\.applied/],
      [set("optimizer", { ...STATE.optimizer, steps: [4] }), true, /state\.optimizer\.steps/],
      [set("sampling", { surplus: [{}], tries: 0, counts: {} }), true, /state\.sampling\.surplus\.0\.index/],
      [set("warm", 3), true, /state\.warm is 3/],
    ];
    const all = twoCheckpoints(folder), file = `${all.path(4)}/trainer.json`, whole = Deno.readTextFileSync(file);
    for (const [i, [edit, isSealed, words]] of cases.entries()) {
      const made = edit(JSON.parse(whole)), notes: string[] = [];
      Deno.writeTextFileSync(file, typeof made === "string" ? made : isSealed ? sealed(made as Json) : JSON.stringify(made));
      assertEquals(newest([all], (text) => notes.push(text))?.step, 2, `case ${i}`);
      assertEquals(notes.length, 1);
      assert(notes[0]!.includes(`${all.path(4)}: trainer.json: `), notes[0]);
      assertMatch(notes[0]!, words, `case ${i}`);
      assert(!exists(file), "it has made way");
      Deno.renameSync(`${all.path(4)}.discarded`, all.path(4));
    }
    // The file unchanged, and as another program would print it: only the content counts.
    Deno.writeTextFileSync(file, JSON.stringify(JSON.parse(whole), null, 2));
    assertEquals(newest([all], () => {})?.step, 4);
    return Promise.resolve();
  });
});

Deno.test("a run without a complete checkpoint starts over, and keeps its new checkpoints", async () => {
  await withRunDir(async (folder) => {
    const config = littleConfig(folder, ["trainer.saveLimit=2", "trainer.saveBest=false"]), run = `${folder}/board`;
    const weights = () => Deno.readFileSync(`${run}/checkpoints/step-4/model.safetensors`), notes: string[] = [];
    await littleRun(config);
    const bytes = weights();
    for (const step of [2, 4]) Deno.writeTextFileSync(`${run}/checkpoints/step-${step}/trainer.json`, "{");
    await littleRun(config, { onEvent: (event) => event.kind === "note" && notes.push(event.text) });
    assertEquals(notes.filter((note) => note.startsWith("Passed over a checkpoint")).length, 2, notes.join("\n"));
    assertSameBytes(weights(), bytes, "weights");
  });
});

Deno.test("an invalid line in tuning.jsonl ends the run, naming line and key; a truncated last line is ignored, and the next one starts a new line", async () => {
  await withRunDir(async (folder) => {
    const { config } = loadConfig({ sets: [`runDir=${folder}`, "device=cpu"] }), run = `${folder}/board`, file = `${run}/tuning.jsonl`;
    openRunFolder(folder, { name: "board", anew: false })[Symbol.dispose]();
    Deno.writeTextFileSync(`${run}/config.json`, JSON.stringify(config));
    const line = (step: unknown, changes: unknown, base: unknown = { "optim.lr": config.optim.lr }) =>
      JSON.stringify({ step, changes, base });
    const good = line(3, { "optim.lr": 1e-4 }),
      cases: [line: string, words: RegExp][] = [
        ["{", /JSON/],
        ["7", /object/],
        [line("3", { "optim.lr": 1e-4 }), /step/],
        [line(3, { "optim.lr": "1e-4" }), /changes\.optim\.lr/],
        [line(3, { "optim.lr": -1 }), /changes\.optim\.lr/],
        [line(3, { "optim.beta1": 0.5 }), /changes\.optim\.beta1/],
        [line(3, undefined), /changes/],
        [line(3, { "optim.lr": 1e-4 }, null), /base/],
      ];
    for (const [text, words] of cases) {
      Deno.writeTextFileSync(file, `${good}\n${text}\n${good}\n`);
      const error = assertThrows(() => new Tunings(run, config), KedgeError, `Cannot read ${file}: line 2: `);
      assertMatch(error.message, words, text);
    }
    const open = () => TrainingRun.open({ sets: [`runDir=${folder}`, "device=cpu"] });
    await assertRejects(open, KedgeError, "line 2: base");
    // A line is written at once. A kill can leave only its beginning.
    for (const end of ['{"step":5,"ch', good]) {
      Deno.writeTextFileSync(file, `${good}\n${end}`);
      const tunings = new Tunings(run, config);
      assertEquals([tunings.at(9), tunings.from(5)], [{ "optim.lr": 1e-4 }, {}]);
      tunings.add(7, { "optim.lr": 1e-5 });
      assertEquals(new Tunings(run, config).from(7), { "optim.lr": 1e-5 });
      assertEquals(Deno.readTextFileSync(file).split("\n").length, 3);
    }
  });
});

Deno.test("an edited config.json or lock does not prevent resuming a run with a checkpoint", async () => {
  await withRunDir((folder) => {
    const run = `${folder}/board`;
    twoCheckpoints(run);
    for (const config of ["{", "null", "[]", '{"name":3}', ""]) {
      for (const lock of ["", "who\n", "12\n34\n", "{}"]) {
        Deno.writeTextFileSync(`${run}/config.json`, config);
        Deno.writeTextFileSync(`${run}/lock`, lock);
        using _ = openRunFolder(folder, { name: "board", anew: false });
        assertEquals(Deno.readTextFileSync(`${run}/lock`), `${Deno.pid}\n`);
      }
    }
    return Promise.resolve();
  });
});

Deno.test("a disk error names the run's directory and what to do; other errors are unchanged", async () => {
  await withRunDir((folder) => {
    Deno.writeTextFileSync(`${folder}/lock`, "");
    for (
      const words of ["No space left on device (os error 28)", "Read-only file system (os error 30)", "Disk quota exceeded (os error 122)"]
    ) {
      assertMatch(
        explained(folder, new Error(words)).message,
        new RegExp(`^Cannot write in ${folder}: .*goes on from its last checkpoint`),
      );
      const known = explained(folder, new KedgeError("BadCheckpoint", `Cannot write ${folder}/checkpoints/step-4: ${words}`, { step: 4 }));
      assertMatch(known.message, new RegExp(`^Cannot write ${folder}/checkpoints/step-4: .*goes on from its last checkpoint`));
      assert(known instanceof KedgeError && known.code === "BadCheckpoint" && known.details["step"] === 4);
    }
    const other = new Error("Cannot divide (os error 33)");
    assertEquals(explained(folder, other), other);
    return Promise.resolve();
  });
});

Deno.test("a clock that jumps does not affect measured times", async () => {
  await withRunDir(async (folder) => {
    const trainer = import.meta.resolve("./jumping_worker.ts"), lines: Json[] = [];
    const modules = Object.fromEntries(["policy", "critic", "anchor_detector", "evaluator", "loader"].map((name) => [name, trainer]));
    await littleRun(littleConfig(folder, ["trainer.maxSteps=2"]), {
      trainer,
      modules,
      onEvent: (event) => event.kind === "metrics" && lines.push(event.line),
    });
    const days = lines.map(({ time }) => Date.parse(time as string)), span = Math.max(...days) - Math.min(...days);
    assert(span > 80_000_000, "its date did jump");
    const spans = lines.flatMap((line) => Object.entries(line).filter(([key]) => key.startsWith("timing_s/")));
    assert(spans.length > 8, `${spans.length}`);
    for (const [key, seconds] of spans) assert((seconds as number) >= 0 && (seconds as number) < 600, `${key}: ${seconds}`);
    const rates = lines.flatMap((line) => Object.entries(line).filter(([key]) => /per_s|throughput/.test(key)));
    for (const [key, rate] of rates) assert((rate as number) >= 0 && Number.isFinite(rate), `${key}: ${rate}`);
  });
});
