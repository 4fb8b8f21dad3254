import { Tail } from "./tail.ts";
import type { AnswerTable, Ending, Metrics, TrackedRun, Tracker } from "./tracker.ts";

/** How far a tracker has come: the lines of metrics up to a step, and so many of that step; the answers up to a step. */
export interface Place {
  readonly step: number;
  readonly lines: number;
  readonly answers: number;
}

/** Where a tracker stands that has been told nothing. */
export const NOWHERE: Place = { step: -1, lines: 0, answers: -1 };

/** Options of {@linkcode Feed}. */
export interface FeedOptions {
  /** Steps from one table of answers to the next; 0: no tables. */
  readonly answersEvery: number;
  /** Where the tracker stood before. */
  readonly place: Place;
  /** Is told where it stands, after each of its calls. */
  readonly keep: (place: Place) => void;
  /** Is told of trouble: once when it begins, once when it is over. */
  readonly note: (text: string) => void;
  /** Milliseconds between two looks. Default 2000. */
  readonly interval?: number;
  /** The longest pause after calls that failed, in milliseconds. Default 60,000. */
  readonly longestPause?: number;
}

/**
 * Tells one tracker what a run writes down, as it is written: it reads the run's files and never asks the run. A line is told once, also over the run's resumptions:
 * the lines that a resumed run writes again are those of before. A tracker that fails is asked again, at growing intervals; nothing is kept in memory for it, since
 * the files hold what it has missed.
 */
export class Feed {
  readonly #tracker: Tracker;
  readonly #run: TrackedRun;
  readonly #options: FeedOptions;
  readonly #metrics: Tail;
  readonly #rollouts: Tail;
  /** Ends the wait between two looks. */
  #wake: (() => void) | undefined;
  #place: Place;
  /** Lines read so far of the step that was read last. */
  #read = { step: -1, lines: 0 };
  #pending: { lines: Metrics[]; place: Place } | undefined;
  #table: { step: number; rows: Record<string, unknown>[] } | undefined;
  #tables: AnswerTable[] = [];
  #begun = false;
  #failures = 0;
  #ending: Ending | undefined;
  readonly #late = Promise.withResolvers<boolean>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether it has given up, or is done. */
  #given = false;

  /** Begins with {@linkcode Feed.follow}. @param folder The run's directory. */
  constructor(tracker: Tracker, given: { run: TrackedRun; folder: string }, options: FeedOptions) {
    this.#tracker = tracker;
    this.#run = given.run;
    this.#options = options;
    this.#place = options.place;
    this.#metrics = new Tail(`${given.folder}/metrics.jsonl`);
    this.#rollouts = new Tail(`${given.folder}/rollouts.jsonl`);
  }

  /** Follows the run until {@linkcode Feed.end}. Never throws: what fails is noted. @returns Whether everything was told. */
  async follow(): Promise<boolean> {
    const told = await Promise.race([this.#follow(), this.#late.promise]);
    this.#given = true;
    clearTimeout(this.#timer);
    this.#wake?.();
    return told;
  }

  async #follow(): Promise<boolean> {
    while (!this.#given) {
      const ending = this.#ending;
      // deno-lint-ignore no-await-in-loop -- one look after the other
      const done = await this.#look(ending);
      if (done && ending !== undefined) return true;
      if (done && this.#ending !== undefined) continue; // what was written before the end is read once more
      // deno-lint-ignore no-await-in-loop -- as above
      await this.#wait(ending === undefined ? this.#pause : Math.min(this.#pause, 500));
    }
    return false;
  }

  /**
   * Has it tell what is left, and the end.
   *
   * @param limit Milliseconds after which it gives up; a fifth of that where the tracker was out of reach before.
   */
  end(ending: Ending, limit: number): void {
    this.#ending = ending;
    this.#timer = setTimeout(() => this.#late.resolve(false), this.#begun && this.#failures === 0 ? limit : limit / 5);
    this.#wake?.();
  }

  get #pause(): number {
    const { interval = 2000, longestPause = 60_000 } = this.#options;
    return Math.min(longestPause, interval * 2 ** Math.min(this.#failures, 10));
  }

  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Tells what is new. @returns Whether nothing is left. */
  async #look(ending: Ending | undefined): Promise<boolean> {
    const { note } = this.#options;
    try {
      if (!this.#begun) {
        await this.#tracker.begin(this.#run);
        this.#begun = true;
      }
      await this.#tellMetrics();
      await this.#tellAnswers(ending !== undefined);
      if (ending !== undefined) await this.#tracker.end(ending);
      if (this.#failures > 0) note(`The tracker ${this.#tracker.name} is back`);
      this.#failures = 0;
      return true;
    } catch (error) {
      if (this.#failures++ === 0) {
        note(`The tracker ${this.#tracker.name} cannot be told: ${(error as Error).message}; the run goes on, and it is tried again`);
      }
      return false;
    }
  }

  async #tellMetrics(): Promise<void> {
    for (;;) {
      const next = this.#pending ??= this.#newLines();
      if (!next) return;
      // deno-lint-ignore no-await-in-loop -- in their order
      if (next.lines.length > 0) await this.#tracker.metrics(next.lines);
      this.#pending = undefined;
      this.#stand(next.place);
    }
  }

  /** The next lines that it was not told, and where it stands behind them; undefined where the file has not grown. */
  #newLines(): { lines: Metrics[]; place: Place } | undefined {
    const { begun, lines } = this.#metrics.read();
    if (begun) this.#read = { step: -1, lines: 0 };
    if (lines.length === 0) return undefined;
    const out: Metrics[] = [];
    let place = this.#place;
    for (const line of lines) {
      const step = Number(line["step"]);
      this.#read = step === this.#read.step ? { step, lines: this.#read.lines + 1 } : { step, lines: 1 };
      if (step < place.step || (step === place.step && this.#read.lines <= place.lines)) continue;
      place = { ...place, ...this.#read };
      out.push(metricsOf(line));
    }
    return { lines: out, place };
  }

  async #tellAnswers(last: boolean): Promise<void> {
    if (this.#options.answersEvery === 0) return;
    for (;;) {
      for (let table = this.#tables[0]; table; table = this.#tables[0]) {
        // deno-lint-ignore no-await-in-loop -- in their order
        await this.#tracker.answers(table);
        this.#tables.shift();
        this.#stand({ ...this.#place, answers: table.step });
      }
      const { lines } = this.#rollouts.read();
      for (const line of lines) this.#addAnswer(line);
      if (lines.length > 0) continue;
      if (last) this.#closeTable();
      if (this.#tables.length === 0) return;
    }
  }

  /** The answers of a step lie behind one another; the table is whole when the next step begins. */
  #addAnswer(line: Record<string, unknown>): void {
    const step = Number(line["step"]), due = step % this.#options.answersEvery === 0 || step === 1;
    if (this.#table && this.#table.step !== step) this.#closeTable();
    if (!due || step <= this.#place.answers) return;
    (this.#table ??= { step, rows: [] }).rows.push(line);
  }

  #closeTable(): void {
    if (this.#table) this.#tables.push(tableOf(this.#table.step, this.#table.rows));
    this.#table = undefined;
  }

  #stand(place: Place): void {
    this.#place = place;
    this.#options.keep(place);
  }
}

/** The numbers of a line of metrics.jsonl. */
export function metricsOf(line: Readonly<Record<string, unknown>>): Metrics {
  const { step, time, sft_step: supervised, ...rest } = line;
  const values = Object.fromEntries(Object.entries(rest).filter(([, value]) => typeof value === "number" && Number.isFinite(value)));
  const when = Date.parse(String(time));
  return {
    step: Number(supervised ?? step),
    time: Number.isFinite(when) ? when : Date.now(),
    values: values as Record<string, number>,
  };
}

const COLUMNS = ["step", "prompt_id", "sample", "prompt", "truth", "response", "reward", "tokens", "anchors"] as const;

/** Answers of rollouts.jsonl as a table; in `anchors` stand the texts of the anchor tokens. */
export function tableOf(step: number, answers: readonly Readonly<Record<string, unknown>>[]): AnswerTable {
  const rows = answers.map((answer) => {
    const tokens = (answer["tokens"] ?? []) as string[], anchor = (answer["anchor"] ?? []) as number[];
    const truth = answer["truth"], text = (value: unknown) => typeof value === "string" ? value : JSON.stringify(value) ?? null;
    return [
      step,
      text(answer["prompt_id"]),
      Number(answer["sample"]),
      text(answer["prompt"]),
      text(truth),
      text(answer["response"]),
      (answer["reward"] as { overall?: number } | undefined)?.overall ?? null,
      tokens.length,
      tokens.filter((_, i) => anchor[i] === 1).join(" "),
    ];
  });
  return { step, columns: COLUMNS, rows };
}
