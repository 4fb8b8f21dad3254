import type { Config } from "../../actors/config/schema.ts";
import type { TrainerEvent } from "../../actors/messages.ts";
import { durationOf } from "../../control/page/duration.js";
import { columnsOf, cutTo } from "./columns.ts";

/** Columns of the bar: with fewer it says nothing, with more nothing more. */
const [LEAST, MOST] = [10, 24];
/** Columns where the terminal does not say how wide it is. */
const UNKNOWN = 80;

/** What a line of progress says. */
export interface Doing {
  /** What is counted, as "step". */
  readonly name: string;
  readonly step: number;
  readonly total: number;
  /** Seconds to the end of it. */
  readonly left: number | undefined;
  /** What else is known, the most important first. */
  readonly facts: readonly string[];
}

/** The words of a line of progress, the most important first. */
function wordsOf({ name, step, total, left, facts }: Doing): string[] {
  return [`${name} ${step} of ${total}`, ...(left === undefined ? [] : [`${durationOf(left)} left`]), ...facts];
}

/**
 * A line of progress that takes at most so many columns: what is counted, the time that is left, and, where there is room, a bar before them and as many of the other
 * facts behind them as fit whole.
 */
export function progressLine(doing: Doing, columns: number): string {
  const [head, ...more] = wordsOf(doing) as [string, ...string[]], first = more.length - doing.facts.length;
  let text = head;
  for (const [i, word] of more.entries()) {
    const longer = `${text}  ${word}`;
    if (columnsOf(longer) + (i < first ? 0 : LEAST + 3) > columns) break; // the bar has brackets and a space
    text = longer;
  }
  const room = Math.min(MOST, columns - columnsOf(text) - 3);
  if (room < LEAST) return cutTo(text, columns);
  const filled = Math.round(room * Math.min(1, doing.step / doing.total));
  return `[${"#".repeat(filled)}${" ".repeat(room - filled)}] ${text}`;
}

/** Where progress is written; the process's own output where nothing else is said. */
export interface ProgressOutput {
  readonly terminal: boolean;
  /** Columns of the terminal as it is now. */
  columns(): number;
  write(text: string): void;
  /** Milliseconds that only rise. */
  now(): number;
  /** Tells when the terminal has another width. @returns Ends it. */
  onResize(listener: () => void): () => void;
}

/** Where the terminal or the reader is gone, the run goes on: what it says is in its directory too. */
function say(text: string, to: { writeSync(bytes: Uint8Array): number }): void {
  try {
    to.writeSync(new TextEncoder().encode(text));
  } catch { // nobody reads it
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
      return UNKNOWN; // only its output is a terminal
    }
  },
  write: (text) => say(text, Deno.stdout),
  now: () => performance.now(),
  onResize(listener) {
    Deno.addSignalListener("SIGWINCH", listener);
    return () => Deno.removeSignalListener("SIGWINCH", listener);
  },
};

/** A run on the terminal: one line that changes and fits, or, where the output is no terminal, a line now and then. */
export class Progress implements Disposable {
  readonly #config: Config;
  readonly #out: ProgressOutput;
  readonly #terminal: boolean;
  readonly #start: number;
  readonly #release: () => void;
  #phase: { name: string; start: number; from: number } | undefined;
  #shown = -Infinity;
  #accuracy: number | undefined;
  /** Whether the run has begun here. */
  #begun = false;
  /** What the line says; undefined while there is none. */
  #doing: Doing | undefined;
  /** Columns that the line takes on the terminal. */
  #drawn = 0;

  constructor(config: Config, out: ProgressOutput = STDOUT) {
    this.#config = config;
    this.#out = out;
    this.#terminal = out.terminal;
    this.#start = out.now();
    this.#release = this.#terminal ? out.onResize(() => this.#draw()) : () => {};
  }

  /** Gives up the terminal. */
  [Symbol.dispose](): void {
    this.#release();
  }

  #columns(): number {
    return this.#out.columns() || UNKNOWN;
  }

  /** What takes the line away. A terminal that has become narrower has broken it into several. */
  #erase(): string {
    if (!this.#terminal) return "";
    const above = Math.ceil(this.#drawn / this.#columns()) - 1;
    this.#drawn = 0;
    return above > 0 ? `\r\x1b[${above}A\x1b[J` : "\r\x1b[2K";
  }

  /** Draws the line anew, one column short of the width: in the last one some terminals break already. */
  #draw(): void {
    if (!this.#doing) return;
    const line = progressLine(this.#doing, this.#columns() - 1), away = this.#erase();
    this.#out.write(`${away}${line}`);
    this.#drawn = columnsOf(line);
  }

  /** A line that stays. */
  note(text: string): void {
    this.#out.write(`${this.#erase()}${text}\n`);
    this.#draw();
  }

  /** The last line. */
  end(text: string): void {
    this.#doing = undefined;
    this.note(`${text} (${durationOf((this.#out.now() - this.#start) / 1000)})`);
  }

  /** Why it ends before its end. */
  fail(text: string): void {
    this.#doing = undefined;
    this.#out.write(this.#erase());
    say(`${text}\n`, Deno.stderr);
  }

  /** What the trainer tells. */
  take(event: TrainerEvent): void {
    if (event.kind === "note") return this.note(event.text);
    if (event.kind === "status") return this.#stands(event.status);
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

  /** A state that no numbers come from for a while. */
  #stands({ state, step, maxSteps }: Extract<TrainerEvent, { kind: "status" }>["status"]): void {
    if (state === "warm-start") this.#begun = true; // a run that goes on from a checkpoint has none, and no first evaluation
    if (state === "paused") this.#phase = undefined; // its time is no step's
    if (!this.#terminal) return;
    if (state === "paused" && this.#doing) this.#doing = { ...this.#doing, left: undefined, facts: ["paused"] };
    else if (state === "running" && step === 0 && this.#begun && this.#config.trainer.valBeforeTrain) {
      this.#doing = { name: "step", step, total: maxSteps, left: undefined, facts: ["evaluating"] };
    } else return;
    this.#draw();
  }

  #bar(name: string, given: { step: number; total: number; facts: readonly string[]; often: number }): void {
    const { often, ...counted } = given, { step, total } = counted, now = this.#out.now();
    if (this.#phase?.name !== name) this.#phase = { name, start: now, from: step };
    const { start, from } = this.#phase, left = step > from ? (now - start) / (step - from) * (total - step) / 1000 : undefined;
    const doing = { name, left, ...counted };
    if (!this.#terminal) {
      if (step % often === 0 || step === total) this.#out.write(`${wordsOf(doing).join("  ")}\n`);
      return;
    }
    this.#doing = doing;
    if (now - this.#shown < 100 && step < total) return;
    this.#shown = now;
    this.#draw();
  }
}
