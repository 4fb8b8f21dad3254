import { createHash } from "node:crypto";
import { field, integer, text } from "../run/protobuf.ts";
import type { AnswerTable, Ending, Metrics, TrackedRun, Tracker } from "./tracker.ts";
import { configItem, historyItem, RECORD, WandbLog } from "./wandb_log.ts";

/** Options of {@linkcode WandbFolder}. */
export interface WandbOptions {
  /** The project that the run belongs to. Default "kedge". */
  readonly project?: string | undefined;
  /** The user or team. Default: the owner of the key with which the folder is uploaded. */
  readonly entity?: string | undefined;
  /** Runs of a group are shown together. */
  readonly group?: string | undefined;
  /** Words to find the run by. */
  readonly tags?: readonly string[] | undefined;
}

/**
 * A run for Weights & Biases, in a folder that `wandb sync FOLDER` uploads. Kedge itself sends nothing. A resumed run continues in the
 * same folder.
 *
 * @example
 * ```ts
 * import { WandbFolder } from "./wandb.ts";
 * import { assert } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * {
 *   await using tracker = new WandbFolder(folder, { project: "boards" });
 *   await tracker.begin({ name: "board", id: "a1b2c3d4", config: { seed: 0 }, started: Date.UTC(2026, 0, 1) });
 *   await tracker.metrics([{ step: 1, time: Date.UTC(2026, 0, 1, 1), values: { "actor/loss": 0.5 } }]);
 *   await tracker.end("done");
 * }
 * assert(Deno.statSync(`${folder}/offline-run-20260101_000000-a1b2c3d4/run-a1b2c3d4.wandb`).size > 100);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class WandbFolder implements Tracker {
  readonly name = "wandb";
  readonly #parent: string;
  readonly #options: WandbOptions;
  #log: WandbLog | undefined;
  #folder = "";
  #started = 0;

  /** Writes nothing yet. @param parent The folder in which the run's folder is made, as `runs/NAME/wandb`. */
  constructor(parent: string, options: WandbOptions = {}) {
    this.#parent = parent;
    this.#options = options;
  }

  begin({ name, id, config, started }: TrackedRun): Promise<void> {
    const stamp = new Date(started).toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15);
    this.#folder = `${this.#parent}/offline-run-${stamp}-${id}`;
    this.#started = started;
    Deno.mkdirSync(`${this.#folder}/files/media/table`, { recursive: true });
    this.#log = WandbLog.open(`${this.#folder}/run-${id}.wandb`, { reopen: true });
    if (this.#log.count() > 0) return Promise.resolve();
    // HeaderRecord: 1 version_info { 1 producer, 2 min_consumer }.
    this.#log.append(RECORD.header, field(1, [...text(1, "kedge"), ...text(2, "0.13.0")]));
    // RunRecord: 1 run_id, 2 entity, 3 project, 4 config { 1 update }, 6 run_group, 8 display_name, 10 tags, 17 start_time { 1 seconds, 2 nanos }.
    const { project = "kedge", entity, group, tags = [] } = this.#options, updates = Object.entries(config);
    this.#log.append(RECORD.run, [
      ...text(1, id),
      ...entity === undefined ? [] : text(2, entity),
      ...text(3, project),
      ...field(4, updates.flatMap(([key, value]) => field(1, configItem(key, value)))),
      ...group === undefined ? [] : text(6, group),
      ...text(8, name),
      ...tags.flatMap((word) => text(10, word)),
      ...field(17, [...integer(1, Math.floor(started / 1000)), ...integer(2, started % 1000 * 1_000_000)]),
    ]);
    // MetricRecord: 2 glob_name, 4 step_metric: the axis of every curve is the step of the run, not the line's number.
    this.#log.append(RECORD.metric, [...text(2, "*"), ...text(4, "step")]);
    return Promise.resolve();
  }

  metrics(lines: readonly Metrics[]): Promise<void> {
    for (const { step, time, values } of lines) this.#history(time, { step, ...values });
    // SummaryRecord: 1 update: the newest value of each metric, which tables of runs show.
    const newest = Object.assign({}, ...lines.map(({ step, values }) => ({ step, ...values }))) as Record<string, number>;
    this.#open.append(RECORD.summary, Object.entries(newest).flatMap(([name, value]) => field(1, historyItem([name], value))));
    return Promise.resolve();
  }

  answers({ step, columns, rows }: AnswerTable): Promise<void> {
    const json = JSON.stringify({ columns, data: rows }), sha256 = createHash("sha256").update(json).digest("hex");
    const path = `media/table/answers_${step}_${sha256.slice(0, 20)}.table.json`;
    Deno.writeTextFileSync(`${this.#folder}/files/${path}`, json);
    // FilesRecord: 1 files { 1 path, 2 policy (0: now) }.
    this.#open.append(RECORD.files, field(1, text(1, path)));
    const size = new TextEncoder().encode(json).length;
    const table = { _type: "table-file", path, sha256, size, ncols: columns.length, nrows: rows.length };
    this.#history(Date.now(), { step, answers: table });
    return Promise.resolve();
  }

  end(ending: Ending): Promise<void> {
    // RunExitRecord: 1 exit_code, 2 runtime in seconds.
    const code = { done: 0, stopped: 130, failed: 1 }[ending], runtime = Math.max(0, Math.floor((Date.now() - this.#started) / 1000));
    this.#open.append(RECORD.exit, [...code === 0 ? [] : integer(1, code), ...integer(2, runtime)]);
    return Promise.resolve();
  }

  get #open(): WandbLog {
    if (!this.#log) throw new TypeError("Cannot write: the tracker has not begun");
    return this.#log;
  }

  /** Returns a HistoryRecord: 1 item, 2 step { 1 num }. Its step is the number of the record, which must rise. */
  #history(time: number, values: Readonly<Record<string, unknown>>): void {
    const log = this.#open, number = log.count(RECORD.history);
    const stamps = { _step: number, _timestamp: time / 1000, _runtime: Math.max(0, (time - this.#started) / 1000) };
    const items = Object.entries({ ...values, ...stamps }).flatMap(([name, value]) =>
      typeof value === "object" && value !== null
        ? Object.entries(value).flatMap(([part, inner]) => field(1, historyItem([name, part], inner)))
        : field(1, historyItem([name], value))
    );
    log.append(RECORD.history, [...items, ...field(2, number === 0 ? [] : integer(1, number))]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
    return Promise.resolve();
  }
}
