import { leadingStep, openFileSync, readAtSync } from "./file_bytes.ts";
import { type FileLine, linesBackward, linesForward, PIECE } from "./line_pieces.ts";
import { sizeOf } from "./whole_file.ts";

/** A line of a log. It belongs to a step. */
export interface Line extends Readonly<Record<string, unknown>> {
  /** The step. */
  readonly step: number;
}

/** Options of {@linkcode Lines}. */
export interface LinesOptions {
  /**
   * The most bytes of the file. A file that would be larger is renamed to `<path>.1` and replaces the one before, and a new file is
   * begun. Default: no limit.
   */
  readonly maxBytes?: number;
  /** The number of bytes that are read at a time. */
  readonly piece?: number;
}

/**
 * A file of JSON lines that a run appends to, by rising steps. Each line is written in one call. The file may be larger than memory, so
 * it is read in pieces.
 *
 * @example
 * ```ts
 * import { Lines } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync(), lines = new Lines(`${folder}/metrics.jsonl`);
 * lines.append({ step: 1, loss: 0.5 }, { step: 2, loss: 0.4 });
 * assertEquals(lines.discardAfter(1), 1); // the run resumes from step 1
 * assertEquals(lines.read(), [{ step: 1, loss: 0.5 }]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class Lines {
  readonly #maxBytes: number;
  readonly #piece: number;

  /** Opens nothing yet. @param path The file. The first line creates it. */
  constructor(readonly path: string, { maxBytes = Infinity, piece = PIECE }: LinesOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#piece = piece;
  }

  /** Appends lines, all to the same file. If the disk refuses them, nothing of them is left in the file. */
  append(...lines: readonly Readonly<Record<string, unknown>>[]): void {
    if (lines.length === 0) return;
    const bytes = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    this.#makeRoom(this.path, bytes.length);
    using file = Deno.openSync(this.path, { append: true, create: true });
    const { size } = file.statSync();
    try {
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    } catch (error) {
      try {
        file.truncateSync(size);
      } catch { // the first error is the one to report
      }
      throw error;
    }
  }

  /** Removes a last line that a killed process has left unfinished. It is for files of which no line is ever discarded. */
  cutTorn(): void {
    const [last] = linesBackward(this.path, this.#piece);
    if (last && !last.isEnded) Deno.truncateSync(this.path, last.start);
  }

  /** Reads all lines one after the other, first those of `<path>.1`. Torn lines are left out. */
  *entries(): Generator<Line> {
    for (const path of [`${this.path}.1`, this.path]) {
      for (const line of linesForward(path, this.#piece)) {
        const value = parse(line);
        if (value) yield value;
      }
    }
  }

  /** Reads all lines at once. It is for files that are known to be small. */
  read(): Line[] {
    return [...this.entries()];
  }

  /**
   * Moves the lines after a checkpoint, and torn lines among them, to `<path>.discarded`, because the resumed run makes their steps
   * again. The file is read backwards to the first of these lines and cut there.
   *
   * @param step The step of the checkpoint; -1 discards all lines.
   * @param isLater Whether a line of exactly this step was written after the checkpoint.
   * @returns The number of lines that were moved.
   */
  discardAfter(step: number, isLater?: (line: Line) => boolean): number {
    const isKept = (line: FileLine) => {
      const at = stepOf(line) ?? Infinity;
      return at < step || (at === step && !(isLater && isLater(parse(line)!)));
    };
    const ends: { path: string; keep: number; size: number }[] = [];
    let gone = 0;
    for (const path of [this.path, `${this.path}.1`]) {
      const size = sizeOf(path);
      let keep = size, last: FileLine | undefined;
      for (const line of linesBackward(path, this.#piece)) {
        if (isKept(line)) {
          last = line;
          break;
        }
        if (line.bytes.length > 0) gone++;
        keep = line.start;
      }
      if (keep < size) ends.unshift({ path, keep, size });
      // A whole line may lack its line feed, and the next line would be appended to it.
      if (last && !last.isEnded) Deno.writeTextFileSync(path, "\n", { append: true });
      if (last) break;
    }
    this.#setAside(ends);
    for (const { path, keep } of ends) Deno.truncateSync(path, keep);
    return gone;
  }

  /** Appends the ends of files to `<path>.discarded`, and waits until they are on the disk. */
  #setAside(ends: readonly { path: string; keep: number; size: number }[]): void {
    if (ends.length === 0) return;
    const target = `${this.path}.discarded`;
    this.#makeRoom(target, ends.reduce((sum, { keep, size }) => sum + size - keep, 0));
    using to = Deno.openSync(target, { append: true, create: true });
    for (const { path, keep, size } of ends) {
      using from = openFileSync(path)!;
      let last: number | undefined;
      for (let at = keep; at < size;) {
        const bytes = readAtSync(from, { at, length: Math.min(this.#piece, size - at) });
        for (let done = 0; done < bytes.length;) done += to.writeSync(bytes.subarray(done));
        at += bytes.length;
        last = bytes.at(-1);
      }
      if (last !== 0x0a) to.writeSync(Uint8Array.of(0x0a));
    }
    to.syncSync();
  }

  /** Renames a file that would become too large. */
  #makeRoom(path: string, bytes: number): void {
    if (this.#maxBytes === Infinity) return;
    const size = sizeOf(path);
    if (size > 0 && size + bytes > this.#maxBytes) Deno.renameSync(path, `${path}.1`);
  }
}

const decoder = new TextDecoder();

function parse({ bytes }: FileLine): Line | undefined {
  try {
    const value = JSON.parse(decoder.decode(bytes));
    return typeof value === "object" && typeof value?.step === "number" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the step of a line; undefined for a torn one. A line that has its end is whole, and its first key tells the step. */
function stepOf(line: FileLine): number | undefined {
  return (line.isEnded ? leadingStep(line.bytes) : undefined) ?? parse(line)?.step;
}
