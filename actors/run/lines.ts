import { leadingStep, openFileSync, readAtSync } from "./file_bytes.ts";
import { type FileLine, linesBackward, linesForward, PIECE } from "./line_pieces.ts";
import { sizeOf } from "./whole_file.ts";

/** A line of a log, about a step. */
export interface Line extends Readonly<Record<string, unknown>> {
  /** The step that it tells of. */
  readonly step: number;
}

/** How a file of lines is kept. */
export interface LinesOptions {
  /** Bytes of the file, at most: one that would be larger becomes `<path>.1`, in place of the one before, and a new one is begun. Default: no bound. */
  readonly maxBytes?: number;
  /** Bytes that are read at a time. */
  readonly piece?: number;
}

/**
 * A file of JSON lines that a run appends to, by rising steps. Each line is written whole, in one call. The file may be larger than memory: it is read by pieces.
 *
 * @example
 * ```ts
 * import { Lines } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync(), lines = new Lines(`${folder}/metrics.jsonl`);
 * lines.append({ step: 1, loss: 0.5 }, { step: 2, loss: 0.4 });
 * assertEquals(lines.discardAfter(1), 1); // the run goes on from step 1
 * assertEquals(lines.read(), [{ step: 1, loss: 0.5 }]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class Lines {
  readonly #maxBytes: number;
  readonly #piece: number;

  /** Touches nothing yet. @param path The file; it is made by the first line. */
  constructor(readonly path: string, { maxBytes = Infinity, piece = PIECE }: LinesOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#piece = piece;
  }

  /** Adds lines, all to one file. Where the disk does not take them, there is no part of them. */
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

  /** Takes away a last line without its end, which somebody was killed at: for a file of which no line is ever discarded. */
  cutTorn(): void {
    const [last] = linesBackward(this.path, this.#piece);
    if (last && !last.isEnded) Deno.truncateSync(this.path, last.start);
  }

  /** All lines, one at a time, those of `<path>.1` first; torn ones are left out. */
  *entries(): Generator<Line> {
    for (const path of [`${this.path}.1`, this.path]) {
      for (const line of linesForward(path, this.#piece)) {
        const value = parse(line);
        if (value) yield value;
      }
    }
  }

  /** All lines at once: for files that are known to be small. */
  read(): Line[] {
    return [...this.entries()];
  }

  /**
   * Moves the lines of steps above `step`, and torn ones among them, to `<path>.discarded`: they are of a run that ended before its next checkpoint. The file is read
   * from its end, by pieces, as far back as these lines go, and cut there.
   *
   * @param step That of the checkpoint; -1 discards all.
   * @param isLater Whether a line of this very step is of after the checkpoint.
   * @returns How many lines went.
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
      // A whole line may still lack its end, and the next one would run on in it.
      if (last && !last.isEnded) Deno.writeTextFileSync(path, "\n", { append: true });
      if (last) break;
    }
    this.#setAside(ends);
    for (const { path, keep } of ends) Deno.truncateSync(path, keep);
    return gone;
  }

  /** Adds the ends of files to `<path>.discarded`, and waits until they are on the disk. */
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

  /** A file that would be larger than the bound makes way. */
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
