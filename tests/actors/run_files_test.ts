import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { Lines } from "../../actors/run/lines.ts";
import { KedgeError } from "../../ffi/errors.ts";

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

inFolder("pruning keeps the newest, and the best beside them; of equals the later is the best", (run) => {
  const all = new Checkpoints(run, { saveLimit: 3, saveBest: true });
  for (const step of [5, 10, 15, 20, 25]) save(all, step, step === 10 ? 0.9 : 0.5);
  assertEquals(all.steps(), [10, 15, 20, 25]);
  save(all, 30, 0.9);
  assertEquals(all.steps(), [20, 25, 30]);
});

inFolder("a checkpoint is a model folder with the trainer's files beside it, and reads as it was written", (run) => {
  const all = new Checkpoints(run, { saveLimit: 3, saveBest: true });
  const path = save(all, 1);
  assertEquals(names(path), ["config.json", "trainer.json", "trainer.safetensors"]);
  assertEquals(names(`${run}/checkpoints`), ["step-1"]);
  const { state, tensors: file } = all.load(1);
  using _ = file;
  assertEquals([state, file.read("m")], [{ at: 1 }, Uint8Array.of(1, 2, 3, 4)]);
});

inFolder("the newest whole checkpoint is found behind truncated, changed and missing files", (run) => {
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

inFolder("a full disk leaves the older checkpoints, also that of the same step", (run) => {
  const all = new Checkpoints(run, { saveLimit: 1, saveBest: false });
  save(all, 1);
  const full = (folder: string) => {
    model(folder);
    Deno.writeTextFileSync("/dev/full", "no room");
  };
  // What the tests may not write to, a full disk stands in for.
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

inFolder("what killed processes left is swept, also before the first checkpoint; later checkpoints are set aside", (run) => {
  const all = new Checkpoints(run, { saveLimit: 3, saveBest: true });
  Deno.mkdirSync(`${run}/checkpoints/step-1.x.tmp`, { recursive: true });
  all.sweep();
  assertEquals(names(`${run}/checkpoints`), []);
  for (const step of [1, 2]) save(all, step);
  all.discardAfter(1);
  assertEquals(names(`${run}/checkpoints`), ["step-1", "step-2.discarded"]);
  assertEquals(all.steps(), [1]);
});

inFolder("lines past a step and a torn last one are moved aside, and the next line stands alone", (run) => {
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

inFolder("a whole last line without its end gets it", (run) => {
  const lines = new Lines(`${run}/metrics.jsonl`);
  Deno.writeTextFileSync(lines.path, '{"step":1}');
  assertEquals(lines.discardAfter(1), 0);
  lines.append({ step: 2 });
  assertEquals(lines.read().map(({ step }) => step), [1, 2]);
});
