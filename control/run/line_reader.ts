/** Where a line of a file stands. */
export interface LinePlace {
  readonly offset: number;
  /** Without its end. */
  readonly length: number;
}

const NEWLINE = 0x0a, PIECE = 1 << 20;

/** Follows a file of lines that another thread appends to, and now and then replaces: reads what came since the last look. */
export class LineReader {
  readonly #path: string;
  readonly #take: (line: Uint8Array, place: LinePlace) => void;
  readonly #restart: () => void;
  #identity: number | null | undefined;
  #offset = 0;
  #busy: Promise<void> = Promise.resolve();

  /**
   * @param path Of the file; it need not be there yet.
   * @param given `take` is given each whole line; the bytes are its own until it returns. `restart` is told that the file is another one now, from its start.
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

  /** The bytes of a line; undefined where the file was replaced meanwhile. */
  async line({ offset, length }: LinePlace): Promise<Uint8Array<ArrayBuffer> | undefined> {
    using file = await open(this.#path);
    if (!file || (await file.stat()).ino !== this.#identity) return undefined;
    const bytes = new Uint8Array(length);
    await file.seek(offset, Deno.SeekMode.Start);
    // deno-lint-ignore no-await-in-loop -- until it is full
    for (let at = 0, n: number | null; at < length; at += n) if ((n = await file.read(bytes.subarray(at))) === null) return undefined;
    return bytes;
  }

  async #look(): Promise<void> {
    using file = await open(this.#path);
    if (!file) return this.#begin(undefined);
    const { ino, size } = await file.stat();
    if (ino !== this.#identity || size < this.#offset) this.#begin(ino);
    await file.seek(this.#offset, Deno.SeekMode.Start);
    let rest = new Uint8Array();
    const piece = new Uint8Array(PIECE);
    // deno-lint-ignore no-await-in-loop -- piece after piece
    for (let n = await file.read(piece); n !== null; n = await file.read(piece)) {
      const bytes = new Uint8Array(rest.length + n);
      bytes.set(rest);
      bytes.set(piece.subarray(0, n), rest.length);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        this.#take(bytes.subarray(start, end), { offset: this.#offset + start, length: end - start });
        start = end + 1;
      }
      this.#offset += start;
      rest = bytes.slice(start);
    }
  }

  #begin(identity: number | null | undefined): void {
    if (this.#identity !== undefined) this.#restart();
    this.#identity = identity;
    this.#offset = 0;
  }
}

async function open(path: string): Promise<Deno.FsFile | undefined> {
  try {
    return await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
