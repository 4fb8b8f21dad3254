import { columnsOf } from "../../cli/train/columns.ts";

const letters = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Emulates as much of a terminal as is needed for a line that is redrawn. It wraps lines, and wraps them again when its width changes. */
export class Screen {
  columns: number;
  /** Rows; `goesOn` tells whether a row continues in the next one. */
  #rows: { text: string; goesOn: boolean }[] = [{ text: "", goesOn: false }];
  #row = 0;

  constructor(columns: number) {
    this.columns = columns;
  }

  /** Writes text with the few escape sequences that it knows. @throws {Error} for another. */
  write(text: string): void {
    // deno-lint-ignore no-control-regex -- a terminal is steered by them
    for (const [piece, , count, what] of text.matchAll(/\x1b\[((\d*)([A-Z]))|\r|\n|[^\x1b\r\n]+/g)) {
      if (piece === "\n") this.#next(false);
      else if (what === "A") this.#row = Math.max(0, this.#row - Number(count || 1));
      else if (what === "K" && count === "2") this.#rows[this.#row] = { text: "", goesOn: this.#rows[this.#row]!.goesOn };
      else if (what === "J" && count === "") {
        this.#rows.length = this.#row + 1;
        this.#rows[this.#row] = { text: "", goesOn: false };
      } else if (what !== undefined) throw new Error(`the screen does not know ${JSON.stringify(piece)}`);
      else if (piece !== "\r") this.#put(piece);
    }
  }

  /** Changes the width. Rows are joined and wrapped again, and the cursor stays in its row. */
  resize(columns: number): void {
    const whole = this.#rows.reduce<string[]>(
      (all, { text, goesOn }) => goesOn ? [...all.slice(0, -1), all.at(-1)! + text] : [...all, text],
      [],
    );
    this.columns = columns;
    this.#rows = [{ text: "", goesOn: false }];
    this.#row = 0;
    for (const [i, text] of whole.entries()) {
      if (i > 0) this.#next(false);
      this.#put(text);
    }
  }

  /** The rows, without empty ones at the end. */
  get lines(): string[] {
    return this.#rows.map(({ text }) => text).slice(0, this.#rows.findLastIndex(({ text }) => text !== "") + 1);
  }

  #next(goesOn: boolean): void {
    this.#row++;
    this.#rows[this.#row] = { text: "", goesOn };
  }

  #put(text: string): void {
    let used = columnsOf(this.#rows[this.#row]!.text);
    for (const { segment } of letters.segment(text)) {
      const wide = columnsOf(segment);
      if (used + wide > this.columns) {
        this.#next(true);
        used = 0;
      }
      this.#rows[this.#row]!.text += segment;
      used += wide;
    }
  }
}
