import { Checkpoints } from "../../actors/run/checkpoints.ts";
import type { CheckpointInfo, StepRollouts } from "../../actors/run_control.ts";
import { leadingStep } from "../../actors/run/file_bytes.ts";
import { type LinePosition, LineReader } from "../../actors/run/line_reader.ts";

/** Lines of metrics that are held, and characters of them; older ones stay in the file. */
const HELD = 50_000, HELD_LENGTH = 32 * 2 ** 20;
/** Of those, the newest that are held as objects too, which take ten times as much. */
const PARSED = 2000;
/** Steps whose answers are held. */
const STEPS = 4;
/** Steps whose answers can be asked for: the newest. */
const KNOWN_STEPS = 50_000;

type Fields = Readonly<Record<string, unknown>>;

/**
 * What a run has written down, read as it grows. Files are looked at when something was written to them, as {@linkcode RunFiles.changed} is told, so that however many
 * ask, the disk and the threads that read it are left alone.
 */
export class RunFiles {
  readonly #run: string;
  readonly #metrics: LineReader;
  readonly #rollouts: LineReader;
  #length = 0;
  #lines: { readonly step: number; readonly text: string; value?: Fields | undefined }[] = [];
  readonly #positions = new Map<number, LinePosition>();
  /** The files that the positions are in. */
  #kept: number[] = [];
  /** By step, the newest last. */
  readonly #samples = new Map<number, Promise<Fields[]>>();
  #checkpoints: CheckpointInfo[] | undefined;
  #isNew = true;
  #reading: Promise<unknown> = Promise.resolve();

  /** @param run The run's directory; it need not be there yet. */
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
        // The lines of a step stand behind one another, in one file.
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

  /** Lets go of the oldest lines. */
  #drop(): void {
    let from = 0;
    while (this.#lines.length - from > HELD || this.#length > HELD_LENGTH) this.#length -= this.#lines[from++]!.text.length;
    this.#lines = this.#lines.slice(from);
  }

  /** A file has begun: those before the last one are gone. */
  #forget(file: number): void {
    this.#kept = [...this.#kept.slice(-1), file];
    for (const [step, position] of this.#positions) {
      if (this.#kept.includes(position.file)) continue;
      this.#positions.delete(step);
      this.#samples.delete(step);
    }
  }

  /** Something was written. */
  changed(): void {
    this.#isNew = true;
    this.#checkpoints = undefined;
  }

  /** Reads what is new; whoever comes meanwhile waits for the same. */
  #readNew(): Promise<unknown> {
    if (!this.#isNew) return this.#reading;
    this.#isNew = false;
    this.#reading = Promise.all([this.#metrics.readNew(), this.#rollouts.readNew()]);
    this.#reading.catch(() => this.#isNew = true); // told to whoever waits
    return this.#reading;
  }

  /** Lines of metrics.jsonl of steps above `since`: the newest, `limit` at most. */
  async metrics({ since, limit }: { since: number; limit: number }): Promise<Fields[]> {
    await this.#readNew();
    return this.#lines.filter(({ step }) => step > since).slice(-limit).map((line, i, all) => {
      if (line.value) return line.value;
      const value = JSON.parse(line.text) as Fields;
      if (i >= all.length - PARSED) line.value = value;
      return value;
    });
  }

  /** Answers of a step; of the last one where none is named. None where there is no such step. */
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

  /** Checkpoints by rising step. */
  checkpoints(): CheckpointInfo[] {
    return this.#checkpoints ??= this.#readCheckpoints();
  }

  #readCheckpoints(): CheckpointInfo[] {
    const all = new Checkpoints(this.#run, { saveLimit: 1, saveBest: false }).list();
    const best = Math.max(...all.map(({ score }) => score ?? -Infinity));
    return all.map(({ step, path, score }) => ({ step, path, score: score ?? null, best: score !== undefined && score === best }));
  }
}

/** The lines of a step; undefined where they are others: the file has made way for a newer one, or was cut meanwhile. */
function samplesOf(bytes: Uint8Array, step: number): Fields[] | undefined {
  try {
    const lines = new TextDecoder().decode(bytes).split("\n").map((text) => JSON.parse(text) as Fields);
    return lines.every((line) => line["step"] === step) ? lines : undefined;
  } catch {
    return undefined;
  }
}
