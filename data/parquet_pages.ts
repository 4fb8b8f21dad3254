/**
 * Checks the pages of a row group against their bytes. The library trusts a page's counts of values, runs and bytes. A run of 2^30 values
 * would fill the memory, and a block of deltas in fewer parts than one would be read forever.
 *
 * @module
 */
import {
  type AsyncBuffer,
  type ColumnMetaData,
  type CompressionCodec,
  type Compressors,
  type FileMetaData,
  parquetSchema,
  type SchemaTree,
} from "hyparquet";
import { compressors as inScript } from "hyparquet-compressors";
import { brotliDecompressSync, zstdDecompressSync } from "node:zlib";
import { ParquetCursor, type ThriftFields } from "./parquet_cursor.ts";

/**
 * Limits on the decompressed bytes of a page and of a column of a group: a constant, and for each byte in the file what gzip can produce at
 * most.
 */
const PAGE_BYTES = 2 ** 24, COLUMN_BYTES = 2 ** 28, GROWTH = 1032;

/** The distance between columns in what the library reads. It would request nearby columns together, and copy them. */
const APART = 2 ** 40;

type Decompress = (bytes: Uint8Array, size: number) => Uint8Array;

/**
 * Decompressors in TypeScript that produce the expected number of bytes. Those for Brotli and Zstandard produce as many as the data says.
 */
const DECOMPRESS: Readonly<Partial<Record<CompressionCodec, Decompress>>> = {
  UNCOMPRESSED: (bytes) => bytes,
  SNAPPY: inScript.SNAPPY,
  GZIP: inScript.GZIP,
  LZ4: inScript.LZ4,
  LZ4_RAW: inScript.LZ4_RAW,
  BROTLI: (bytes, size) => viewOf(brotliDecompressSync(bytes, { maxOutputLength: Math.max(size, 1) })),
  ZSTD: (bytes, size) => viewOf(zstdDecompressSync(bytes, { maxOutputLength: Math.max(size, 1) })),
};

/** Returns a plain view without Node's methods, because Node's `slice` does not copy. */
function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The data of one row group, as a file that has only this group. */
export interface GroupRead {
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly compressors: Compressors;
}

/**
 * Reads the bytes of a row group and checks its pages. It checks headers now, and compressed data when the library asks for it.
 *
 * @param metadata The file's footer, in which `footerFault` found nothing wrong.
 * @param options `group`: the group's index. `slice`: returns bytes of the file.
 * @returns The source from which the library reads the group's rows. Their indices begin at 0.
 * @throws {RangeError} if a page contains an impossible value.
 */
export function readGroup(
  metadata: FileMetaData,
  options: { group: number; slice: (start: number, end: number) => ArrayBuffer },
): GroupRead {
  const whole = metadata.row_groups[options.group]!, tree = parquetSchema(metadata), compressors: Record<string, Decompress> = {};
  const chunks: ArrayBuffer[] = [];
  const columns = whole.columns.map((column, i) => {
    const meta = column.meta_data!, start = Number(meta.dictionary_page_offset || meta.data_page_offset);
    const buffer = options.slice(start, start + Number(meta.total_compressed_size)), levels = levelsOf(tree, meta.path_in_schema);
    chunks.push(buffer);
    // Each column has its own codec name, so that its pages are known when they are decompressed, and its own position, so that it is not
    // copied.
    const codec = `column ${i}`,
      own = { codec: codec as CompressionCodec, "data_page_offset": BigInt(i * APART), "dictionary_page_offset": undefined };
    compressors[codec] = new ColumnPages(new Uint8Array(buffer), { meta, levels, rows: Number(whole.num_rows) }).decompress;
    return { ...column, meta_data: { ...meta, ...own } };
  });
  const file = { byteLength: chunks.length * APART, slice: (start: number) => chunks[start / APART]! };
  return { file, metadata: { ...metadata, row_groups: [{ ...whole, columns }] }, compressors };
}

/** The maximum repetition and definition levels of a column. */
interface Levels {
  readonly repeated: number;
  readonly defined: number;
  /** Whether each row has at most one value. */
  readonly flat: boolean;
}

function levelsOf(tree: SchemaTree, path: readonly string[]): Levels {
  let node = tree, repeated = node.element.repetition_type === "REPEATED" ? 1 : 0, defined = 0;
  for (const name of path) {
    node = node.children.find(({ element }) => element.name === name)!;
    if (node.element.repetition_type === "REPEATED") repeated++;
    if (node.element.repetition_type !== "REQUIRED") defined++;
  }
  return { repeated, defined, flat: path.length === 1 && node.element.repetition_type !== "REPEATED" };
}

/** Checks a page when it is decompressed. */
type Check = (page: Uint8Array) => void;

interface ColumnOptions {
  readonly meta: ColumnMetaData;
  readonly levels: Levels;
  readonly rows: number;
}

/** The pages of a column. */
class ColumnPages {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  readonly #boolean: boolean;
  readonly #levels: Levels;
  readonly #checks: Check[] = []; // for the pages that are still to be decompressed, in order
  readonly #decompress: Decompress | undefined;
  readonly #codec: string;
  #left: number; // the number of values left, by the footer

  constructor(bytes: Uint8Array, { meta, levels, rows }: ColumnOptions) {
    this.#bytes = bytes;
    this.#name = meta.path_in_schema.join(".");
    this.#boolean = meta.type === "BOOLEAN";
    this.#levels = levels;
    this.#codec = meta.codec;
    this.#decompress = DECOMPRESS[meta.codec];
    this.#left = Number(meta.num_values);
    const values = this.#left;
    let size = 0;
    // The library treats a last byte as nothing.
    for (let at = 0; at < bytes.length - 1 && !(levels.flat && this.#left === 0);) {
      const { end, whole } = this.#withContext(() => this.#page(at), `the page at byte ${at}`);
      size += whole;
      if (size > COLUMN_BYTES + GROWTH * bytes.length) {
        throw new RangeError(`the pages of column ${this.#name} have ${size} bytes when decompressed`);
      }
      at = end;
    }
    if (levels.flat && values - this.#left < rows) {
      throw new RangeError(`the pages of column ${this.#name} have ${values - this.#left} values for ${rows} rows`);
    }
  }

  /** Decompresses a page and checks it. The library asks for pages in order. */
  readonly decompress: Decompress = (bytes, size) => {
    const check = this.#checks.shift();
    if (!this.#decompress) throw new RangeError(`column ${this.#name} is compressed as ${this.#codec}, which is not read`);
    if (!check) throw new RangeError(`column ${this.#name} has too many pages`);
    const page = this.#decompress(bytes, size);
    if (page.length === size) this.#withContext(() => check(page), "a page"); // the library reports a wrong size
    return page;
  };

  #withContext<T>(run: () => T, what: string): T {
    try {
      return run();
    } catch (error) {
      throw new RangeError(`${what} of column ${this.#name} is damaged: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Checks a page's header. `end` is where the next page begins, and `whole` the decompressed size. */
  #page(at: number): { end: number; whole: number } {
    const cursor = new ParquetCursor(this.#bytes, at), header = cursor.struct();
    const whole = numberOf(header, 2), packed = numberOf(header, 3), start = cursor.at;
    cursor.skip(packed);
    if (!(whole >= 0 && whole <= PAGE_BYTES + GROWTH * packed)) throw new RangeError(`it has ${packed} bytes, or ${whole} decompressed`);
    const body = this.#bytes.subarray(start, cursor.at), type = numberOf(header, 1), about = header.get([5, NaN, 7, 8][type] ?? NaN);
    if (!(about instanceof Map)) throw new RangeError(`its header does not belong to a page of type ${type}`);
    const values = numberOf(about, 1), most = type === 2 ? whole : this.#left;
    if (!(values >= 0 && values <= most)) throw new RangeError(`it has ${values} values, but at most ${most} are possible`);
    if (type !== 2) this.#left -= values;
    if (type === 0) this.#checks.push((page) => this.#levelled(page, { values, encoding: numberOf(about, 2) }));
    else if (type === 2) this.#checks.push(() => {});
    else this.#second(body, { about, whole });
    return { end: cursor.at, whole };
  }

  /** Checks a page whose levels are compressed together with its values. */
  #levelled(page: Uint8Array, { values, encoding }: { values: number; encoding: number }): void {
    const cursor = new ParquetCursor(page);
    let there = values;
    for (const most of [this.#levels.repeated, this.#levels.defined]) {
      if (most === 0) continue;
      const length = cursor.length(), start = cursor.at;
      there = cursor.runs({ width: widthOf(most), count: values, most });
      cursor.at = start + length;
    }
    if (this.#levels.defined === 0) there = values;
    this.#values(cursor, { page, count: there, encoding, second: false });
  }

  /** Checks a page of the second version, whose levels are not compressed. */
  #second(body: Uint8Array, { about, whole }: { about: ThriftFields; whole: number }): void {
    const [values, nulls, rows, encoding, defined, repeated] = [1, 2, 3, 4, 5, 6].map((id) => numberOf(about, id)) as [
      number,
      number,
      ...number[],
    ];
    const levels = defined! + repeated!;
    if (!(defined! >= 0 && repeated! >= 0 && levels <= body.length && levels <= whole)) {
      throw new RangeError(`its levels have ${levels} bytes`);
    }
    if (!(nulls >= 0 && nulls <= values && rows! >= 0)) {
      throw new RangeError(`it has ${values} values, ${nulls} of them null, in ${rows} rows`);
    }
    const { repeated: deepest, defined: fullest } = this.#levels;
    if (deepest > 0) new ParquetCursor(body.subarray(0, repeated)).runs({ width: widthOf(deepest), count: values });
    if (fullest > 0) new ParquetCursor(body.subarray(repeated, levels)).runs({ width: widthOf(fullest), count: values });
    const check = (page: Uint8Array) =>
      this.#values(new ParquetCursor(page), { page, count: values - nulls, encoding: encoding!, second: true });
    if (about.get(7) === false) check(body.subarray(fullest > 0 ? levels : repeated));
    else this.#checks.push(check);
  }

  /** Checks the values of a page, if their encoding has counts of its own. */
  #values(cursor: ParquetCursor, options: { page: Uint8Array; count: number; encoding: number; second: boolean }): void {
    const { page, count, encoding, second } = options;
    switch (encoding) {
      case 2: // a dictionary
      case 3: // runs
      case 8: // a dictionary
        if (second ? encoding === 3 : this.#boolean) {
          cursor.length();
          cursor.runs({ width: 1, count });
        } else {
          const width = cursor.byte();
          if (width > 32) throw new RangeError(`a number of its dictionary has ${width} bits`);
          if (width > 0 || second) cursor.runs({ width, count });
        }
        break;
      case 5: // deltas
      case 6: // bytes, preceded by their lengths as deltas
        cursor.deltas({ count });
        break;
      case 7:
        checkShared(cursor, { count, most: PAGE_BYTES + GROWTH * page.length });
        break;
    }
  }
}

/** Checks texts that each give the length of the prefix they share with the previous one. */
function checkShared(cursor: ParquetCursor, { count, most }: { count: number; most: number }): void {
  const shared: number[] = [];
  let last = 0, total = 0, i = 0;
  cursor.deltas({ count, each: (value) => shared.push(value) });
  cursor.deltas({
    count,
    each: (value) => {
      const before = shared[i++]!;
      if (!(value >= 0 && before >= 0 && before <= last)) {
        throw new RangeError(`a text of it shares ${before} of the ${last} bytes before it, and has ${value} more`);
      }
      last = before + value;
      total += last;
      if (total > most) throw new RangeError(`its texts have more than ${most} bytes`);
    },
  });
}

/** Returns a number that a header must contain. */
function numberOf(fields: ThriftFields, id: number): number {
  const value = fields.get(id);
  if (typeof value !== "number") throw new RangeError(`its header has no number in field ${id}`);
  return value;
}

/** Returns the bits of a level. */
function widthOf(most: number): number {
  return 32 - Math.clz32(most);
}
