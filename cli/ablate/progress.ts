import { durationOf } from "../../control/page/duration.js";

/** Milliseconds between two lines where the output is no terminal. */
const PAUSE = 30_000;

/** Prints how many runs of a part are done, how many are left, and for how long. */
export class RunsProgress {
  readonly #start = performance.now();
  readonly #total: number;
  readonly #what: string;
  readonly #print: (text: string) => void;
  readonly #isTerminal: boolean;
  #done = 0;
  /** Runs that were made now. */
  #fresh = 0;
  #printed = -Infinity;

  /** @param what What is counted, in the plural. @param print Where lines go. */
  constructor(what: string, total: number, { print, isTerminal }: { print: (text: string) => void; isTerminal: boolean }) {
    this.#what = what;
    this.#total = total;
    this.#print = print;
    this.#isTerminal = isTerminal;
  }

  /** Counts a run. @param isFresh Whether it was made now, and not read. */
  count(isFresh: boolean): void {
    this.#done++;
    if (isFresh) this.#fresh++;
    const now = performance.now(), isLast = this.#done === this.#total;
    if (!this.#isTerminal && !isLast && now - this.#printed < PAUSE) return;
    this.#printed = now;
    this.#print(`${this.#isTerminal ? "\r\x1b[K" : ""}${this.line(now)}${this.#isTerminal && !isLast ? "" : "\n"}`);
  }

  /** Returns the line at a time of the monotonic clock. */
  line(now: number): string {
    const left = this.#total - this.#done, seconds = this.#fresh === 0 ? NaN : (now - this.#start) / 1000 / this.#fresh * left;
    return `${this.#what}: ${this.#done} of ${this.#total} done, ${left} left${left > 0 ? `, about ${durationOf(seconds)}` : ""}`;
  }
}
