import { Checkpoints } from "../../actors/run/checkpoints.ts";
import type { CheckpointInfo, StepRollouts } from "../../actors/run_control.ts";
import { leadingStep } from "../../actors/run/file_bytes.ts";
import { type LinePosition, LineReader } from "../../actors/run/line_reader.ts";

/** The maximum lines of metrics, and their characters, that are held in memory. Older lines are only in the file. */
const HELD = 50_000, HELD_LENGTH = 32 * 2 ** 20;
/** The number of newest lines that are also held as objects, which take ten times as much memory. */
const PARSED = 2000;
/** The number of steps whose answers are held. */
const STEPS = 4;
/** The number of newest steps whose answers can be requested. */
const KNOWN_STEPS = 50_000;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a run's files as they grow. Files are read only after {@linkcode RunFiles.changed} was called, so that many requests do not cause
 * many reads.
 */
export class RunFiles {
  readonly #run: string;
  readonly #metrics: LineReader;
  readonly #rollouts: LineReader;
  #length = 0;
  #lines: { readonly step: number; readonly text: string; value?: Fields | undefined }[] = [];
  readonly #positions = new Map<number, LinePosition>();
  /** The numbers of the files that the positions refer to. */
  #kept: number[] = [];
  /** The answers by step, the newest last. */
  readonly #samples = new Map<number, Promise<Fields[]>>();
  #checkpoints: CheckpointInfo[] | undefined;
  #isNew = true;
  #reading: Promise<unknown> = Promise.resolve();

  /** @param run The run's directory. It need not exist yet. */
  constructor(run: string) {
    this.#run = run;
    const decoder = new TextDecoder();
    this.#metrics = new LineReader(`${run}/metrics.jsonl`, {
      take: (line) => {
        const step = leadingStep(line);
        if (step === undefined) return;
        const text = decoder.decode(line);
        this.#lines.push({ step, text });
        const old = this.#lines.at(-PARSED - 1);
        if (old) old.value = undefined;
        this.#length += text.length;
        if (this.#lines.length > 1.1 * HELD || this.#length > 1.1 * HELD_LENGTH) this.#drop();
      },
      restart: () => {
        this.#lines = [];
        this.#length = 0;
      },
    });
    this.#rollouts = new LineReader(`${run}/rollouts.jsonl`, {
      take: (line, { file, offset, length }) => {
        const step = leadingStep(line);
        if (step === undefined) return;
        // The lines of a step are adjacent, in one file.
        const lines = this.#positions.get(step), start = lines?.file === file ? lines.offset : offset;
        this.#positions.delete(step);
        this.#positions.set(step, { file, offset: start, length: offset + length - start });
        this.#samples.delete(step);
        if (!this.#kept.includes(file)) this.#forget(file);
        if (this.#positions.size > KNOWN_STEPS) this.#positions.delete(this.#positions.keys().next().value!);
      },
      restart: () => {
        this.#positions.clear();
        this.#samples.clear();
        this.#kept = [];
      },
    });
  }

  /** Drops the oldest lines. */
  #drop(): void {
    let from = 0;
    while (this.#lines.length - from > HELD || this.#length > HELD_LENGTH) this.#length -= this.#lines[from++]!.text.length;
    this.#lines = this.#lines.slice(from);
  }

  /** Notes that a new file has begun, so that all files before the previous one are gone. */
  #forget(file: number): void {
    this.#kept = [...this.#kept.slice(-1), file];
    for (const [step, position] of this.#positions) {
      if (this.#kept.includes(position.file)) continue;
      this.#positions.delete(step);
      this.#samples.delete(step);
    }
  }

  /** Notes that something was written. */
  changed(): void {
    this.#isNew = true;
    this.#checkpoints = undefined;
  }

  /** Reads new lines. Concurrent calls wait for the same read. */
  #readNew(): Promise<unknown> {
    if (!this.#isNew) return this.#reading;
    this.#isNew = false;
    this.#reading = Promise.all([this.#metrics.readNew(), this.#rollouts.readNew()]);
    this.#reading.catch(() => this.#isNew = true); // the waiting callers get the error
    return this.#reading;
  }

  /** Returns lines of metrics.jsonl for steps above `since`: the newest, at most `limit`. */
  async metrics({ since, limit }: { since: number; limit: number }): Promise<Fields[]> {
    await this.#readNew();
    return this.#lines.filter(({ step }) => step > since).slice(-limit).map((line, i, all) => {
      if (line.value) return line.value;
      const value = JSON.parse(line.text) as Fields;
      if (i >= all.length - PARSED) line.value = value;
      return value;
    });
  }

  /** Returns the answers of a step, by default of the last one. There are none if there is no such step. */
  async rollouts(wanted?: number): Promise<StepRollouts> {
    await this.#readNew();
    const steps = [...this.#positions.keys()].sort((a, b) => a - b), step = wanted ?? steps.at(-1) ?? null;
    return { step, steps, samples: step === null ? [] : await this.#samplesOf(step) };
  }

  #samplesOf(step: number): Promise<Fields[]> {
    const held = this.#samples.get(step), position = this.#positions.get(step);
    if (held) return held;
    if (!position) return Promise.resolve([]);
    const read = this.#rollouts.line(position).then((bytes) => {
      const samples = bytes && samplesOf(bytes, step);
      if (samples) return samples;
      this.#samples.delete(step);
      if (this.#positions.get(step) === position) this.#positions.delete(step);
      return [];
    });
    read.catch(() => this.#samples.delete(step));
    this.#samples.set(step, read);
    if (this.#samples.size > STEPS) this.#samples.delete(this.#samples.keys().next().value!);
    return read;
  }

  /** Returns the checkpoints in ascending order of steps. */
  checkpoints(): CheckpointInfo[] {
    return this.#checkpoints ??= this.#readCheckpoints();
  }

  #readCheckpoints(): CheckpointInfo[] {
    const all = new Checkpoints(this.#run, { saveLimit: 1, saveBest: false }).list();
    const best = Math.max(...all.map(({ score }) => score ?? -Infinity));
    return all.map(({ step, path, score }) => ({ step, path, score: score ?? null, best: score !== undefined && score === best }));
  }
}

/** Parses the lines of a step; undefined if they belong to another step, because the file was rotated or truncated meanwhile. */
function samplesOf(bytes: Uint8Array, step: number): Fields[] | undefined {
  try {
    const lines = new TextDecoder().decode(bytes).split("\n").map((text) => JSON.parse(text) as Fields);
    return lines.every((line) => line["step"] === step) ? lines : undefined;
  } catch {
    return undefined;
  }
}
