import { openFile, readAt } from "./file_bytes.ts";

/** The position of a line in a file that may be renamed. */
export interface LinePosition {
  /** The number of the file. It rises: the newest file is the one that grows. */
  readonly file: number;
  /** The offset in bytes at which the line begins. */
  readonly offset: number;
  /** The bytes of the line without its line feed. */
  readonly length: number;
}

const NEWLINE = 0x0a, PIECE = 1 << 20;
/** The last bytes of a line that are kept, to see whether the file was cut and has grown again. */
const COMPARED = 1 << 16;

/**
 * Follows a file of lines and reads what is new. Another thread appends to the file, cuts it where a run is resumed, and renames it to
 * `<path>.1` where it has grown too large.
 */
export class LineReader {
  readonly #path: string;
  readonly #take: (line: Uint8Array, position: LinePosition) => void;
  readonly #restart: () => void;
  /** The inode of the file that is read; undefined while there is none. */
  #file: number | null | undefined;
  /**
   * The number of that file, and the inodes of the last files by number. The system may give the inode of a removed file to another one.
   */
  #number = 0;
  readonly #inodes = new Map<number, number | null>();
  #offset = 0;
  /** The end of what was read, with the line feed of the last line. */
  #last = new Uint8Array();
  #busy: Promise<void> = Promise.resolve();

  /**
   * Opens nothing yet.
   *
   * @param path The file; it need not be there yet.
   * @param listeners `take` receives each whole line; it may use the bytes until it returns. `restart` is called before all lines come
   *   again, from the first.
   */
  constructor(path: string, { take, restart }: { take: (line: Uint8Array, position: LinePosition) => void; restart: () => void }) {
    this.#path = path;
    this.#take = take;
    this.#restart = restart;
  }

  /** Reads the lines that are new. Calls wait for one another. */
  readNew(): Promise<void> {
    return this.#busy = this.#busy.catch(() => {}).then(() => this.#readNew());
  }

  /**
   * Reads a line again, or several that follow one another. Returns undefined where their file is gone or was cut. Where it was cut and
   * has grown again since the last reading, the bytes may be those of another line: check what they say.
   */
  async line({ file: number, offset, length }: LinePosition): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const inode = this.#inodes.get(number);
    for (const path of [this.#path, `${this.#path}.1`]) {
      // deno-lint-ignore no-await-in-loop -- the second only where it is not the first
      using file = await openFile(path);
      // deno-lint-ignore no-await-in-loop -- as above
      if (!file || (await file.stat()).ino !== inode) continue;
      // deno-lint-ignore no-await-in-loop -- as above
      const bytes = await readAt(file, { at: offset, length });
      return bytes.length < length ? undefined : bytes;
    }
    return undefined;
  }

  async #readNew(): Promise<void> {
    using file = await openFile(this.#path);
    using before = await openFile(`${this.#path}.1`);
    const old = before && (await before.stat()).ino;
    // Between the renaming of a file and the next one's first line there is none.
    if (!file) return before && this.#file !== undefined && old === this.#file ? undefined : this.#begin(undefined);
    const { ino } = await file.stat();
    if (this.#file === undefined) await this.#readAnew(before, old);
    else if (ino !== this.#file && before && old === this.#file && await this.#stands(before)) await this.#read(before);
    else if (ino !== this.#file || !await this.#stands(file)) await this.#readAnew(before, old);
    if (this.#file !== ino || this.#file === undefined) this.#enter(ino);
    await this.#read(file);
  }

  /** Whether the file still holds what was read last, at the same offset: a file that was cut may have grown again. */
  async #stands(file: Deno.FsFile): Promise<boolean> {
    const at = this.#offset - this.#last.length, bytes = await readAt(file, { at, length: this.#last.length });
    return bytes.length === this.#last.length && bytes.every((byte, i) => byte === this.#last[i]);
  }

  /** Reads all lines from the first one on, beginning with the older file. */
  async #readAnew(before: Deno.FsFile | undefined, id: number | null | undefined): Promise<void> {
    this.#begin(id);
    if (before) await this.#read(before);
    this.#enter(undefined);
  }

  async #read(file: Deno.FsFile): Promise<void> {
    let rest = new Uint8Array();
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- piece after piece
      const piece = await readAt(file, { at: this.#offset + rest.length, length: PIECE });
      if (piece.length === 0) return;
      const bytes = new Uint8Array(rest.length + piece.length);
      bytes.set(rest);
      bytes.set(piece, rest.length);
      let start = 0, before = 0;
      for (let end = bytes.indexOf(NEWLINE, rest.length); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        this.#take(bytes.subarray(start, end), { file: this.#number, offset: this.#offset + start, length: end - start });
        before = start;
        start = end + 1;
      }
      if (start > 0) this.#last = bytes.slice(Math.max(before, start - COMPARED), start);
      this.#offset += start;
      rest = bytes.slice(start);
    }
  }

  #begin(file: number | null | undefined): void {
    if (this.#file !== undefined) this.#restart();
    this.#enter(file);
  }

  /** Begins to read a file at its start. */
  #enter(file: number | null | undefined): void {
    this.#file = file;
    if (file !== undefined) this.#inodes.set(++this.#number, file);
    for (const number of this.#inodes.keys()) if (number < this.#number - 1) this.#inodes.delete(number);
    this.#offset = 0;
    this.#last = new Uint8Array();
  }
}
