import { Checkpoints } from "../../actors/run/checkpoints.ts";
import type { CheckpointInfo, StepRollouts } from "../run_control.ts";
import { type LinePlace, LineReader } from "./line_reader.ts";

/** Lines of metrics that are held; older ones stay in the file. */
const HELD = 50_000;

type Fields = Readonly<Record<string, unknown>>;

/** What a run has written down, read as it grows. */
export class RunFiles {
  readonly #run: string;
  readonly #metrics: LineReader;
  readonly #rollouts: LineReader;
  /** Texts of lines: a tenth of what they take as objects. */
  #lines: { step: number; text: string }[] = [];
  readonly #places = new Map<number, LinePlace[]>();

  /** @param run The run's directory; it need not be there yet. */
  constructor(run: string) {
    this.#run = run;
    const decoder = new TextDecoder();
    this.#metrics = new LineReader(`${run}/metrics.jsonl`, {
      take: (line) => {
        const text = decoder.decode(line), step = stepOf(text);
        if (step === undefined) return;
        this.#lines.push({ step, text });
        if (this.#lines.length > 1.1 * HELD) this.#lines = this.#lines.slice(-HELD);
      },
      restart: () => this.#lines = [],
    });
    this.#rollouts = new LineReader(`${run}/rollouts.jsonl`, {
      take: (line, place) => {
        const step = stepOf(decoder.decode(line.subarray(0, 40)));
        if (step === undefined) return;
        const places = this.#places.get(step) ?? [];
        places.push(place);
        this.#places.set(step, places);
      },
      restart: () => this.#places.clear(),
    });
  }

  /** Lines of metrics.jsonl of steps above `since`: the newest, `limit` at most. */
  async metrics({ since, limit }: { since: number; limit: number }): Promise<Fields[]> {
    await this.#metrics.look();
    return this.#lines.filter(({ step }) => step > since).slice(-limit).map(({ text }) => JSON.parse(text) as Fields);
  }

  /** Answers of a step; of the last one where none is named. None where there is no such step. */
  async rollouts(wanted?: number): Promise<StepRollouts> {
    await this.#rollouts.look();
    const steps = [...this.#places.keys()].sort((a, b) => a - b), step = wanted ?? steps.at(-1) ?? null;
    const places = this.#places.get(step ?? -1) ?? [];
    const lines = await Promise.all(places.map((place) => this.#rollouts.line(place)));
    const samples = lines.flatMap((line) => line ? [JSON.parse(new TextDecoder().decode(line)) as Fields] : []);
    return { step, steps, samples };
  }

  /** Checkpoints by rising step. */
  checkpoints(): CheckpointInfo[] {
    const all = new Checkpoints(this.#run, { saveLimit: 1, saveBest: false }).list();
    const best = Math.max(...all.map(({ score }) => score ?? -Infinity));
    return all.map(({ step, path, score }) => ({ step, path, score: score ?? null, best: score !== undefined && score === best }));
  }
}

/** The step of a line, which begins with it, or has it further on; undefined for what is no line of a run. */
function stepOf(text: string): number | undefined {
  const step = /^\{"step":(\d+)[,}]/.exec(text)?.[1];
  return step === undefined ? undefined : Number(step);
}
