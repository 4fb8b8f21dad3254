import { openFile, readAt } from "../run/line_pieces.ts";

/** Bytes before its place that are compared: whether what was read still stands there. */
const COMPARED = 4096;

/**
 * Reads what a file of JSON lines grew by since the last look. One that has grown too large and was renamed to `<path>.1` is read to its end first. A file that was
 * replaced or cut off, also where it has grown again since, is read from its beginning.
 *
 * @example
 * ```ts
 * import { Tail } from "./tail.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync(), tail = new Tail(path);
 * Deno.writeTextFileSync(path, '{"a":1}\n{"a":2');
 * assertEquals(tail.read(), { begun: true, lines: [{ a: 1 }] });
 * Deno.writeTextFileSync(path, "}\n", { append: true });
 * assertEquals(tail.read(), { begun: false, lines: [{ a: 2 }] });
 * Deno.removeSync(path);
 * ```
 */
export class Tail {
  readonly #path: string;
  readonly #piece: Uint8Array<ArrayBuffer>;
  #inode: number | null | undefined;
  #at = 0;
  /** What stands before its place. */
  #last: Uint8Array = new Uint8Array();
  /** Of a line whose end is not there yet. */
  #rest: Uint8Array = new Uint8Array();

  /** Touches nothing yet. @param options `piece`: bytes that are read in one go, default 1 MiB. */
  constructor(path: string, options: { piece?: number } = {}) {
    this.#path = path;
    this.#piece = new Uint8Array(options.piece ?? 2 ** 20);
  }

  /**
   * The next lines, of one piece of the file at most; none where it has not grown.
   *
   * @returns `begun`: whether they are the first of the file. `lines`: what is no object in JSON is left out.
   */
  read(): { begun: boolean; lines: Record<string, unknown>[] } {
    const lines: Record<string, unknown>[] = [];
    let begun = this.#at === 0;
    using file = openFile(this.#path);
    if (!file) return { begun, lines };
    const { ino } = file.statSync(), isOther = this.#inode !== ino, old = isOther ? openFile(`${this.#path}.1`) : undefined;
    using _ = old;
    if (old && old.statSync().ino === this.#inode && this.#stands(old)) {
      this.#readFrom(old, lines);
      if (lines.length > 0) return { begun, lines };
      [this.#inode, this.#at, this.#rest] = [ino, 0, new Uint8Array()];
    } else if (isOther || !this.#stands(file)) {
      [this.#inode, this.#at, this.#rest, begun] = [ino, 0, new Uint8Array(), true];
    }
    this.#readFrom(file, lines);
    return { begun, lines };
  }

  /** Reads on until there are lines; one longer than a piece takes several. */
  #readFrom(file: Deno.FsFile, lines: Record<string, unknown>[]): void {
    while (lines.length === 0) {
      file.seekSync(this.#at, Deno.SeekMode.Start);
      const count = file.readSync(this.#piece);
      if (count === null) return;
      this.#at += count;
      const bytes = this.#piece.subarray(0, count);
      this.#last = readAt(file, { at: Math.max(0, this.#at - COMPARED), length: Math.min(this.#at, COMPARED) });
      this.#take(bytes, lines);
    }
  }

  /** Whether what was read last still stands before its place. */
  #stands(file: Deno.FsFile): boolean {
    if (this.#at === 0) return true;
    const found = readAt(file, { at: this.#at - this.#last.length, length: this.#last.length });
    return found.length === this.#last.length && found.every((byte, i) => byte === this.#last[i]);
  }

  #take(bytes: Uint8Array, lines: Record<string, unknown>[]): void {
    const end = bytes.lastIndexOf(0x0a), whole = new Uint8Array(this.#rest.length + end + 1);
    if (end < 0) {
      const rest = new Uint8Array(this.#rest.length + bytes.length);
      rest.set(this.#rest);
      rest.set(bytes, this.#rest.length);
      this.#rest = rest;
      return;
    }
    whole.set(this.#rest);
    whole.set(bytes.subarray(0, end + 1), this.#rest.length);
    this.#rest = bytes.slice(end + 1);
    for (const line of new TextDecoder().decode(whole).split("\n")) {
      try {
        const value: unknown = line === "" ? undefined : JSON.parse(line);
        if (typeof value === "object" && value !== null) lines.push(value as Record<string, unknown>);
      } catch { // torn by a crash: the run itself passes over it
      }
    }
  }
}
