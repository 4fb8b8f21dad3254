/** Tests what happens if a run's data files change between two starts. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { configSchema } from "../../actors/config/schema.ts";
import { Lines } from "../../actors/run/lines.ts";
import { BEGINNING, Passes, resumeData } from "../../actors/trainer/passes.ts";
import { newBoardModel } from "../../data/board/mod.ts";
import { filePrints, printChanges } from "../../data/file_print.ts";
import { openDataset } from "../../data/mod.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Random } from "../../tensor/random.ts";
import { littleConfig, littleRun, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const row = (n: number) => `${JSON.stringify({ problem: `What is ${n} + 1 ?`, answer: `${n + 1}` })}\n`;

Deno.test("a run is not resumed with changed files, unless that is allowed; it then begins a new pass and prints a note", async () => {
  await withRunDir(async (folder) => {
    const path = `${folder}/rows.jsonl`, notes: string[] = [];
    newBoardModel(`${folder}/model`, { seed: 1 });
    Deno.writeTextFileSync(path, row(0));
    const run = (steps: number, ...sets: string[]) => {
      const files = [
        `model.path=${folder}/model`,
        "data.task=files",
        `data.trainFiles=${path}`,
        "data.valFiles=[]",
        "sft=null",
        "data.rolloutBatchSize=1",
      ];
      const config = littleConfig(folder, [...files, `trainer.maxSteps=${steps}`, "trainer.saveFreq=1", ...sets]);
      notes.length = 0;
      return littleRun(config, { onEvent: (event) => event.kind === "note" && notes.push(event.text) });
    };
    const ids = () => Array.from(new Lines(`${folder}/board/rollouts.jsonl`).entries(), (line) => `${line.step} ${line["prompt_id"]}`);
    await run(2);
    Deno.writeTextFileSync(path, row(0) + row(9));
    const refused = await assertRejects(() => run(3), KedgeError, "rows.jsonl had 1 row (43 bytes), now 2 rows (87 bytes)");
    assertEquals(refused.code, "BadCheckpoint");
    assertEquals((await run(4, "data.allowChanged=true")).step, 4);
    assert(
      notes.some((note) => note.includes("now 2 rows")) && notes.some((note) => note.includes("begins with step 3")),
      notes.join("; "),
    );
    // The new pass has each row of the current file once.
    assertEquals([...new Set(ids())].sort().slice(0, 2), ["1 rows.jsonl:0", "2 rows.jsonl:0"]);
    assertEquals([...new Set(ids())].slice(2).map((id) => id.slice(2)).sort(), ["rows.jsonl:0", "rows.jsonl:1"]);
    // The checkpoint now records the files and the start of the pass.
    await run(6);
    assertEquals(notes.filter((note) => note.includes("data")), []);
    assertEquals([...new Set(ids())].slice(4).map((id) => id.slice(2)).sort(), ["rows.jsonl:0", "rows.jsonl:1"]);
  });
});

Deno.test("a checkpoint without a record of files can be resumed, with a note", () => {
  const now = { train: [{ name: "a.jsonl", rows: 1, bytes: 9, hash: "x" }], val: [] }, config = configSchema.parse({});
  const saved = { draws: 3, step: 3, sampling: undefined }, { notes, ...found } = resumeData(saved, now, config);
  assertEquals([found, notes.length], [{ origin: BEGINNING, isOther: false }, 1]);
  assertEquals(resumeData({ ...saved, data: now }, now, config).notes, []);
  assertEquals(resumeData(saved, { train: [], val: [] }, config).notes, [], "generated rows have no files");
});

Deno.test("a change of evaluation files is noted, and does not move training rows", () => {
  const print = (hash: string) => [{ name: "v.jsonl", rows: 1, bytes: 9, hash }],
    config = configSchema.parse({ data: { allowChanged: true } });
  const saved = { draws: 3, step: 3, sampling: undefined, data: { train: [], val: print("x") } };
  const { origin, isOther, notes } = resumeData(saved, { train: [], val: print("y") }, config);
  assertEquals([origin, isOther, notes], [BEGINNING, false, ["The data have changed since the checkpoint: v.jsonl has different rows"]]);
});

Deno.test("batches equal those of an uninterrupted sampler; after a change they are a whole pass over the current rows", () => {
  const random = new Random(5);
  for (let round = 0; round < 200; round++) {
    const [size, later, batchSize, seed] = [random.integer(1, 9), random.integer(1, 9), random.integer(1, 5), random.integer(0, 9)];
    const passes = new Passes(size, { seed, shuffle: true, batchSize }), draws = random.integer(0, 12);
    const flat = Array.from({ length: 12 }, (_, batch) => passes.indices(batch)).flat();
    for (let at = 0; at + size <= flat.length; at += size) assertEquals(flat.slice(at, at + size).sort(), [...Array(size).keys()]);
    const origin = passes.after({ draws, step: draws }), anew = new Passes(later, { seed, shuffle: true, batchSize, origin });
    const after = Array.from({ length: 9 }, (_, i) => anew.indices(draws + i)).flat();
    assertEquals(after.slice(0, later).sort(), [...Array(later).keys()].slice(0, after.length));
    assertEquals(origin.epoch, Math.ceil(draws * batchSize / size));
    assertEquals(anew.lastStep(origin.epoch + 2), draws + Math.floor(2 * later / batchSize));
  }
});

Deno.test("a file's fingerprint covers its rows: every byte of JSON, the footer of Parquet", async () => {
  await withRunDir(async (folder) => {
    const path = `${folder}/rows.jsonl`, parquet = `${folder}/rows.parquet`;
    const prints = async (...paths: string[]) => await filePrints(await openDataset(paths));
    Deno.writeTextFileSync(path, row(0) + row(1));
    const first = await prints(path);
    assertEquals([first[0]!.name, first[0]!.rows, first[0]!.bytes], ["rows.jsonl", 2, 86]);
    Deno.writeTextFileSync(path, row(0) + row(2));
    assertEquals(printChanges(first, await prints(path)), ["rows.jsonl has different rows"]);
    Deno.copyFileSync(new URL("../data/verl.parquet", import.meta.url), parquet);
    const both = await prints(path, parquet), [, columns] = both;
    assert(columns!.rows > 0);
    // The last name of a writer in the file is in the footer, and rows are read without it.
    const bytes = Deno.readFileSync(parquet);
    bytes[bytes.length - 12]! ^= 1;
    Deno.writeFileSync(parquet, bytes);
    const file = { path: parquet, name: "rows.parquet", rows: columns!.rows };
    assertEquals(printChanges([columns!], await filePrints({ files: [file] })), ["rows.parquet has different rows"]);
    assertEquals(printChanges(both, both.toReversed()), ["the order of the files has changed"]);
    assertEquals(printChanges(both, both.slice(1)), ["rows.jsonl is gone"]);
    assertEquals(printChanges(both.slice(1), both), [`rows.jsonl is new, with 2 rows (86 bytes)`]);
  });
});
