import { Checkpoints } from "../../actors/run/checkpoints.ts";
import type { CheckpointInfo, StepRollouts } from "../run_control.ts";
import { type LinePlace, LineReader } from "./line_reader.ts";

/** Lines of metrics that are held; older ones stay in the file. */
const HELD = 50_000;
/** Of those, the newest that are held as objects too, which take ten times as much. */
const PARSED = 2000;
/** Steps whose answers are held. */
const STEPS = 4;

type Fields = Readonly<Record<string, unknown>>;

/**
 * What a run has written down, read as it grows. Files are looked at when something was written to them, as {@linkcode RunFiles.changed} is told, so that however many
 * ask, the disk and the threads that read it are left alone.
 */
export class RunFiles {
  readonly #run: string;
  readonly #metrics: LineReader;
  readonly #rollouts: LineReader;
  #lines: { readonly step: number; readonly text: string; value?: Fields | undefined }[] = [];
  readonly #places = new Map<number, LinePlace>();
  /** By step, the newest last. */
  readonly #samples = new Map<number, Promise<Fields[]>>();
  #checkpoints: CheckpointInfo[] | undefined;
  #isNew = true;
  #looking: Promise<unknown> = Promise.resolve();

  /** @param run The run's directory; it need not be there yet. */
  constructor(run: string) {
    this.#run = run;
    const decoder = new TextDecoder();
    this.#metrics = new LineReader(`${run}/metrics.jsonl`, {
      take: (line) => {
        const text = decoder.decode(line), step = stepOf(text);
        if (step === undefined) return;
        this.#lines.push({ step, text });
        const old = this.#lines.at(-PARSED - 1);
        if (old) old.value = undefined;
        if (this.#lines.length > 1.1 * HELD) this.#lines = this.#lines.slice(-HELD);
      },
      restart: () => this.#lines = [],
    });
    this.#rollouts = new LineReader(`${run}/rollouts.jsonl`, {
      take: (line, { offset, length }) => {
        const step = stepOf(decoder.decode(line.subarray(0, 40)));
        if (step === undefined) return;
        // The lines of a step stand behind one another.
        const start = this.#places.get(step)?.offset ?? offset;
        this.#places.set(step, { offset: start, length: offset + length - start });
        this.#samples.delete(step);
      },
      restart: () => {
        this.#places.clear();
        this.#samples.clear();
      },
    });
  }

  /** Something was written. */
  changed(): void {
    this.#isNew = true;
    this.#checkpoints = undefined;
  }

  /** Reads what is new; whoever comes meanwhile waits for the same. */
  #look(): Promise<unknown> {
    if (!this.#isNew) return this.#looking;
    this.#isNew = false;
    this.#looking = Promise.all([this.#metrics.look(), this.#rollouts.look()]);
    this.#looking.catch(() => this.#isNew = true); // told to whoever waits
    return this.#looking;
  }

  /** Lines of metrics.jsonl of steps above `since`: the newest, `limit` at most. */
  async metrics({ since, limit }: { since: number; limit: number }): Promise<Fields[]> {
    await this.#look();
    return this.#lines.filter(({ step }) => step > since).slice(-limit).map((line, i, all) => {
      if (line.value) return line.value;
      const value = JSON.parse(line.text) as Fields;
      if (i >= all.length - PARSED) line.value = value;
      return value;
    });
  }

  /** Answers of a step; of the last one where none is named. None where there is no such step. */
  async rollouts(wanted?: number): Promise<StepRollouts> {
    await this.#look();
    const steps = [...this.#places.keys()].sort((a, b) => a - b), step = wanted ?? steps.at(-1) ?? null;
    return { step, steps, samples: step === null ? [] : await this.#samplesOf(step) };
  }

  #samplesOf(step: number): Promise<Fields[]> {
    const known = this.#samples.get(step), place = this.#places.get(step);
    if (known) return known;
    if (!place) return Promise.resolve([]);
    const read = this.#rollouts.line(place).then((bytes) => {
      if (!bytes) this.#samples.delete(step); // the file was replaced meanwhile
      return bytes ? new TextDecoder().decode(bytes).split("\n").map((text) => JSON.parse(text) as Fields) : [];
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

/** The step of a line, which begins with it; undefined for what is no line of a run. */
function stepOf(text: string): number | undefined {
  const step = /^\{"step":(\d+)[,}]/.exec(text)?.[1];
  return step === undefined ? undefined : Number(step);
}
