import { dirname } from "node:path";
import { type ColumnOptions, Columns } from "./columns.ts";
import { badFile, fileName, type Folders, pathInside, readRange, reasonOf } from "./file_ranges.ts";
import { indexRows, type RowRanges } from "./json_index.ts";
import type { DataFile, Dataset, Sample } from "./sample.ts";
import { KedgeError } from "../ffi/errors.ts";

/** How to open a data file. */
export interface FileOptions extends ColumnOptions {
  /** The folder that paths of pictures and videos are relative to and must stay in. Default: the file's folder. */
  readonly imageDir?: string;
  /** Further folders that pictures and videos may be in, by absolute paths or by "..". */
  readonly imageRoots?: readonly string[];
  /** The prefix of its rows' ids. Default: the file's name. */
  readonly name?: string;
}

/** Returns the folders that a file's rows may name files in. */
export function foldersOf(path: string, { imageDir, imageRoots = [] }: Pick<FileOptions, "imageDir" | "imageRoots">): Folders {
  return { own: imageDir ?? dirname(path), roots: imageRoots };
}

/** Parses JSON. Whole numbers beyond 2^53, which a double would round, become texts with all digits, as they do from Parquet. */
function parseExactly(text: string): unknown {
  if (!/\d{16}/u.test(text)) return JSON.parse(text);
  const exact = (_: string, value: unknown, context?: { readonly source?: string }) => {
    const source = context?.source;
    return typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/u.test(source) ? source : value;
  };
  return JSON.parse(text, exact);
}

/**
 * The rows of a JSONL file, or of a JSON file that is one list. Each row is read and parsed when it is needed.
 *
 * @example
 * ```ts
 * import { JsonLinesDataset } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * Deno.writeTextFileSync(`${folder}/rows.jsonl`, '{"problem":"1 + 1?","answer":"2"}\n{"problem":"2 + 2?","answer":"4"}\n');
 * const dataset = await JsonLinesDataset.open(`${folder}/rows.jsonl`);
 * const { id, truth } = await dataset.sample(1);
 * assertEquals([dataset.size, id, truth], [2, "rows.jsonl:1", "4"]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class JsonLinesDataset implements Dataset {
  readonly name: string;
  readonly size: number;
  readonly files: readonly DataFile[];
  readonly #path: string;
  readonly #folders: Folders;
  readonly #ranges: RowRanges;
  readonly #columns: Columns;

  private constructor(path: string, options: FileOptions, ranges: RowRanges) {
    this.name = options.name ?? fileName(path);
    this.size = ranges.starts.length;
    this.#path = path;
    this.files = [{ path, name: this.name, rows: this.size }];
    this.#folders = foldersOf(path, options);
    this.#ranges = ranges;
    this.#columns = new Columns(options);
  }

  /**
   * Opens a file and finds its rows.
   *
   * @param path The file.
   * @param options The columns, and the folders of pictures.
   * @throws {KedgeError} `BadData` if the file cannot be read or has no rows.
   * @throws {RangeError} for an unknown prompt format.
   */
  static async open(path: string, options: FileOptions = {}): Promise<JsonLinesDataset> {
    const dataset = new JsonLinesDataset(path, options, await indexRows(path));
    if (dataset.size === 0) throw badFile(path, "it has no rows");
    return dataset;
  }

  async sample(index: number): Promise<Sample> {
    const start = this.#ranges.starts[index], end = this.#ranges.ends[index];
    if (start === undefined || end === undefined) {
      throw new RangeError(`Cannot read row ${index} of ${this.name}: it has ${this.size} rows`);
    }
    const values = this.#parse(readRange(this.#path, { start, end }), index);
    const resolvePath = (path: string) => pathInside(this.#folders, path);
    return await this.#columns.sample({ file: this.#path, name: this.name, row: index, values }, { resolve: resolvePath });
  }

  #parse(bytes: Uint8Array, row: number): Record<string, unknown> {
    const bad = (words: string, cause?: unknown) => {
      const details = { file: this.#path, row, id: `${this.name}:${row}` };
      return new KedgeError("BadData", `Cannot read row ${row} of ${this.#path}: ${words}`, details, { cause });
    };
    let value: unknown;
    try {
      value = parseExactly(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (error) {
      throw bad(`it is not JSON: ${reasonOf(error)}`, error);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad("it is not an object with columns");
    return value as Record<string, unknown>;
  }
}
