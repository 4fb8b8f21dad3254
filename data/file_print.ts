/**
 * What a checkpoint remembers of the files that its rows came from.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { badFile, reasonOf } from "./file_ranges.ts";
import type { Dataset } from "./sample.ts";

/** A file of rows, as far as it decides which rows there are. */
export interface FilePrint {
  /** As in the ids of its rows. */
  readonly name: string;
  readonly rows: number;
  readonly bytes: number;
  /** SHA-256 in hexadecimal: of JSON, of the whole file; of Parquet, of its footer, which says what each column's pieces are and where they stand. */
  readonly hash: string;
}

const PIECE = 4 * 2 ** 20, TAIL = 8; // a Parquet file ends in its footer, the footer's length and four letters

/**
 * The prints of a data set's files, in the order of their rows; none of a generated one. Pictures beside a file are not in its print.
 *
 * @throws {KedgeError} `BadData` where a file cannot be read.
 *
 * @example
 * ```ts
 * import { filePrints } from "./file_print.ts";
 * import { openDataset } from "./open.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync({ suffix: ".jsonl" });
 * Deno.writeTextFileSync(path, '{"problem":"1 + 1?","answer":"2"}\n');
 * const [print] = await filePrints(await openDataset(path));
 * assertEquals([print!.rows, print!.bytes, print!.hash.length], [1, 34, 64]);
 * Deno.removeSync(path);
 * ```
 */
export function filePrints({ files = [] }: Pick<Dataset, "files">): Promise<FilePrint[]> {
  return Promise.all(files.map(async ({ path, name, rows }) => {
    try {
      using file = await Deno.open(path);
      const { size: bytes } = await file.stat();
      return { name, rows, bytes, hash: await hashFrom(file, /\.parquet$/iu.test(path) ? await footerStart(file, bytes) : 0) };
    } catch (error) {
      throw badFile(path, reasonOf(error), error);
    }
  }));
}

async function footerStart(file: Deno.FsFile, bytes: number): Promise<number> {
  const tail = new Uint8Array(TAIL);
  await file.seek(-TAIL, Deno.SeekMode.End);
  await file.read(tail);
  return Math.max(0, bytes - TAIL - new DataView(tail.buffer).getUint32(0, true));
}

async function hashFrom(file: Deno.FsFile, start: number): Promise<string> {
  const hash = createHash("sha256"), piece = new Uint8Array(PIECE);
  await file.seek(start, Deno.SeekMode.Start);
  // deno-lint-ignore no-await-in-loop -- piece after piece
  for (let n = await file.read(piece); n !== null; n = await file.read(piece)) hash.update(piece.subarray(0, n));
  return hash.digest("hex");
}

/**
 * How files differ from what they were, in words.
 *
 * @returns A text for each file that is another, is gone or is new; for two lists of the same files in another order, one.
 *
 * @example
 * ```ts
 * import { printChanges } from "./file_print.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const before = { name: "a.jsonl", rows: 1, bytes: 34, hash: "x" };
 * assertEquals(printChanges([before], [{ name: "a.jsonl", rows: 2, bytes: 70, hash: "y" }]), ["a.jsonl had 1 row (34 bytes), now 2 rows (70 bytes)"]);
 * ```
 */
export function printChanges(before: readonly FilePrint[], now: readonly FilePrint[]): string[] {
  const size = ({ rows, bytes }: FilePrint) => `${rows} row${rows === 1 ? "" : "s"} (${bytes} bytes)`;
  const changed = before.flatMap((old) => {
    const own = now.find(({ name }) => name === old.name);
    if (!own) return [`${old.name} is gone`];
    if (own.hash === old.hash && own.bytes === old.bytes && own.rows === old.rows) return [];
    return [
      own.rows === old.rows && own.bytes === old.bytes ? `${old.name} has other rows` : `${old.name} had ${size(old)}, now ${size(own)}`,
    ];
  });
  const added = now.filter(({ name }) => !before.some((old) => old.name === name)).map((own) => `${own.name} is new, with ${size(own)}`);
  const moved = changed.length + added.length === 0 && before.some(({ name }, i) => now[i]!.name !== name);
  return [...changed, ...added, ...moved ? ["the files come in another order"] : []];
}
