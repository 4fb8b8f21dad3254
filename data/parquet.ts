import { type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { KedgeError } from "../ffi/errors.ts";
import { Columns } from "./columns.ts";
import { badFile, fileName, type Folders, pathInside, readRange, reasonOf } from "./file_ranges.ts";
import { type FileOptions, foldersOf } from "./json_lines.ts";
import { footerFault } from "./parquet_footer.ts";
import { readGroup } from "./parquet_pages.ts";
import type { DataFile, Dataset, Sample } from "./sample.ts";

/** How to open a Parquet file. */
export interface ParquetOptions extends FileOptions {
  /** The number of row groups that are kept in memory, the most recently used ones. Default: 2. */
  readonly cachedGroups?: number;
}

type Rows = readonly Readonly<Record<string, unknown>>[];

/**
 * The rows of a Parquet file. Pictures are bytes in { bytes, path }, or paths. A row group is read when one of its rows is needed.
 *
 * @example
 * ```ts
 * import { ParquetDataset } from "@kedge/kedge/data";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assertRejects } from "@std/assert";
 *
 * // const dataset = await ParquetDataset.open("train.parquet", { promptKey: "question" });
 * await assertRejects(() => ParquetDataset.open("no/such/train.parquet"), KedgeError, "no/such/train.parquet");
 * ```
 */
export class ParquetDataset implements Dataset {
  readonly name: string;
  readonly size: number;
  readonly files: readonly DataFile[];
  readonly #path: string;
  readonly #folders: Folders;
  readonly #metadata: FileMetaData;
  readonly #starts: readonly number[]; // the first row of each row group, and at the end the number of rows
  readonly #columns: Columns;
  readonly #cachedGroups: number;
  readonly #groups = new Map<number, Promise<Rows>>(); // the most recently used one is at the end

  private constructor(path: string, options: ParquetOptions, metadata: FileMetaData) {
    const { cachedGroups = 2, name } = options;
    if (!(cachedGroups >= 1)) throw new RangeError(`Cannot keep ${cachedGroups} row groups: the number must be at least 1`);
    const starts = [0];
    for (const group of metadata.row_groups) starts.push(starts.at(-1)! + Number(group.num_rows));
    this.name = name ?? fileName(path);
    this.size = starts.at(-1)!;
    this.#path = path;
    this.files = [{ path, name: this.name, rows: this.size }];
    this.#folders = foldersOf(path, options);
    this.#metadata = metadata;
    this.#starts = starts;
    this.#columns = new Columns(options);
    this.#cachedGroups = cachedGroups;
  }

  /**
   * Opens a file and reads its footer.
   *
   * @param path The file.
   * @param options The columns, and the folders of pictures outside the file.
   * @throws {KedgeError} `BadData` if the file cannot be read or has no rows.
   * @throws {RangeError} for an unknown prompt format.
   */
  static async open(path: string, options: ParquetOptions = {}): Promise<ParquetDataset> {
    let metadata;
    try {
      const byteLength = (await Deno.stat(path)).size;
      const slice = (start: number, end = byteLength) => readRange(path, { start, end }).buffer;
      const file = { byteLength, slice };
      metadata = await parquetMetadataAsync(file);
      const fault = footerFault(metadata, file);
      if (fault !== undefined) throw new Error(fault);
    } catch (error) {
      throw badFile(path, reasonOf(error), error);
    }
    const dataset = new ParquetDataset(path, options, metadata);
    if (dataset.size === 0) throw badFile(path, "it has no rows");
    return dataset;
  }

  async sample(index: number): Promise<Sample> {
    if (!Number.isInteger(index) || index < 0 || index >= this.size) {
      throw new RangeError(`Cannot read row ${index} of ${this.name}: it has ${this.size} rows`);
    }
    const group = this.#starts.findLastIndex((start) => start <= index);
    const rows = await this.#group(group, index), values = rows[index - this.#starts[group]!];
    if (values === undefined) {
      const words = `Cannot read row ${index} of ${this.#path}: its row group has ${rows.length} rows only`;
      throw new KedgeError("BadData", words, { file: this.#path, row: index, id: `${this.name}:${index}` });
    }
    const resolvePath = (path: string) => pathInside(this.#folders, path);
    return await this.#columns.sample({ file: this.#path, name: this.name, row: index, values }, { resolve: resolvePath });
  }

  /** Returns the rows of a group, and keeps them for the next rows. */
  async #group(group: number, row: number): Promise<Rows> {
    const rows = this.#groups.get(group) ?? this.#read(group);
    this.#groups.delete(group);
    this.#groups.set(group, rows);
    const [oldest] = this.#groups.keys();
    if (this.#groups.size > this.#cachedGroups) this.#groups.delete(oldest!);
    try {
      return await rows;
    } catch (error) {
      if (this.#groups.get(group) === rows) this.#groups.delete(group);
      const details = { file: this.#path, row, id: `${this.name}:${row}` };
      throw new KedgeError("BadData", `Cannot read row ${row} of ${this.#path}: ${reasonOf(error)}`, details, { cause: error });
    }
  }

  async #read(group: number): Promise<Rows> {
    const slice = (start: number, end: number) => readRange(this.#path, { start, end }).buffer;
    return await parquetReadObjects({ ...readGroup(this.#metadata, { group, slice }), utf8: false });
  }
}
