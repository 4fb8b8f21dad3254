// deno-lint-ignore-file no-await-in-loop -- one case after the other
/** Tests that a run writes and removes only its own files. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { loadConfig } from "../../actors/config/load.ts";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { openRunFolder } from "../../actors/run/run_folder.ts";
import { TrainingRun } from "../../actors/training_run.ts";
import { downloadDataset } from "../../data/hub/dataset.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { runDeno } from "../deno.ts";

/** Makes a folder with somebody's files under the names of a run's files, and runs beside them. */
function inHome(name: string, body: (home: string, intact: () => void) => void | Promise<void>): void {
  Deno.test(name, async () => {
    const home = Deno.makeTempDirSync(), theirs = ["checkpoints", "initial", "reference"];
    try {
      for (const folder of theirs) {
        Deno.mkdirSync(`${home}/${folder}`);
        Deno.writeTextFileSync(`${home}/${folder}/mine.txt`, "mine");
      }
      Deno.writeTextFileSync(`${home}/tuning.jsonl`, "mine\n");
      Deno.mkdirSync(`${home}/runs`);
      await body(home, () => {
        for (const folder of theirs) assertEquals(Deno.readTextFileSync(`${home}/${folder}/mine.txt`), "mine");
        assertEquals(Deno.readTextFileSync(`${home}/tuning.jsonl`), "mine\n");
        assert(!Array.from(Deno.readDirSync(home), (entry) => entry.name).includes("lock"), "nothing was added");
      });
    } finally {
      Deno.removeSync(home, { recursive: true });
    }
  });
}

/** Opens a run as `--name NAME --no-resume` does, and closes it. */
async function anew(runDir: string, name: string): Promise<void> {
  await using _ = await TrainingRun.open({ sets: [`runDir=${runDir}`, `name=${name}`, "device=cpu"] }, { resume: false });
}

/** Makes the folder of an empty finished run. */
function madeRun(runDir: string, name: string): void {
  using folder = openRunFolder(runDir, { name, anew: true });
  Deno.writeTextFileSync(`${folder.path}/config.json`, JSON.stringify(loadConfig({ sets: [`name=${name}`] }).config));
}

inHome("a run's name is a name: it leads nowhere else, and nothing outside is removed", async (home, intact) => {
  for (const name of ["..", ".", "../runs2", "a/b", "a\\b", "a\nb", "a\0b", "a b", "", "x".repeat(101)]) {
    await assertRejects(() => anew(`${home}/runs`, name), RangeError, "name: ", JSON.stringify(name));
  }
  assertEquals([...Deno.readDirSync(`${home}/runs`)], []);
  intact();
  for (const name of ["board", "a.b-c_1", "...", "x".repeat(100)]) {
    assertEquals(loadConfig({ sets: [`name=${JSON.stringify(name)}`] }).config.name, name);
  }
});

inHome("a folder that has no mark of a run is not changed, with and without resuming", async (home, intact) => {
  const runDir = home.slice(0, home.lastIndexOf("/")), name = home.slice(runDir.length + 1);
  // Neither a model folder's config.json nor another program's lock marks a run's folder.
  for (const [file, text] of [["config.json", '{"model_type":"qwen2"}'], ["config.json", "{"], ["metrics.jsonl", "mine\n"]] as const) {
    Deno.writeTextFileSync(`${home}/${file}`, text);
    for (const isNew of [true, false]) {
      assertThrows(() => openRunFolder(runDir, { name, anew: isNew }), RangeError, "it is not Kedge's");
    }
    assertEquals(Deno.readTextFileSync(`${home}/${file}`), text);
    Deno.removeSync(`${home}/${file}`);
  }
  await assertRejects(() => anew(runDir, name), RangeError, "holds tuning.jsonl");
  intact();
  Deno.mkdirSync(`${home}/runs/x`);
  Deno.writeTextFileSync(`${home}/runs/x/lock`, "held by somebody\n");
  assertThrows(() => openRunFolder(`${home}/runs`, { name: "x", anew: true }), RangeError, "holds lock");
  assertEquals(Deno.readTextFileSync(`${home}/runs/x/lock`), "held by somebody\n");
});

inHome("symbolic links are not followed out of a run's directory", async (home, intact) => {
  const runs = `${home}/runs`, inside = { checkpoints: "checkpoints", "metrics.jsonl": "tuning.jsonl" };
  for (const name of ["real", "deep", ...Object.keys(inside)]) madeRun(runs, name);
  Deno.mkdirSync(`${runs}/deep/checkpoints/step-1`, { recursive: true });
  const links = [
    [home, `${runs}/link`],
    ...Object.entries(inside).map(([name, theirs]) => [`${home}/${theirs}`, `${runs}/${name}/${name}`]),
    [`${home}/initial`, `${runs}/deep/checkpoints/step-1/away`],
  ];
  // Making a link needs more permissions than tests have.
  const code = `for (const [from, to] of ${JSON.stringify(links)}) Deno.symlinkSync(from, to)`;
  assertEquals((await runDeno(["eval", code], { cwd: home })).code, 0);
  await assertRejects(() => anew(runs, "link"), RangeError, "leads to");
  for (const name of Object.keys(inside)) await assertRejects(() => anew(runs, name), RangeError, `${name} is a symbolic link`);
  // A deeper link is itself removed, together with the run's files.
  openRunFolder(runs, { name: "deep", anew: true })[Symbol.dispose]();
  assertEquals(Array.from(Deno.readDirSync(`${runs}/deep`), (entry) => entry.name).sort(), ["config.json", "lock"]);
  intact();
});

inHome("a new beginning removes what a run left, and nothing else of its directory", (home) => {
  const runs = `${home}/runs`, run = `${runs}/board`, id = crypto.randomUUID();
  madeRun(runs, "board");
  for (const folder of ["checkpoints/step-1", "initial", "reference", `reference.${id}.tmp`, `notes.${id}.tmp`]) {
    Deno.mkdirSync(`${run}/${folder}`, { recursive: true });
  }
  for (const file of ["tuning.jsonl", "metrics.jsonl", "diary.txt"]) Deno.writeTextFileSync(`${run}/${file}`, "x\n");
  const names = () => Array.from(Deno.readDirSync(run), (entry) => entry.name).sort();
  openRunFolder(runs, { name: "board", anew: false })[Symbol.dispose]();
  const kept = ["config.json", "diary.txt", "lock", "metrics.jsonl", `notes.${id}.tmp`];
  assertEquals(names(), [...kept, "checkpoints", "initial", "reference", "tuning.jsonl"].sort());
  openRunFolder(runs, { name: "board", anew: true })[Symbol.dispose]();
  assertEquals(names(), kept);
});

inHome("pruning, sweeping and replacing leave alone what is no checkpoint", (home) => {
  const run = `${home}/runs/board`, all = new Checkpoints(run, { saveLimit: 1, saveBest: false });
  const save = (step: number) => all.save(step, { model: (folder) => Deno.mkdirSync(folder), tensors: [], state: {} });
  for (const theirs of ["step-1", "mine.tmp"]) {
    Deno.mkdirSync(`${run}/checkpoints/${theirs}`, { recursive: true });
    Deno.writeTextFileSync(`${run}/checkpoints/${theirs}/mine.txt`, "mine");
  }
  save(2);
  save(3);
  all.sweep();
  assertThrows(() => save(1), KedgeError, "it is not a checkpoint");
  assertEquals(Array.from(Deno.readDirSync(`${run}/checkpoints`), (entry) => entry.name).sort(), ["mine.tmp", "step-1", "step-3"]);
  assertEquals(Deno.readTextFileSync(`${run}/checkpoints/step-1/mine.txt`), "mine");
});

inHome("names of data sets, splits and revisions of the hub lead out of no cache", async (home) => {
  const cacheDir = `${home}/runs`, hubUrl = "http://127.0.0.1:1";
  for (const repo of ["../..", "owner/..", "a/b/c", "owner/name/../..", `owner/${"x".repeat(97)}`]) {
    await assertRejects(() => downloadDataset({ repo, split: undefined }, { cacheDir, hubUrl }), KedgeError, "it is not owner/name");
  }
  await assertRejects(() => downloadDataset({ repo: "a/b", split: "../x" }, { cacheDir, hubUrl }), KedgeError, "it is not owner/name");
  for (const revision of ["..", ".", ""]) {
    await assertRejects(
      () => downloadDataset({ repo: "a/b", split: undefined }, { cacheDir, hubUrl, revision }),
      KedgeError,
      "is not a revision",
    );
  }
  assertEquals([...Deno.readDirSync(cacheDir)], []);
});
