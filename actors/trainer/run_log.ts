import type { Config } from "../config/schema.ts";
import { moduleFields, type ModulePrints } from "../config/user_modules.ts";
import type { TrainerEvent } from "../messages.ts";
import { type Line, Lines } from "../run/lines.ts";
import { TensorBoard } from "../run/tensorboard.ts";

/** The files that a run appends to, and the events that it emits. */
export class RunLog {
  readonly #quarantine: Lines;
  /** The users' modules that take part, which lines of steps name. */
  modules: ModulePrints = {};
  /** Receives what happens. */
  readonly emit: (event: TrainerEvent) => void;
  /** Whether this is not rank 0, so that another process writes the files. */
  readonly #silent: boolean;
  readonly #metrics: Lines;
  readonly #rollouts: Lines;
  readonly #board: TensorBoard | undefined;

  /** Opens no file yet. @param run The run's directory. @param options `silent`: writes nothing, since another rank does. */
  constructor(
    run: string,
    { logging, emit, silent = false }: { logging: Config["logging"]; emit: (event: TrainerEvent) => void; silent?: boolean },
  ) {
    const { maxFileBytes: maxBytes, tensorboard } = logging;
    this.#silent = silent;
    this.emit = silent ? () => {} : emit;
    this.#metrics = new Lines(`${run}/metrics.jsonl`, { maxBytes });
    this.#rollouts = new Lines(`${run}/rollouts.jsonl`, { maxBytes });
    this.#quarantine = new Lines(`${run}/quarantine.jsonl`, { maxBytes });
    this.#board = tensorboard && !silent ? new TensorBoard(run, { maxBytes }) : undefined;
  }

  /** Appends a line to metrics.jsonl, with the time. */
  metrics(line: Line): void {
    if (this.#silent) return;
    const stamped = { ...line, ...moduleFields(line, this.modules), time: new Date().toISOString() };
    this.#metrics.append(stamped);
    this.#board?.scalars(line.step, line);
    this.emit({ kind: "metrics", line: stamped });
  }

  /** Appends a step's answers to rollouts.jsonl. */
  rollouts(step: number, lines: readonly Line[]): void {
    if (this.#silent) return;
    this.#rollouts.append(...lines);
    this.emit({ kind: "rollouts", step, samples: lines.length });
  }

  /** Appends rows that could not be read to quarantine.jsonl. */
  quarantine(...lines: readonly Line[]): void {
    if (!this.#silent) this.#quarantine.append(...lines);
  }

  /** Tells people something. */
  note(text: string): void {
    this.emit({ kind: "note", text });
  }

  /** Returns the first value of a metric that was logged; undefined where there is none. */
  first(name: string): number | undefined {
    return this.#metrics.entries().find((line) => name in line)?.[name] as number | undefined;
  }

  /** Sets aside the lines after a checkpoint, as `Lines.discardAfter` does. */
  discardAfter(step: number, isLater: (line: Line) => boolean): void {
    if (this.#silent) return;
    for (const lines of [this.#metrics, this.#rollouts, this.#quarantine]) lines.discardAfter(step, isLater);
  }
}
