/**
 * Finds the rows of a JSON file without reading the whole file into memory.
 *
 * @module
 */
import { badFile, reasonOf } from "./file_ranges.ts";

/** The byte ranges of rows: row i is in [starts[i], ends[i]). */
export interface RowRanges {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

const LINE = 10, QUOTE = 34, BACKSLASH = 92, COMMA = 44, OPEN = [91, 123], CLOSE = [93, 125];
const isSpace = (byte: number) => byte === 32 || (byte >= 9 && byte <= 13);
const BOM = [0xef, 0xbb, 0xbf];

/** Receives a file's bytes, in order. */
interface Scanner {
  byte(byte: number, at: number): void;
  end(size: number): RowRanges;
}

/** Finds rows that are lines. Blank lines are skipped. */
class LineScanner implements Scanner {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #start = 0;
  #blank = true;

  byte(byte: number, at: number): void {
    if (byte === LINE) this.#close(at);
    else if (!isSpace(byte)) this.#blank = false;
  }

  end(size: number): RowRanges {
    this.#close(size);
    return { starts: this.#starts, ends: this.#ends };
  }

  #close(at: number): void {
    if (!this.#blank) {
      this.#starts.push(this.#start);
      this.#ends.push(at);
    }
    this.#start = at + 1;
    this.#blank = true;
  }
}

/** Finds rows that are the items of a single list. */
class ListScanner implements Scanner {
  readonly #path: string;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #depth = 0;
  #inText = false;
  #escaped = false;
  #start: number | undefined;
  #done = false;

  constructor(path: string) {
    this.#path = path;
  }

  byte(byte: number, at: number): void {
    if (this.#inText) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inText = false;
      return;
    }
    if (isSpace(byte)) return;
    if (this.#done) throw badFile(this.#path, `something follows its list at byte ${at}`);
    if (byte === COMMA && this.#depth === 1) return this.#close(at);
    if (CLOSE.includes(byte) && --this.#depth === 0) {
      if (this.#start !== undefined || this.#starts.length > 0) this.#close(at);
      this.#done = true;
      return;
    }
    if (this.#depth === 1) this.#start ??= at;
    if (OPEN.includes(byte)) this.#depth++;
    else if (byte === QUOTE) this.#inText = true;
  }

  end(size: number): RowRanges {
    if (!this.#done) throw badFile(this.#path, `its list is not closed by its end at byte ${size}`);
    return { starts: this.#starts, ends: this.#ends };
  }

  #close(at: number): void {
    if (this.#start === undefined) throw badFile(this.#path, `an item is missing at byte ${at}`);
    this.#starts.push(this.#start);
    this.#ends.push(at);
    this.#start = undefined;
  }
}

/**
 * Finds the rows of a file. If its first character is "[" and its name ends in ".json", rows are the items of its list. Otherwise they are
 * the lines that are not blank.
 *
 * @param path The file.
 * @throws {KedgeError} `BadData` if the file cannot be read, or its list does not end.
 */
export async function indexRows(path: string): Promise<RowRanges> {
  let scanner: Scanner | undefined, at = 0;
  try {
    const file = await Deno.open(path);
    for await (const chunk of file.readable) {
      for (const byte of chunk) {
        const skip = scanner === undefined && (isSpace(byte) || BOM[at] === byte);
        if (!skip) {
          scanner ??= byte === OPEN[0] && path.toLowerCase().endsWith(".json") ? new ListScanner(path) : new LineScanner();
          scanner.byte(byte, at);
        }
        at++;
      }
    }
  } catch (error) {
    throw error instanceof Error && error.name === "KedgeError" ? error : badFile(path, reasonOf(error), error);
  }
  return scanner?.end(at) ?? { starts: [], ends: [] };
}
