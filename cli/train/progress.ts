import type { Config } from "../../actors/config/schema.ts";
import type { TrainerEvent } from "../../actors/messages.ts";

const WIDTH = 24;

/** A run on the terminal: one line that changes, or, where the output is no terminal, a line now and then. */
export class Progress {
  readonly #config: Config;
  readonly #terminal = Deno.stdout.isTerminal();
  readonly #start = performance.now();
  #phase: { name: string; start: number; from: number } | undefined;
  #shown = -Infinity;
  #accuracy: number | undefined;

  constructor(config: Config) {
    this.#config = config;
  }

  #write(text: string): void {
    Deno.stdout.writeSync(new TextEncoder().encode(text));
  }

  /** A line that stays. */
  note(text: string): void {
    this.#write(`${this.#terminal ? "\r\x1b[2K" : ""}${text}\n`);
  }

  /** The last line. */
  end(text: string): void {
    this.note(`${text} (${((performance.now() - this.#start) / 1000).toFixed(0)} s)`);
  }

  /** Why it ends before its end. */
  fail(text: string): void {
    if (this.#terminal) this.#write("\r\x1b[2K");
    Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
  }

  /** What the trainer tells. */
  take(event: TrainerEvent): void {
    if (event.kind === "note") return this.note(event.text);
    if (event.kind !== "metrics") return;
    const { line } = event, number = (key: string) => typeof line[key] === "number" ? line[key] as number : undefined;
    const show = (key: string, digits = 3) => number(key)?.toFixed(digits) ?? "-";
    if (line["phase"] === "sft") {
      const step = number("sft_step")!, total = this.#config.sft!.steps;
      return this.#bar("warm start", { step, total, words: `loss ${show("sft/loss")}`, often: 50 });
    }
    this.#accuracy = number("val/accuracy") ?? this.#accuracy;
    if (number("val/accuracy") !== undefined) {
      this.note(`step ${line["step"]}: held-out accuracy ${show("val/accuracy")} sampled, ${show("val/accuracy_greedy")} greedy`);
    }
    if (number("reward/overall") === undefined) return;
    const words =
      `reward ${show("reward/overall")}  accuracy ${this.#accuracy?.toFixed(3) ?? "-"}  length ${show("response_length/mean", 1)}  ` +
      `${show("perf/throughput", 0)} tokens/s`;
    this.#bar("step", { step: number("step")!, total: this.#config.trainer.maxSteps, words, often: 1 });
  }

  #bar(name: string, given: { step: number; total: number; words: string; often: number }): void {
    const { step, total, words, often } = given, now = performance.now();
    if (this.#phase?.name !== name) this.#phase = { name, start: now, from: step };
    const { start, from } = this.#phase, left = step > from ? (now - start) / (step - from) * (total - step) / 1000 : undefined;
    const text = `${name} ${step}/${total}  ${words}  ${left === undefined ? "" : `${left.toFixed(0)} s left`}`;
    if (!this.#terminal) {
      if (step % often === 0 || step === total) this.#write(`${text}\n`);
      return;
    }
    if (now - this.#shown < 100 && step < total) return;
    this.#shown = now;
    const filled = Math.round(WIDTH * step / total);
    this.#write(`\r\x1b[2K[${"#".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${text}`);
  }
}
