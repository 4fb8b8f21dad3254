import { leadingStep } from "../run/file_bytes.ts";
import { type LinePosition, LineReader } from "../run/line_reader.ts";
import type { AnswerTable, Ending, Metrics, TrackedRun, Tracker } from "./tracker.ts";

/** How much a tracker has received: the metrics up to line `lines` of step `step`, and the answers up to step `answers`. */
export interface FeedPosition {
  readonly step: number;
  readonly lines: number;
  readonly answers: number;
}

/** The position of a tracker that has received nothing. */
export const FEED_START: FeedPosition = { step: -1, lines: 0, answers: -1 };

/** Options of {@linkcode TrackerFeed}. */
export interface TrackerFeedOptions {
  /** Steps from one table of answers to the next; 0: no tables. */
  readonly answersEvery: number;
  /** How much the tracker has received already. */
  readonly position: FeedPosition;
  /** Receives the position after each of the tracker's calls. */
  readonly keep: (position: FeedPosition) => void;
  /** Receives a message when the tracker begins to fail, and one when it works again. */
  readonly note: (text: string) => void;
  /** Milliseconds between two readings of the files. Default 2000. */
  readonly interval?: number;
  /** The longest pause after calls that failed, in milliseconds. Default 60,000. */
  readonly longestPause?: number;
}

/**
 * Sends one tracker what a run writes to its files. It reads the files and never asks the run. Each line is sent once, even if a resumed
 * run writes it again: the lines are the same. Calls that fail are repeated at growing intervals. Nothing is kept in memory meanwhile,
 * because the files hold what the tracker has missed.
 */
export class TrackerFeed {
  readonly #tracker: Tracker;
  readonly #run: TrackedRun;
  readonly #options: TrackerFeedOptions;
  readonly #metrics: LineReader;
  readonly #rollouts: LineReader;
  /** The lines of metrics that are not sent yet, with the position after each. */
  #lines: { at: LinePosition; step: number; lines: number }[] = [];
  /** The lines of answers that are not sent yet, by step. The last step may still get more. */
  #answers: { step: number; at: LinePosition[] }[] = [];
  /** Ends the wait between two readings. */
  #wake: (() => void) | undefined;
  #position: FeedPosition;
  /** The step that was read last, and how many of its lines were read. */
  #read = { step: -1, lines: 0 };
  #begun = false;
  #failures = 0;
  #ending: Ending | undefined;
  readonly #late = Promise.withResolvers<boolean>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether it has given up or finished. */
  #isOver = false;

  /** Sends nothing before {@linkcode TrackerFeed.follow}. @param source `folder`: the run's directory. */
  constructor(tracker: Tracker, { run, folder }: { run: TrackedRun; folder: string }, options: TrackerFeedOptions) {
    this.#tracker = tracker;
    this.#run = run;
    this.#options = options;
    this.#position = options.position;
    this.#metrics = new LineReader(`${folder}/metrics.jsonl`, {
      take: (line, at) => this.#takeMetrics(line, at),
      restart: () => {
        this.#lines = [];
        this.#read = { step: -1, lines: 0 };
      },
    });
    this.#rollouts = new LineReader(`${folder}/rollouts.jsonl`, {
      take: (line, at) => this.#takeAnswer(line, at),
      restart: () => this.#answers = [],
    });
  }

  /** Follows the run until {@linkcode TrackerFeed.end}. It never throws; failures are noted. @returns Whether everything was sent. */
  async follow(): Promise<boolean> {
    const told = await Promise.race([this.#follow(), this.#late.promise]);
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#wake?.();
    return told;
  }

  async #follow(): Promise<boolean> {
    while (!this.#isOver) {
      const ending = this.#ending;
      // deno-lint-ignore no-await-in-loop -- one reading after the other
      const done = await this.#tell(ending);
      if (done && ending !== undefined) return true;
      if (done && this.#ending !== undefined) continue; // read once more what was written before the end
      // deno-lint-ignore no-await-in-loop -- as above
      await this.#wait(ending === undefined ? this.#pause : Math.min(this.#pause, 500));
    }
    return false;
  }

  /**
   * Sends what is left, and the end of the run.
   *
   * @param limit Milliseconds after which it gives up. If the tracker was failing before, it is a fifth of that.
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

  /** Sends what is new. @returns Whether nothing is left. */
  async #tell(ending: Ending | undefined): Promise<boolean> {
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
        note(`The tracker ${this.#tracker.name} does not answer: ${(error as Error).message}; the run goes on, and Kedge tries again`);
      }
      return false;
    }
  }

  #takeMetrics(line: Uint8Array, at: LinePosition): void {
    const step = leadingStep(line);
    if (step === undefined) return;
    this.#read = step === this.#read.step ? { step, lines: this.#read.lines + 1 } : { step, lines: 1 };
    if (step > this.#position.step || (step === this.#position.step && this.#read.lines > this.#position.lines)) {
      this.#lines.push({ at, ...this.#read });
    }
  }

  async #tellMetrics(): Promise<void> {
    await this.#metrics.readNew();
    while (this.#lines.length > 0) {
      const batch = this.#lines.slice(0, BATCH);
      // deno-lint-ignore no-await-in-loop -- in their order
      const lines = await readLines(this.#metrics, batch.map(({ at }) => at)), { step, lines: count } = batch.at(-1)!;
      // deno-lint-ignore no-await-in-loop -- as above
      if (lines.length > 0) await this.#tracker.metrics(lines.map(metricsOf));
      this.#lines = this.#lines.slice(batch.length);
      this.#moveTo({ ...this.#position, step, lines: count });
    }
  }

  /** Notes an answer. The answers of a step follow one another, and its table is complete when the next step begins. */
  #takeAnswer(line: Uint8Array, at: LinePosition): void {
    const step = leadingStep(line), { answersEvery } = this.#options;
    if (step === undefined || answersEvery === 0 || step <= this.#position.answers) return;
    if (this.#answers.at(-1)?.step !== step) this.#answers.push({ step, at: [] });
    if (step % answersEvery === 0 || step === 1) this.#answers.at(-1)!.at.push(at);
    else if (this.#answers.length > 1 && this.#answers.at(-2)!.at.length === 0) this.#answers.splice(-2, 1);
  }

  async #tellAnswers(last: boolean): Promise<void> {
    if (this.#options.answersEvery === 0) return;
    await this.#rollouts.readNew();
    while (this.#answers.length > (last ? 0 : 1)) {
      const [{ step, at }] = this.#answers as [{ step: number; at: LinePosition[] }];
      // deno-lint-ignore no-await-in-loop -- in their order
      const answers = await readLines(this.#rollouts, at);
      // deno-lint-ignore no-await-in-loop -- as above
      if (answers.length > 0) await this.#tracker.answers(tableOf(step, answers));
      this.#answers.shift();
      if (at.length > 0) this.#moveTo({ ...this.#position, answers: step });
    }
  }

  #moveTo(position: FeedPosition): void {
    this.#position = position;
    this.#options.keep(position);
  }
}

/** The most lines of metrics of one call. */
const BATCH = 100;

/** Reads lines by their positions. Lines that a resumed run has removed are left out, because it writes them again. */
async function readLines(reader: LineReader, positions: readonly LinePosition[]): Promise<Record<string, unknown>[]> {
  const out: Record<string, unknown>[] = [];
  for (const position of positions) {
    // deno-lint-ignore no-await-in-loop -- in their order
    const bytes = await reader.line(position);
    try {
      if (bytes) out.push(JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>);
    } catch { // a torn line, which the run itself ignores
    }
  }
  return out;
}

/** Returns the numbers of a line of metrics.jsonl. */
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

/** Returns answers of rollouts.jsonl as a table. Its column `anchors` holds the texts of the anchor tokens. */
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
