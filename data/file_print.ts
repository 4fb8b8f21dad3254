/**
 * Fingerprints of data files. A checkpoint stores them to notice when the data changes.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { badFile, reasonOf } from "./file_ranges.ts";
import type { Dataset } from "./sample.ts";

/** A fingerprint of a data file, which covers its rows. */
export interface FilePrint {
  /** The file's name, as in the ids of its rows. */
  readonly name: string;
  readonly rows: number;
  readonly bytes: number;
  /**
   * SHA-256 in hexadecimal. For JSON it covers the whole file. For Parquet it covers the footer, which describes the contents and positions
   * of all column chunks.
   */
  readonly hash: string;
}

const PIECE = 4 * 2 ** 20, TAIL = 8; // the end of a Parquet file: its footer, the footer's length and four letters

/**
 * Computes the fingerprints of a data set's files, in the order of their rows. A generated data set has none. Pictures beside a file are
 * not covered.
 *
 * @throws {KedgeError} `BadData` if a file cannot be read.
 * @example
 * ```ts
 * import { filePrints } from "./file_print.ts";
 * import { openDataset } from "@kedge/kedge/data";
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
 * Describes how files have changed.
 *
 * @returns A text for each file that was changed, removed or added. If only the order changed, one text.
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
    const current = now.find(({ name }) => name === old.name);
    if (!current) return [`${old.name} is gone`];
    if (current.hash === old.hash && current.bytes === old.bytes && current.rows === old.rows) return [];
    return [
      current.rows === old.rows && current.bytes === old.bytes
        ? `${old.name} has different rows`
        : `${old.name} had ${size(old)}, now ${size(current)}`,
    ];
  });
  const added = now.filter(({ name }) => !before.some((old) => old.name === name)).map((current) =>
    `${current.name} is new, with ${size(current)}`
  );
  const moved = changed.length + added.length === 0 && before.some(({ name }, i) => now[i]!.name !== name);
  return [...changed, ...added, ...moved ? ["the order of the files has changed"] : []];
}
