import type { Config } from "../../actors/config/schema.ts";
import type { TrainerEvent } from "../../actors/messages.ts";
import { durationOf } from "../../control/page/duration.js";
import { columnsOf, cutTo } from "./columns.ts";

/** The minimum and the maximum columns of the bar. A shorter bar is useless, and a longer one shows no more. */
const [LEAST, MOST] = [10, 24];
/** The number of columns if the terminal does not report its width. */
const UNKNOWN = 80;

/** The content of a progress line. */
export interface ProgressState {
  /** The unit that is counted, such as "step". */
  readonly name: string;
  readonly step: number;
  readonly total: number;
  /** Estimated seconds to the end. */
  readonly left: number | undefined;
  /** Other facts, the most important first. */
  readonly facts: readonly string[];
}

/** Returns the parts of a progress line, the most important first. */
function partsOf({ name, step, total, left, facts }: ProgressState): string[] {
  return [`${name} ${step} of ${total}`, ...(left === undefined ? [] : [`${durationOf(left)} left`]), ...facts];
}

/**
 * Formats a progress line for a number of columns. It contains the count and the time left. If there is room, a bar precedes them, and as
 * many of the other facts as fit follow.
 */
export function progressLine(progress: ProgressState, columns: number): string {
  const [head, ...more] = partsOf(progress) as [string, ...string[]], first = more.length - progress.facts.length;
  let text = head;
  for (const [i, word] of more.entries()) {
    const longer = `${text}  ${word}`;
    if (columnsOf(longer) + (i < first ? 0 : LEAST + 3) > columns) break; // the bar has brackets and a space
    text = longer;
  }
  const room = Math.min(MOST, columns - columnsOf(text) - 3);
  if (room < LEAST) return cutTo(text, columns);
  const filled = Math.round(room * Math.min(1, progress.step / progress.total));
  return `[${"#".repeat(filled)}${" ".repeat(room - filled)}] ${text}`;
}

/** The destination of progress lines. The default is standard output. */
export interface ProgressOutput {
  readonly terminal: boolean;
  /** The current number of columns of the terminal. */
  columns(): number;
  write(text: string): void;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Calls back when the terminal's width changes. @returns A function that stops this. */
  onResize(listener: () => void): () => void;
}

/** If the terminal or the reader is gone, the run continues. The run's directory has the same information. */
function say(text: string, to: { writeSync(bytes: Uint8Array): number }): void {
  try {
    to.writeSync(new TextEncoder().encode(text));
  } catch { // nobody reads the output
  }
}

const STDOUT: ProgressOutput = {
  get terminal() {
    return Deno.stdout.isTerminal();
  },
  columns() {
    try {
      return Deno.consoleSize().columns;
    } catch {
      return UNKNOWN; // only the output is a terminal
    }
  },
  write: (text) => say(text, Deno.stdout),
  now: () => performance.now(),
  onResize(listener) {
    Deno.addSignalListener("SIGWINCH", listener);
    return () => Deno.removeSignalListener("SIGWINCH", listener);
  },
};

/** Shows a run on the terminal as one line that is updated. If the output is not a terminal, it prints a line now and then. */
export class Progress implements Disposable {
  readonly #config: Config;
  readonly #out: ProgressOutput;
  readonly #terminal: boolean;
  readonly #start: number;
  readonly #release: () => void;
  #phase: { name: string; start: number; from: number } | undefined;
  #shown = -Infinity;
  #accuracy: number | undefined;
  /** Whether the run began in this process. */
  #begun = false;
  /** The content of the line; undefined if there is none. */
  #progress: ProgressState | undefined;
  /** The columns that the line occupies on the terminal. */
  #drawn = 0;

  constructor(config: Config, out: ProgressOutput = STDOUT) {
    this.#config = config;
    this.#out = out;
    this.#terminal = out.terminal;
    this.#start = out.now();
    this.#release = this.#terminal ? out.onResize(() => this.#draw()) : () => {};
  }

  /** Releases the terminal. */
  [Symbol.dispose](): void {
    this.#release();
  }

  #columns(): number {
    return this.#out.columns() || UNKNOWN;
  }

  /** Returns the escape sequence that removes the line. A terminal that became narrower has wrapped it. */
  #erase(): string {
    if (!this.#terminal) return "";
    const above = Math.ceil(this.#drawn / this.#columns()) - 1;
    this.#drawn = 0;
    return above > 0 ? `\r\x1b[${above}A\x1b[J` : "\r\x1b[2K";
  }

  /** Redraws the line, one column shorter than the width, because some terminals wrap in the last column. */
  #draw(): void {
    if (!this.#progress) return;
    const line = progressLine(this.#progress, this.#columns() - 1), away = this.#erase();
    this.#out.write(`${away}${line}`);
    this.#drawn = columnsOf(line);
  }

  /** Prints a line that stays. */
  note(text: string): void {
    this.#out.write(`${this.#erase()}${text}\n`);
    this.#draw();
  }

  /** Prints the last line. */
  end(text: string): void {
    this.#progress = undefined;
    this.note(`${text} (${durationOf((this.#out.now() - this.#start) / 1000)})`);
  }

  /** Prints why the run failed. */
  fail(text: string): void {
    this.#progress = undefined;
    this.#out.write(this.#erase());
    say(`${text}\n`, Deno.stderr);
  }

  /** Shows an event of the trainer. */
  show(event: TrainerEvent): void {
    if (event.kind === "note") return this.note(event.text);
    if (event.kind === "status") return this.#showState(event.status);
    if (event.kind !== "metrics") return;
    const { line } = event, number = (key: string) => typeof line[key] === "number" ? line[key] as number : undefined;
    const fact = (words: string, { key, digits = 3, unit = "" }: { key: string; digits?: number; unit?: string }) => {
      const value = key === "val/accuracy" ? this.#accuracy : number(key);
      return value === undefined ? [] : [`${words}${value.toFixed(digits)}${unit}`];
    };
    if (line["phase"] === "sft") {
      const step = number("sft_step")!, total = this.#config.sft!.steps;
      return this.#bar("warm start", { step, total, facts: fact("loss ", { key: "sft/loss" }), often: 50 });
    }
    this.#accuracy = number("val/accuracy") ?? this.#accuracy;
    if (number("val/accuracy") !== undefined) {
      const [sampled, greedy] = ["val/accuracy", "val/accuracy_greedy"].map((key) => number(key)?.toFixed(3) ?? "-");
      this.note(`step ${line["step"]}: held-out accuracy ${sampled} sampled, ${greedy} greedy`);
    }
    if (number("reward/overall") === undefined) return;
    const facts = [
      ...fact("reward ", { key: "reward/overall" }),
      ...fact("accuracy ", { key: "val/accuracy" }),
      ...fact("length ", { key: "response_length/mean", digits: 1 }),
      ...fact("", { key: "perf/throughput", digits: 0, unit: " tokens/s" }),
    ];
    this.#bar("step", { step: number("step")!, total: this.#config.trainer.maxSteps, facts, often: 1 });
  }

  /** Shows a state during which no metrics arrive. */
  #showState({ state, step, maxSteps }: Extract<TrainerEvent, { kind: "status" }>["status"]): void {
    if (state === "warm-start") this.#begun = true; // a resumed run has no warm start and no first evaluation
    if (state === "paused") this.#phase = undefined; // the pause must not count as time of a step
    if (!this.#terminal) return;
    if (state === "paused" && this.#progress) this.#progress = { ...this.#progress, left: undefined, facts: ["paused"] };
    else if (state === "running" && step === 0 && this.#begun && this.#config.trainer.valBeforeTrain) {
      this.#progress = { name: "step", step, total: maxSteps, left: undefined, facts: ["evaluating"] };
    } else return;
    this.#draw();
  }

  #bar(name: string, counts: { step: number; total: number; facts: readonly string[]; often: number }): void {
    const { often, ...counted } = counts, { step, total } = counted, now = this.#out.now();
    if (this.#phase?.name !== name) this.#phase = { name, start: now, from: step };
    const { start, from } = this.#phase, left = step > from ? (now - start) / (step - from) * (total - step) / 1000 : undefined;
    const progress = { name, left, ...counted };
    if (!this.#terminal) {
      if (step % often === 0 || step === total) this.#out.write(`${partsOf(progress).join("  ")}\n`);
      return;
    }
    this.#progress = progress;
    if (now - this.#shown < 100 && step < total) return;
    this.#shown = now;
    this.#draw();
  }
}
