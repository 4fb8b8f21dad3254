import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { Lines } from "../../actors/run/lines.ts";
import { LONGEST } from "../../actors/run/line_pieces.ts";
import { TensorBoard } from "../../actors/run/tensorboard.ts";
import { Tunings } from "../../actors/run/tunings.ts";
import { loadConfig } from "../../actors/config/load.ts";
import { FEED_START, TrackerFeed } from "../../actors/trackers/feed.ts";
import type { Tracker } from "../../actors/trackers/tracker.ts";
import { readRun } from "../../control/report/read.ts";
import { RunFiles } from "../../control/run/run_files.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Random } from "../../tensor/random.ts";
import { exists } from "../files.ts";

function inFolder(name: string, run: (folder: string) => void): void {
  Deno.test(name, () => {
    const folder = Deno.makeTempDirSync();
    try {
      run(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

function model(folder: string): void {
  Deno.mkdirSync(folder);
  Deno.writeTextFileSync(`${folder}/config.json`, "{}");
}

const tensors = [{ name: "m", dtype: "U8", shape: [4], data: Uint8Array.of(1, 2, 3, 4) }] as const;
const save = (all: Checkpoints, step: number, score?: number) =>
  all.save(step, { model, tensors, state: { at: step }, ...(score !== undefined && { score }) });
const names = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();

inFolder("pruning keeps the newest checkpoints and the best one; among equals the later one is the best", (run) => {
  const all = new Checkpoints(run, { saveLimit: 3, saveBest: true });
  for (const step of [5, 10, 15, 20, 25]) save(all, step, step === 10 ? 0.9 : 0.5);
  assertEquals(all.steps(), [10, 15, 20, 25]);
  save(all, 30, 0.9);
  assertEquals(all.steps(), [20, 25, 30]);
});

inFolder("a checkpoint is a model folder with the trainer's files, and is read back unchanged", (run) => {
  const all = new Checkpoints(run, { saveLimit: 3, saveBest: true });
  const path = save(all, 1);
  assertEquals(names(path), ["config.json", "trainer.json", "trainer.safetensors"]);
  assertEquals(names(`${run}/checkpoints`), ["step-1"]);
  const { state, tensors: file } = all.load(1);
  using _ = file;
  assertEquals([state, file.read("m")], [{ at: 1 }, Uint8Array.of(1, 2, 3, 4)]);
});

inFolder("the newest complete checkpoint is found despite truncated, changed and missing files", (run) => {
  const all = new Checkpoints(run, { saveLimit: 9, saveBest: true });
  for (const step of [1, 2, 3, 4, 5]) save(all, step);
  const at = (step: number, name: string) => `${run}/checkpoints/step-${step}/${name}`;
  Deno.truncateSync(at(5, "trainer.safetensors"), 40);
  Deno.removeSync(at(4, "config.json"));
  Deno.writeTextFileSync(at(3, "trainer.json"), Deno.readTextFileSync(at(3, "trainer.json")).replace('"at":3', '"at":7'));
  Deno.truncateSync(at(2, "trainer.json"), 30);
  const { checkpoint, skipped } = all.latest();
  assertEquals([checkpoint?.step, skipped.length], [1, 4]);
  for (const [i, words] of ["trainer.safetensors", "config.json", "checksum", "trainer.json"].entries()) {
    assertStringIncludes(skipped[i]!, words);
  }
});

inFolder("a full disk leaves the older checkpoints, even the one of the same step", (run) => {
  const all = new Checkpoints(run, { saveLimit: 1, saveBest: false });
  save(all, 1);
  const full = (folder: string) => {
    model(folder);
    Deno.writeTextFileSync("/dev/full", "no room");
  };
  // A full disk is simulated where the tests have no permission to fill one.
  const failing = (folder: string) => {
    try {
      full(folder);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
      throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    }
  };
  for (const step of [1, 2]) {
    const error = assertThrows(() => all.save(step, { model: failing, tensors, state: {} }), KedgeError, "No space left");
    assertEquals(error.code, "BadCheckpoint");
  }
  assertEquals(names(`${run}/checkpoints`), ["step-1"]);
  assertEquals(all.read(1).state, { at: 1 });
});

inFolder("leftovers of killed processes are removed, even before the first checkpoint; later checkpoints are set aside", (run) => {
  const all = new Checkpoints(run, { saveLimit: 3, saveBest: true });
  Deno.mkdirSync(`${run}/checkpoints/step-1.x.tmp`, { recursive: true });
  all.sweep();
  assertEquals(names(`${run}/checkpoints`), []);
  for (const step of [1, 2]) save(all, step);
  all.discardAfter(1);
  assertEquals(names(`${run}/checkpoints`), ["step-1", "step-2.discarded"]);
  assertEquals(all.steps(), [1]);
});

inFolder("lines after a step and a torn last line are moved aside, and the next line starts a new one", (run) => {
  const lines = new Lines(`${run}/metrics.jsonl`);
  lines.append({ step: 1 }, { step: 2 }, { step: 3 });
  Deno.writeTextFileSync(lines.path, '{"step":1,"re', { append: true });
  assertEquals(lines.read().map(({ step }) => step), [1, 2, 3]);
  assertEquals(lines.discardAfter(2), 2);
  lines.append({ step: 3 });
  assertEquals(Deno.readTextFileSync(lines.path), '{"step":1}\n{"step":2}\n{"step":3}\n');
  assertEquals(Deno.readTextFileSync(`${lines.path}.discarded`), '{"step":3}\n{"step":1,"re\n');
  assertEquals(lines.discardAfter(3), 0);
  assertEquals(names(run), ["metrics.jsonl", "metrics.jsonl.discarded"]);
});

inFolder("a complete last line without a line break gets one", (run) => {
  const lines = new Lines(`${run}/metrics.jsonl`);
  Deno.writeTextFileSync(lines.path, '{"step":1}');
  assertEquals(lines.discardAfter(1), 0);
  lines.append({ step: 2 });
  assertEquals(lines.read().map(({ step }) => step), [1, 2]);
});

inFolder("a file is cut at the same offset for every piece size", (run) => {
  const random = new Random(7), sizes = [1, 2, 3, 7, 64, 1000];
  for (let round = 0; round < 40; round++) {
    const path = `${run}/${round}.jsonl`, count = random.integer(0, 9), from = random.integer(-1, 6);
    const lines = Array.from(
      { length: count },
      (_, i) => JSON.stringify({ step: Math.floor(i / 2), x: "\u00e9".repeat(random.integer(0, 40)) }),
    );
    const torn = ["", '{"step":0,"x', "\n", "{}\n", '{"step":9}'][random.integer(0, 5)]!;
    const text = lines.map((line) => `${line}\n`).join("") + torn;
    const kept = lines.filter((line) => JSON.parse(line).step <= from).map((line) => `${line}\n`).join("");
    for (const piece of sizes) {
      Deno.writeTextFileSync(path, text);
      new Lines(path, { piece }).discardAfter(from);
      assertEquals(Deno.readTextFileSync(path), kept, `${JSON.stringify(text)} in pieces of ${piece} after ${from}`);
      const aside = text.slice(kept.length), gone = `${path}.discarded`;
      assertEquals(exists(gone) ? Deno.readTextFileSync(gone) : "", aside === "" || aside.endsWith("\n") ? aside : `${aside}\n`);
      if (exists(gone)) Deno.removeSync(gone);
    }
  }
});

inFolder("a file beyond its limit is rotated once, and resuming cuts across both files", (run) => {
  const lines = new Lines(`${run}/rollouts.jsonl`, { maxBytes: 66 }); // three lines
  for (let step = 1; step <= 11; step++) lines.append({ step, x: "123" });
  const steps = () => lines.read().map(({ step }) => step);
  assertEquals([steps(), names(run)], [[7, 8, 9, 10, 11], ["rollouts.jsonl", "rollouts.jsonl.1"]]);
  assertEquals(lines.discardAfter(8), 3);
  assertEquals(steps(), [7, 8]);
  assertEquals(new Lines(`${lines.path}.discarded`).read().map(({ step }) => step), [9, 10, 11]);
  // The lines of one call stay in one file. The file that is set aside is limited too.
  for (let step = 9; step <= 10; step++) lines.append({ step, x: "123" }, { step, x: "123" });
  assertEquals(lines.discardAfter(7), 4);
  assertEquals([steps(), new Lines(`${lines.path}.discarded`).read().map(({ step }) => step)], [[], [9, 10, 11, 9, 9, 10, 10]]);
  assertEquals(lines.discardAfter(-1), 0);
});

inFolder("lines that the disk does not accept leave no partial line", (run) => {
  const lines = new Lines(`${run}/metrics.jsonl`);
  lines.append({ step: 1 });
  const { prototype } = Deno.FsFile, real = prototype.writeSync;
  try {
    let calls = 0;
    prototype.writeSync = function (bytes: Uint8Array): number {
      if (calls++ > 0) throw new Error("No space left on device");
      return real.call(this, bytes.subarray(0, 5));
    };
    assertThrows(() => lines.append({ step: 2 }), Error, "No space left");
  } finally {
    prototype.writeSync = real;
  }
  lines.append({ step: 3 });
  assertEquals(Deno.readTextFileSync(lines.path), '{"step":1}\n{"step":3}\n');
});

inFolder("event files are limited, and the oldest are removed; other programs' files stay", (run) => {
  const own = () => names(run).filter((name) => name.includes(".kedge."));
  Deno.writeTextFileSync(`${run}/events.out.tfevents.1.host`, "theirs");
  const board = new TensorBoard(run, { maxBytes: 2000 });
  for (let step = 0; step < 200; step++) board.scalars(step, { step, "actor/loss": 1 });
  assertEquals(own().length >= 2 && own().length <= 3, true, own().join());
  assertEquals(own().reduce((sum, name) => sum + Deno.statSync(`${run}/${name}`).size, 0) <= 4000, true);
  assertEquals(Deno.readTextFileSync(`${run}/events.out.tfevents.1.host`), "theirs");
});

inFolder("a run accepts a limited number of changes, and then refuses", (run) => {
  const { config } = loadConfig({});
  Deno.writeTextFileSync(
    `${run}/tuning.jsonl`,
    `${JSON.stringify({ step: 1, changes: { "optim.lr": 1 }, base: { "optim.lr": 1e-4 } })}\n`.repeat(9999),
  );
  const tunings = new Tunings(run, config);
  tunings.add(2, { "optim.lr": 0.5 });
  assertThrows(() => tunings.add(3, { "optim.lr": 0.25 }), KedgeError, "10000 times");
  assertEquals(tunings.at(3), { "optim.lr": 0.5 });
});

Deno.test("a file's follower gets every line, across a rotation and a truncated file that has grown again", async () => {
  const run = Deno.makeTempDirSync(), metrics = new Lines(`${run}/metrics.jsonl`, { maxBytes: 100 });
  const answers = new Lines(`${run}/rollouts.jsonl`, { maxBytes: 100 }), files = new RunFiles(run);
  const seen = async () => {
    files.changed();
    const lines = await files.metrics({ since: -1, limit: 99 }), { steps, samples } = await files.rollouts();
    return [lines.map(({ step, x }) => `${step}${x}`).join(), steps.join(), samples.map(({ x }) => x).join()];
  };
  const add = (from: number, to: number, x: string) => {
    for (let step = from; step <= to; step++) for (const each of [metrics, answers]) each.append({ step, x });
  };
  try {
    add(1, 2, "a");
    assertEquals(await seen(), ["1a,2a", "1,2", "a"]);
    add(3, 8, "a"); // five lines to a file
    assertEquals(await seen(), ["1a,2a,3a,4a,5a,6a,7a,8a", "1,2,3,4,5,6,7,8", "a"]);
    assertEquals((await files.rollouts(2)).samples, [{ step: 2, x: "a" }], "out of the file before");
    add(9, 11, "a");
    assertEquals((await seen())[1], "6,7,8,9,10,11", "answers of a file that is gone cannot be had");
    assertEquals((await files.rollouts(2)).samples, []);
    // The file is cut and grows to the same length between two polls, so that inode and size do not reveal it.
    for (const each of [metrics, answers]) each.discardAfter(10);
    add(11, 11, "b");
    assertEquals(await seen(), ["6a,7a,8a,9a,10a,11b", "6,7,8,9,10,11", "b"]);
    for (const each of [metrics, answers]) each.discardAfter(8);
    assertEquals((await seen())[0], "6a,7a,8a");
  } finally {
    Deno.removeSync(run, { recursive: true });
  }
});

Deno.test("a tracker gets each line once, across a rotation and a truncated file that has grown again", async () => {
  const folder = Deno.makeTempDirSync(), told: string[] = [], lines = new Lines(`${folder}/metrics.jsonl`, { maxBytes: 100 });
  const tracker: Tracker = {
    name: "noted",
    begin: () => Promise.resolve(),
    metrics: (all) => Promise.resolve(void told.push(...all.map(({ step, values }) => `${step}:${values["x"]}`))),
    answers: () => Promise.resolve(),
    end: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const run = { name: "board", id: "a1b2c3d4", config: {}, started: 0 };
  const options = { answersEvery: 0, position: FEED_START, keep: () => {}, note: () => {}, interval: 1 };
  const feed = new TrackerFeed(tracker, { run, folder }, options), followed = feed.follow();
  const add = (from: number, to: number, x: number) => {
    for (let step = from; step <= to; step++) lines.append({ step, x });
  };
  const until = async (last: string) => {
    // deno-lint-ignore no-await-in-loop -- until it is there
    for (let n = 0; told.at(-1) !== last && n < 2000; n++) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  add(1, 2, 10);
  await until("2:10");
  add(3, 8, 10); // some four lines to a file
  await until("8:10");
  lines.discardAfter(7);
  add(8, 9, 11); // step 8 again with other numbers: it was sent already
  await until("9:11");
  feed.end("done", 1000);
  assertEquals(await followed, true);
  assertEquals(told, ["1:10", "2:10", "3:10", "4:10", "5:10", "6:10", "7:10", "8:10", "9:11"]);
  Deno.removeSync(folder, { recursive: true });
});

const SLOW = Deno.args.includes("--slow");

Deno.test(`a file of answers beyond the longest string is cut, followed and reported in bounded memory${SLOW ? "" : ", at 1/50"}`, async () => {
  const run = Deno.makeTempDirSync(), path = `${run}/rollouts.jsonl`, bytes = (SLOW ? 600 : 12) * 2 ** 20, wide = 2 ** 14;
  try {
    const steps = Math.ceil(bytes / wide);
    {
      using file = Deno.openSync(path, { write: true, create: true });
      const rest = new TextEncoder().encode(`,"sample":0,"tokens":"${"x".repeat(wide)}"}\n`);
      for (let step = 1; step <= steps; step++) {
        file.writeSync(new TextEncoder().encode(`{"step":${step}`));
        file.writeSync(rest);
      }
    }
    const lines = new Lines(path), before = Deno.memoryUsage().rss, start = performance.now(), last = steps - 3;
    let most = 0;
    const check = () => most = Math.max(most, Deno.memoryUsage().rss - before);
    assertEquals(lines.discardAfter(last), 3);
    const cut = performance.now() - start;
    check();
    const { first, last: newest } = readRun(run).rollouts;
    check();
    assertEquals([first[0]!.step, newest[0]!.step], [1, last]);
    const files = new RunFiles(run), found = await files.rollouts();
    check();
    assertEquals([found.step, found.steps.length, found.samples.length], [last, Math.min(last, 50_000), 1]);
    assertEquals(Math.max(0, most) < 300 * 2 ** 20, true, `${most >> 20} MiB`);
    assertEquals(cut < 2000, true, `cut in ${cut} ms`);
    assertEquals(Array.from(lines.entries().take(2), ({ step }) => step), [1, 2]);
  } finally {
    Deno.removeSync(run, { recursive: true });
  }
});

inFolder("an endless line takes no more memory than a long one", (run) => {
  if (!SLOW) return;
  const path = `${run}/metrics.jsonl`, lines = new Lines(path);
  lines.append({ step: 1 });
  using file = Deno.openSync(path, { append: true });
  const piece = new Uint8Array(2 ** 24).fill(0x78);
  for (let at = 0; at < 3 * LONGEST; at += piece.length) file.writeSync(piece);
  assertEquals(lines.read(), [{ step: 1 }]);
  assertEquals(lines.discardAfter(1), 1);
  assertEquals(Deno.readTextFileSync(path), '{"step":1}\n');
});
