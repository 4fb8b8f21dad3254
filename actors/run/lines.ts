/** A line of a log, about a step. */
export interface Line extends Readonly<Record<string, unknown>> {
  readonly step: number;
}

/** A file of JSON lines that a run appends to. Each line is written whole, in one call. */
export class Lines {
  constructor(readonly path: string) {}

  /** Adds lines. */
  append(...lines: readonly Line[]): void {
    if (lines.length === 0) return;
    Deno.writeTextFileSync(this.path, `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`, { append: true });
  }

  /** All lines; a torn last one is left out. */
  read(): Line[] {
    return this.#texts().flatMap((text) => parse(text) ?? []);
  }

  /** Moves the lines of steps above `step`, and torn ones, to `<path>.discarded`: they are of a run that ended before its next checkpoint. */
  discardAfter(step: number): void {
    const texts = this.#texts(), kept = texts.filter((text) => (parse(text)?.step ?? Infinity) <= step);
    if (kept.length === texts.length) return;
    const gone = texts.filter((text) => !kept.includes(text));
    Deno.writeTextFileSync(`${this.path}.discarded`, `${gone.join("\n")}\n`, { append: true });
    const temporary = `${this.path}.tmp`;
    Deno.writeTextFileSync(temporary, kept.map((text) => `${text}\n`).join(""));
    Deno.renameSync(temporary, this.path);
  }

  #texts(): string[] {
    try {
      return Deno.readTextFileSync(this.path).split("\n").filter((text) => text !== "");
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }
}

function parse(text: string): Line | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
