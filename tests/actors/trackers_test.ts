import "sharp";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { crc32 } from "node:zlib";
import { FEED_START, type FeedPosition, metricsOf, tableOf, TrackerFeed } from "../../actors/trackers/feed.ts";
import { MlflowRun } from "../../actors/trackers/mlflow.ts";
import type { Ending, Metrics, TrackedRun, Tracker } from "../../actors/trackers/tracker.ts";
import { WandbFolder } from "../../actors/trackers/wandb.ts";
import { RECORD, WandbLog } from "../../actors/trackers/wandb_log.ts";
import { train } from "../../actors/training_run.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { LITTLE, logged, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const RUN: TrackedRun = { name: "board", id: "a1b2c3d4", config: { seed: 0, optim: { lr: 1e-4 } }, started: Date.UTC(2026, 0, 2, 3, 4, 5) };
const line = (step: number, values: Record<string, number> = { "actor/loss": step / 8 }): Metrics => ({
  step,
  time: RUN.started + step,
  values,
});

/** Returns the records of a wandb log, which is in LevelDB's format: blocks of 32 KiB, fragments with a CRC-32. */
function records(path: string): Uint8Array[] {
  const bytes = Deno.readFileSync(path), view = new DataView(bytes.buffer), out: Uint8Array[] = [];
  assertEquals([...bytes.subarray(0, 7)], [0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0]);
  let parts: number[] = [];
  for (let at = 7; at < bytes.length;) {
    const left = 32768 - at % 32768;
    if (left < 7) {
      at += left;
      continue;
    }
    const length = view.getUint16(at + 4, true), kind = bytes[at + 6]!;
    assertEquals(view.getUint32(at, true), crc32(bytes.subarray(at + 6, at + 7 + length)));
    parts.push(...bytes.subarray(at + 7, at + 7 + length));
    if (kind === 1 || kind === 4) [, parts] = [out.push(Uint8Array.from(parts)), []];
    at += 7 + length;
  }
  return out;
}

/** Returns the fields of a message: numbers or bytes. */
function fields(bytes: Uint8Array): [number, number | Uint8Array][] {
  const out: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag % 8 === 0) out.push([tag >> 3, varint()]);
    else {
      const length = varint();
      out.push([tag >> 3, bytes.subarray(at, at += length)]);
    }
  }
  return out;
}
const message = (bytes: Uint8Array, number: number) =>
  fields(bytes).filter(([own]) => own === number).map(([, value]) => value as Uint8Array);
const word = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** The rows of history of a wandb log. */
function history(path: string): Record<string, unknown>[] {
  return records(path).flatMap((record) => message(record, RECORD.history)).map((row) =>
    Object.fromEntries(message(row, 1).map((item) => [message(item, 2).map(word).join("."), JSON.parse(word(message(item, 16)[0]!))]))
  );
}

Deno.test("a wandb folder holds the run, its configuration, every number under its name, and tables", async () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/offline-run-20260102_030405-a1b2c3d4/run-a1b2c3d4.wandb`;
  {
    await using tracker = new WandbFolder(folder, { project: "boards", entity: "team", group: "g", tags: ["a", "b"] });
    await tracker.begin(RUN);
    await tracker.metrics([line(1), line(2, { "val/accuracy": 0.5, "actor/loss": -1e-9 })]);
    await tracker.answers({ step: 2, columns: ["response"], rows: [["<b>7</b>"], ["…"]] });
    await tracker.end("done");
  }
  const kinds = records(path).map((record) => fields(record)[1]![0]);
  assertEquals(kinds, [
    RECORD.header,
    RECORD.run,
    RECORD.metric,
    RECORD.history,
    RECORD.history,
    RECORD.summary,
    RECORD.files,
    RECORD.history,
    RECORD.exit,
  ]);
  assertEquals(records(path).map((record) => fields(record)[0]![1]), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const run = message(records(path)[1]!, RECORD.run)[0]!;
  assertEquals([1, 2, 3, 6, 8].map((number) => word(message(run, number)[0]!)), ["a1b2c3d4", "team", "boards", "g", "board"]);
  assertEquals(message(run, 10).map(word), ["a", "b"]);
  const config = message(message(run, 4)[0]!, 1).map((item) => [word(message(item, 1)[0]!), JSON.parse(word(message(item, 16)[0]!))]);
  assertEquals(Object.fromEntries(config), RUN.config);
  const summary = message(message(records(path)[5]!, RECORD.summary)[0]!, 1).map((item) => word(message(item, 2)[0]!));
  assertEquals(summary.toSorted(), ["actor/loss", "step", "val/accuracy"]);
  const [first, second, table] = history(path);
  assertEquals([first!["actor/loss"], first!["step"], first!["_step"]], [1 / 8, 1, 0]);
  assertEquals([second!["val/accuracy"], second!["actor/loss"], second!["_step"]], [0.5, -1e-9, 1]);
  assertEquals([table!["answers._type"], table!["answers.nrows"], table!["_step"]], ["table-file", 2, 2]);
  const file = `${folder}/offline-run-20260102_030405-a1b2c3d4/files/${table!["answers.path"]}`;
  assertEquals(JSON.parse(Deno.readTextFileSync(file)), { columns: ["response"], data: [["<b>7</b>"], ["…"]] });
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a wandb log is continued after its last complete record, across blocks, and without its end record", () => {
  const path = Deno.makeTempFileSync(), long = new Uint8Array(70_000).fill(7);
  {
    using log = WandbLog.open(path);
    log.append(RECORD.run, long);
    for (let i = 0; i < 900; i++) log.append(RECORD.history, new Uint8Array(i % 97));
    log.append(RECORD.exit, []);
  }
  assertEquals(records(path).length, 902);
  assertEquals(message(records(path)[0]!, RECORD.run)[0]!.length, long.length);
  Deno.truncateSync(path, Deno.statSync(path).size - 3); // the exit is torn
  {
    using log = WandbLog.open(path, { reopen: true });
    assertEquals([log.count(), log.count(RECORD.history)], [901, 900]);
    log.append(RECORD.exit, []);
  }
  using log = WandbLog.open(path, { reopen: true });
  assertEquals(log.count(), 901);
  log.append(RECORD.history, long);
  assertEquals(records(path).length, 902);
  Deno.removeSync(path);
});

/** A server like MLflow's, which records its requests. */
function fakeMlflow(fails: () => boolean = () => false) {
  const asked: { what: string; body: Record<string, unknown>; authorization: string | null }[] = [];
  let made: Record<string, unknown> | undefined;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const what = new URL(request.url).pathname.replace(/^\/api\/2\.0\/(mlflow\/)?/, ""), text = await request.text();
    if (fails()) return new Response("busy", { status: 503 });
    const body = text === "" ? {} : JSON.parse(text);
    asked.push({ what, body, authorization: request.headers.get("authorization") });
    if (what === "experiments/get-by-name") return Response.json({ error_code: "RESOURCE_DOES_NOT_EXIST" }, { status: 404 });
    if (what === "experiments/create") return Response.json({ experiment_id: "5" });
    if (what === "runs/search") return Response.json(made ? { runs: [{ info: made }] } : {});
    if (what !== "runs/create") return Response.json({});
    return Response.json({ run: { info: made = { run_id: "r1", artifact_uri: "mlflow-artifacts:/5/r1/artifacts" } } });
  });
  return { server, asked, uri: `http://127.0.0.1:${server.addr.port}/` };
}

Deno.test("an MLflow run is created once, and receives parameters, metrics in batches, tables and its end", async () => {
  const { server, asked, uri } = fakeMlflow();
  await using _ = server;
  for (const ending of ["stopped", "done"] as const) {
    await using tracker = new MlflowRun({ uri, experiment: "boards", credentials: { user: "u", password: "p" } });
    // deno-lint-ignore no-await-in-loop -- a run, and its resumption
    await tracker.begin(RUN);
    // deno-lint-ignore no-await-in-loop -- as above
    await tracker.metrics([line(3, Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`val/acc@${i}`, i])))]);
    // deno-lint-ignore no-await-in-loop -- as above
    await tracker.answers({ step: 3, columns: ["a"], rows: [["1"]] });
    // deno-lint-ignore no-await-in-loop -- as above
    await tracker.end(ending);
  }
  assertEquals(asked.filter(({ what }) => what === "runs/create").length, 1);
  const batches = asked.filter(({ what }) => what === "runs/log-batch").map(({ body }) => body);
  assertEquals(batches[0]!["params"], [{ key: "seed", value: "0" }, { key: "optim.lr", value: "0.0001" }]);
  const metrics = batches.slice(1, 3).map((body) => body["metrics"] as { key: string; value: number; step: number; timestamp: number }[]);
  assertEquals(metrics.map((list) => list.length), [1000, 500]);
  assertEquals(metrics[0]![7], { key: "val/acc_7", value: 7, timestamp: RUN.started + 3, step: 3 });
  assertEquals(asked.some(({ what }) => what === "mlflow-artifacts/artifacts/5/r1/artifacts/answers/step-3.json"), true);
  assertEquals(asked.filter(({ what }) => what === "runs/update").map(({ body }) => body["status"]), ["KILLED", "RUNNING", "FINISHED"]);
  assertEquals(asked.every(({ authorization }) => authorization === `Basic ${btoa("u:p")}`), true);
});

/** A tracker that records its calls, and fails on request. */
class Noted implements Tracker {
  readonly name = "noted";
  readonly told: string[] = [];
  fails = false;
  #tell(what: string): Promise<void> {
    if (this.fails) return Promise.reject(new Error("out of reach"));
    this.told.push(what);
    return Promise.resolve();
  }
  begin = () => this.#tell("begin");
  metrics = (lines: readonly Metrics[]) => this.#tell(lines.map(({ step, values }) => `${step}:${Object.keys(values)}`).join(" "));
  answers = ({ step, rows }: { step: number; rows: readonly unknown[] }) => this.#tell(`answers ${step} x${rows.length}`);
  end = (ending: Ending) => this.#tell(ending);
  [Symbol.asyncDispose] = () => Promise.resolve();
}

const write = (path: string, ...lines: unknown[]) =>
  Deno.writeTextFileSync(path, lines.map((value) => `${JSON.stringify(value)}\n`).join(""), { append: true });

Deno.test("an unreachable tracker misses nothing, is noted once, and a resumed run sends it each line once", async () => {
  const folder = Deno.makeTempDirSync(), tracker = new Noted(), notes: string[] = [];
  let position: FeedPosition = FEED_START;
  const follow = () => {
    const options = {
      answersEvery: 2,
      position,
      keep: (now: FeedPosition) => position = now,
      note: (text: string) => notes.push(text),
      interval: 5,
      longestPause: 10,
    };
    const feed = new TrackerFeed(tracker, { run: RUN, folder }, options);
    return { feed, followed: feed.follow() };
  };
  const metrics = `${folder}/metrics.jsonl`, rollouts = `${folder}/rollouts.jsonl`;
  tracker.fails = true;
  write(metrics, { step: 0, sft_step: 1, loss: 1 }, { step: 0, val: 1 }, { step: 1, a: 1 });
  write(rollouts, { step: 1, response: "x" }, { step: 1, response: "y" }, { step: 2, response: "z" });
  let { feed, followed } = follow();
  await new Promise((resolve) => setTimeout(resolve, 60));
  assertEquals([tracker.told, notes.length], [[], 1]);
  assertStringIncludes(notes[0]!, "out of reach; the run goes on");
  tracker.fails = false;
  write(metrics, { step: 2, a: 2, text: "left out", bad: null });
  feed.end("stopped", 5000);
  assertEquals(await followed, true);
  assertEquals(tracker.told, ["begin", "1:loss 0:val 1:a 2:a", "answers 1 x2", "answers 2 x1", "stopped"]);
  assertStringIncludes(notes[1]!, "is back");
  // The resumed run continues from step 1: it writes step 2 again, then an evaluation, and step 3.
  tracker.told.length = 0;
  const kept = Deno.readTextFileSync(metrics).split("\n").slice(0, 3).join("\n");
  Deno.removeSync(metrics);
  Deno.writeTextFileSync(metrics, `${kept}\n`);
  write(metrics, { step: 2, a: 2 }, { step: 2, val: 2 }, { step: 3, a: 3 });
  ({ feed, followed } = follow());
  feed.end("done", 5000);
  assertEquals(await followed, true);
  assertEquals(tracker.told, ["begin", "2:val 3:a", "done"]);
  tracker.fails = true;
  ({ feed, followed } = follow());
  const start = performance.now();
  feed.end("done", 100);
  assertEquals(await followed, false);
  assert(performance.now() - start < 2000, "the end waits for a stated time only");
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("lines and answers become numbers and tables", () => {
  assertEquals(metricsOf({ step: 0, sft_step: 9, phase: "sft", loss: 2, time: "2026-01-01T00:00:00.000Z" }), {
    step: 9,
    time: Date.UTC(2026, 0, 1),
    values: { loss: 2 },
  });
  const table = tableOf(4, [{
    prompt_id: "p",
    sample: 0,
    prompt: "q",
    truth: 7,
    response: "a 7",
    tokens: ["a", " 7"],
    anchor: [0, 1],
    reward: { overall: 1 },
  }]);
  assertEquals(table.rows, [[4, "p", 0, "q", "7", "a 7", 1, 2, " 7"]]);
});

Deno.test("a run with a wandb folder and an MLflow server that does not answer has the numbers of one without, and ends", () =>
  withRunDir(async (folder) => {
    using silent = Deno.listen({ port: 0, hostname: "127.0.0.1" }); // accepts connections and never answers
    const mlflow = { use: "mlflow", uri: `http://127.0.0.1:${(silent.addr as Deno.NetAddr).port}` };
    const sets = [...LITTLE, `runDir=${folder}`, "logging.trackers=[]", "name=without"], notes: string[] = [];
    const resolved = sets.map((set) =>
      set.replace("logging.trackers=[]", `logging.trackers=${JSON.stringify(["wandb", mlflow])}`).replace("without", "with")
    );
    await train({ sets });
    const { state, run } = await train({ sets: resolved }, { onEvent: (event) => event.kind === "note" && notes.push(event.text) });
    assertEquals(state, "done");
    assertEquals(logged(run), logged(`${folder}/without`));
    const [sync] = [...Deno.readDirSync(`${run}/wandb`)].map(({ name }) => name);
    const { id } = JSON.parse(Deno.readTextFileSync(`${run}/trackers.json`)), rows = history(`${run}/wandb/${sync}/run-${id}.wandb`);
    const numbers = rows.filter((row) => "actor/loss" in row).map((row) => [row["step"], row["actor/loss"]]);
    assertEquals(numbers, logged(run).filter((row) => "actor/loss" in row).map((row) => [row["step"], row["actor/loss"]]));
    assertEquals(rows.some((row) => row["answers._type"] === "table-file"), true);
  }));
