/**
 * TensorBoard event files: records of TFRecord, each a protobuf `Event`.
 *
 * @module
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C (Castagnoli) of bytes. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** The CRC as TFRecord stores it: turned by 15 bits, plus a constant. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** A TFRecord: length (u64), its masked CRC, data, its masked CRC. */
function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + data.length), view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return bytes;
}

/** Fields of a protobuf message, in the order they are added. */
class Message {
  readonly #bytes: number[] = [];

  varint(field: number, value: number): this {
    return this.#number(field << 3).#number(value);
  }

  double(field: number, value: number): this {
    return this.#number(field << 3 | 1).#raw(new Uint8Array(Float64Array.of(value).buffer));
  }

  float(field: number, value: number): this {
    return this.#number(field << 3 | 5).#raw(new Uint8Array(Float32Array.of(value).buffer));
  }

  bytes(field: number, value: Uint8Array | string): this {
    const data = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return this.#number(field << 3 | 2).#number(data.length).#raw(data);
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #number(value: number): this {
    let rest = BigInt(value);
    for (; rest > 127n; rest >>= 7n) this.#bytes.push(Number(rest & 127n) | 128);
    this.#bytes.push(Number(rest));
    return this;
  }

  #raw(bytes: Uint8Array): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }
}

/**
 * Writes scalars to an event file of its own. A run that goes on writes a new file into the same folder, and TensorBoard joins them.
 *
 * @example
 * ```ts
 * import { TensorBoardWriter } from "./tensorboard.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * {
 *   using board = new TensorBoardWriter(folder);
 *   board.scalars(1, { "reward/overall": 0.5 });
 * }
 * assertEquals([...Deno.readDirSync(folder)].length, 1);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class TensorBoardWriter implements Disposable {
  readonly #file: Deno.FsFile;
  #closed = false;
  /** The event file. */
  readonly path: string;

  /**
   * Makes the file.
   *
   * @param folder Where; made if need be.
   * @param options `purgeFrom`: TensorBoard forgets what older files say of this step and later ones. `now`: milliseconds; default: the clock's.
   */
  constructor(folder: string, options: { purgeFrom?: number; now?: number } = {}) {
    const { purgeFrom, now = Date.now() } = options;
    Deno.mkdirSync(folder, { recursive: true });
    const seconds = String(Math.floor(now / 1000)).padStart(10, "0");
    const own = crypto.randomUUID().slice(0, 8); // two of one process within a second
    this.path = `${folder}/events.out.tfevents.${seconds}.kedge.${Deno.pid}.${own}`;
    this.#file = Deno.openSync(this.path, { write: true, createNew: true });
    this.#write(new Message().double(1, now / 1000).bytes(3, "brain.Event:2"));
    if (purgeFrom !== undefined) {
      this.#write(new Message().double(1, now / 1000).varint(2, purgeFrom).bytes(7, new Message().varint(1, 1).done()));
    }
  }

  /**
   * Writes the numbers of a step; what is no number is passed over.
   *
   * @param step The step.
   * @param values Scalars by tag.
   * @param wallTime Milliseconds; default: the clock's.
   */
  scalars(step: number, values: Readonly<Record<string, unknown>>, wallTime: number = Date.now()): void {
    if (this.#closed) throw new TypeError(`Cannot write to ${this.path}: it was closed`);
    const summary = new Message();
    let count = 0;
    for (const [tag, value] of Object.entries(values)) {
      if (typeof value !== "number" || tag === "step") continue;
      summary.bytes(1, new Message().bytes(1, tag).float(2, value).done());
      count++;
    }
    if (count > 0) this.#write(new Message().double(1, wallTime / 1000).varint(2, step).bytes(5, summary.done()));
  }

  #write(event: Message): void {
    const bytes = record(event.done());
    for (let done = 0; done < bytes.length;) done += this.#file.writeSync(bytes.subarray(done));
  }

  /** Closes the file, once it is on the disk. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file.syncSync();
    this.#file.close();
  }

  /** As {@linkcode TensorBoardWriter.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
