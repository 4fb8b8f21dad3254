/** Where a line of a file stands. */
export interface LinePlace {
  /** Which file, by a number that rises: the newest is the one that grows. */
  readonly file: number;
  readonly offset: number;
  /** Without its end. */
  readonly length: number;
}

const NEWLINE = 0x0a, PIECE = 1 << 20;
/** Bytes of the last line that are compared: whether what was read still stands there. */
const COMPARED = 1 << 16;

/**
 * Follows a file of lines that another thread appends to, cuts where a run is resumed, and renames to `<path>.1` where it has grown too large: reads what came since the
 * last look.
 */
export class LineReader {
  readonly #path: string;
  readonly #take: (line: Uint8Array, place: LinePlace) => void;
  readonly #restart: () => void;
  /** Undefined while there is no file. */
  #file: number | null | undefined;
  /** Its number, and inodes by number: the system gives those of files that are gone to others. */
  #number = 0;
  readonly #inodes = new Map<number, number | null>();
  #offset = 0;
  /** The end of what was read, with the last line's own end. */
  #last = new Uint8Array();
  #busy: Promise<void> = Promise.resolve();

  /**
   * @param path Of the file; it need not be there yet.
   * @param given `take` is given each whole line; the bytes are its own until it returns. `restart` is told that all lines come again, from the first.
   */
  constructor(path: string, given: { take: (line: Uint8Array, place: LinePlace) => void; restart: () => void }) {
    this.#path = path;
    this.#take = given.take;
    this.#restart = given.restart;
  }

  /** Reads what is new. Calls wait for one another. */
  look(): Promise<void> {
    return this.#busy = this.#busy.catch(() => {}).then(() => this.#look());
  }

  /**
   * The bytes of a line, or of lines behind one another; undefined where their file is gone or was cut. Where that has happened since the last look they may be others:
   * look at what they say.
   */
  async line({ file: number, offset, length }: LinePlace): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const inode = this.#inodes.get(number);
    for (const path of [this.#path, `${this.#path}.1`]) {
      // deno-lint-ignore no-await-in-loop -- the second only where it is not the first
      using file = await open(path);
      // deno-lint-ignore no-await-in-loop -- as above
      if (!file || (await file.stat()).ino !== inode) continue;
      // deno-lint-ignore no-await-in-loop -- as above
      const bytes = await readAt(file, { at: offset, length });
      return bytes.length < length ? undefined : bytes;
    }
    return undefined;
  }

  async #look(): Promise<void> {
    using file = await open(this.#path);
    using before = await open(`${this.#path}.1`);
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

  /** Whether what was read last still stands where it did: a file that was cut may have grown again. */
  async #stands(file: Deno.FsFile): Promise<boolean> {
    const at = this.#offset - this.#last.length, found = await readAt(file, { at, length: this.#last.length });
    return found.length === this.#last.length && found.every((byte, i) => byte === this.#last[i]);
  }

  /** All from the first line on, beginning with the file that this one was before. */
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

  /** Goes to the start of a file. */
  #enter(file: number | null | undefined): void {
    this.#file = file;
    if (file !== undefined) this.#inodes.set(++this.#number, file);
    for (const number of this.#inodes.keys()) if (number < this.#number - 1) this.#inodes.delete(number);
    this.#offset = 0;
    this.#last = new Uint8Array();
  }
}

/** Bytes of a file from `at` on, `length` at most. */
async function readAt(file: Deno.FsFile, { at, length }: { at: number; length: number }): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await file.seek(at, Deno.SeekMode.Start);
  let done = 0;
  // deno-lint-ignore no-await-in-loop -- until it is full
  for (let n: number | null; done < length && (n = await file.read(bytes.subarray(done))) !== null;) done += n;
  return bytes.subarray(0, done);
}

async function open(path: string): Promise<Deno.FsFile | undefined> {
  try {
    return await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
