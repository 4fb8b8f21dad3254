/**
 * The log file of a Weights & Biases run, as the `wandb` client writes it offline: LevelDB's log format (its document "Log format",
 * github.com/google/leveldb) behind a header of 7 bytes, with CRC-32 in place of CRC-32C, of `Record` messages
 * (wandb/proto/wandb_internal.proto). Checked against wandb 0.30.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { field, integer, text } from "../run/protobuf.ts";

const HEADER = Uint8Array.of(0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0); // ":W&B", 0xbee1, version 0
const BLOCK = 32_768, FRAGMENT = 7; // bytes of a block and of a fragment's head: crc u32, length u16, kind u8
const FULL = 1, FIRST = 2, MIDDLE = 3, LAST = 4;

/** The numbers of the fields of `Record` that hold a record's content. */
export const RECORD = { history: 2, summary: 3, files: 6, run: 17, exit: 18, header: 21, metric: 12 } as const;

/**
 * Appends records to a log file. An existing file is continued after its last whole record.
 *
 * @example
 * ```ts
 * import { RECORD, WandbLog } from "./wandb_log.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync(), path = `${folder}/run-a.wandb`;
 * {
 *   using log = WandbLog.open(path);
 *   log.append(RECORD.exit, []);
 * }
 * using log = WandbLog.open(path);
 * assertEquals(log.count(RECORD.exit), 1);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class WandbLog implements Disposable {
  readonly #file: Deno.FsFile;
  #size: number;
  /** The kind of each record. */
  readonly #kinds: number[];

  private constructor(file: Deno.FsFile, place: { size: number; kinds: number[] }) {
    this.#file = file;
    this.#size = place.size;
    this.#kinds = place.kinds;
  }

  /**
   * Opens a log, and makes it if it is missing.
   *
   * @param options `reopen`: whether a record "exit" at the end is removed, because the run continues.
   */
  static open(path: string, options: { reopen?: boolean } = {}): WandbLog {
    const file = Deno.openSync(path, { read: true, write: true, create: true });
    try {
      const whole = scan(file), keep = options.reopen && whole.at(-1)?.kind === RECORD.exit ? whole.slice(0, -1) : whole;
      const size = keep.at(-1)?.end ?? HEADER.length;
      file.truncateSync(size);
      if (keep.length === 0) {
        file.seekSync(0, Deno.SeekMode.Start);
        writeAll(file, HEADER);
      }
      file.seekSync(size, Deno.SeekMode.Start);
      return new WandbLog(file, { size, kinds: keep.map(({ kind }) => kind) });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Returns how many records the log holds. @param kind A value of {@linkcode RECORD}. Default: all kinds. */
  count(kind?: number): number {
    return kind === undefined ? this.#kinds.length : this.#kinds.filter((other) => other === kind).length;
  }

  /** Appends a record. @param kind A value of {@linkcode RECORD}. @param content The message in that field. */
  append(kind: number, content: Iterable<number>): void {
    const record = Uint8Array.from([...integer(1, this.#kinds.length + 1), ...field(kind, content)]), pieces: Uint8Array[] = [];
    let done = 0, size = this.#size;
    do {
      const left = BLOCK - size % BLOCK;
      if (left < FRAGMENT) {
        pieces.push(new Uint8Array(left));
        size += left;
        continue;
      }
      const end = Math.min(record.length, done + left - FRAGMENT), last = end === record.length;
      pieces.push(fragment(done === 0 ? (last ? FULL : FIRST) : last ? LAST : MIDDLE, record.subarray(done, end)));
      size += FRAGMENT + end - done;
      done = end;
    } while (done < record.length);
    const bytes = new Uint8Array(size - this.#size);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    writeAll(this.#file, bytes);
    this.#size = size;
    this.#kinds.push(kind);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function fragment(kind: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAGMENT + body.length), view = new DataView(bytes.buffer);
  bytes[6] = kind;
  bytes.set(body, FRAGMENT);
  view.setUint32(0, crc32(bytes.subarray(6)), true);
  view.setUint16(4, body.length, true);
  return bytes;
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

/** Reads the whole records of a file: the end and the kind of each. A torn record and all after it are left out. */
function scan(file: Deno.FsFile): { end: number; kind: number }[] {
  const records: { end: number; kind: number }[] = [], block = new Uint8Array(BLOCK);
  let first: Uint8Array | undefined;
  for (let start = 0;; start += BLOCK) {
    file.seekSync(start, Deno.SeekMode.Start);
    const size = fill(file, block);
    if (start === 0 && (size < HEADER.length || HEADER.some((byte, i) => block[i] !== byte))) return records;
    let at = start === 0 ? HEADER.length : 0;
    while (at + FRAGMENT <= size) {
      const view = new DataView(block.buffer, at), end = at + FRAGMENT + view.getUint16(4, true), kind = block[at + 6]!;
      if (end > size || view.getUint32(0, true) !== crc32(block.subarray(at + 6, end))) return records;
      if (kind === FULL || kind === FIRST) first = block.slice(at + FRAGMENT, end);
      if (kind === FULL || kind === LAST) records.push({ end: start + end, kind: kindOf(first!) });
      at = end;
    }
    if (size < BLOCK) return records;
  }
}

/** Returns the field that follows a record's number. */
function kindOf(record: Uint8Array): number {
  let at = 1; // the tag of the number
  while (record[at]! & 128) at++;
  let value = 0;
  for (let factor = 1;; factor *= 128) {
    const byte = record[++at]!;
    value += (byte & 127) * factor;
    if (!(byte & 128)) return value >> 3;
  }
}

function fill(file: Deno.FsFile, bytes: Uint8Array): number {
  let done = 0;
  for (let read: number | null; done < bytes.length && (read = file.readSync(bytes.subarray(done))) !== null;) done += read;
  return done;
}

/** Returns a `ConfigItem`: 1 key, 16 value_json. */
export function configItem(key: string, value: unknown): number[] {
  return [...text(1, key), ...text(16, JSON.stringify(value))];
}

/** Returns a `HistoryItem` or `SummaryItem`: 2 nested_key, one for each level, 16 value_json. */
export function historyItem(names: readonly string[], value: unknown): number[] {
  return [...names.flatMap((name) => text(2, name)), ...text(16, JSON.stringify(value))];
}
