/**
 * TensorBoard's event files. They are TFRecords of protobuf messages; only scalars are written.
 *
 * @module
 */
import { bytesOf, double, field, float, integer, text } from "./protobuf.ts";
import { namesIn, removeAll, sizeOf } from "./whole_file.ts";

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0x82f63b78 ^ (n >>> 1) : n >>> 1;
  return n;
});

/**
 * Computes CRC-32C (Castagnoli).
 *
 * @example
 * ```ts
 * import { crc32c } from "./tensorboard.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
 * ```
 */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Returns a CRC as TFRecord stores it: rotated and shifted, because the CRC of data that holds its own CRC is weak. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Returns a record: the length, its CRC, the data, its CRC. */
function record(data: readonly number[]): Uint8Array {
  const length = bytesOf(8, (view) => view.setBigUint64(0, BigInt(data.length), true)), body = Uint8Array.from(data);
  const crc = (bytes: Uint8Array) => bytesOf(4, (view) => view.setUint32(0, masked(bytes), true));
  return Uint8Array.from([...length, ...crc(length), ...body, ...crc(body)]);
}

/** The names of the files that {@linkcode TensorBoard} writes. No other program uses them. */
const OWN = /^events\.out\.tfevents\.\d+\.kedge\.\d+$/;

/**
 * The scalars of a run in an event file. A resumed run writes another file beside it, and TensorBoard joins them.
 *
 * @example
 * ```ts
 * import { TensorBoard } from "@kedge/kedge/actors";
 * import { assert } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync(), board = new TensorBoard(folder), before = Deno.statSync(board.path).size;
 * board.scalars(1, { step: 1, "actor/pg_loss": 0.5 });
 * assert(Deno.statSync(board.path).size > before);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class TensorBoard {
  readonly #folder: string;
  readonly #maxBytes: number;
  #path = "";
  #size = 0;

  /**
   * Begins a new file.
   *
   * @param folder The folder of the files. Their names hold the time.
   * @param options `maxBytes`: the most bytes of a file, after which the next one is begun; older files are kept up to as many bytes.
   *   Default: no limit.
   */
  constructor(folder: string, { maxBytes = Infinity }: { maxBytes?: number } = {}) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
    this.#begin();
  }

  /** The path of the current file. */
  get path(): string {
    return this.#path;
  }

  /** Writes all numbers of a line. Other values are left out. */
  scalars(step: number, line: Readonly<Record<string, unknown>>): void {
    // Summary: 1 value; Value: 1 tag, 2 simple_value (float).
    const values = Object.entries(line).flatMap(([tag, value]) =>
      typeof value === "number" && tag !== "step" ? field(1, [...text(1, tag), ...float(2, value)]) : []
    );
    if (values.length === 0) return;
    const event = record([...double(1, Date.now() / 1000), ...integer(2, step), ...field(5, values)]);
    if (this.#size + event.length > this.#maxBytes) this.#begin();
    this.#write(event);
  }

  #begin(): void {
    this.#prune();
    let now = Date.now();
    const nameAt = (time: number) => `events.out.tfevents.${Math.floor(time / 1000)}.kedge.${time % 1000}`,
      there = new Set(namesIn(this.#folder));
    while (there.has(nameAt(now))) now++;
    this.#path = `${this.#folder}/${nameAt(now)}`;
    this.#size = 0;
    // Event: 1 wall_time (double), 2 step (varint), 3 file_version, 5 summary.
    this.#write(record([...double(1, now / 1000), ...text(3, "brain.Event:2")]));
  }

  /** Removes the oldest files until the others are small enough. */
  #prune(): void {
    if (this.#maxBytes === Infinity) return;
    const timeOf = (name: string) => name.split(".").map(Number), all = namesIn(this.#folder).filter((name) => OWN.test(name));
    let bytes = 0;
    for (const name of all.toSorted((a, b) => timeOf(b)[3]! - timeOf(a)[3]! || timeOf(b)[5]! - timeOf(a)[5]!)) {
      bytes += sizeOf(`${this.#folder}/${name}`);
      if (bytes > this.#maxBytes) removeAll(`${this.#folder}/${name}`);
    }
  }

  #write(bytes: Uint8Array): void {
    Deno.writeFileSync(this.#path, bytes, { append: true });
    this.#size += bytes.length;
  }
}
