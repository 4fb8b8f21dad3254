/**
 * Bytes of files, and paths that may not leave their folder.
 *
 * @module
 */
import { basename, isAbsolute, join, relative } from "node:path";
import { KedgeError } from "../ffi/errors.ts";

/** Words for an error of the file system. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The name by which a file's rows are called. */
export function fileName(path: string): string {
  return basename(path);
}

/** An error about a whole file. */
export function badFile(path: string, words: string, cause?: unknown): KedgeError {
  return new KedgeError("BadData", `Cannot read the data in ${path}: ${words}`, { file: path }, { cause });
}

/**
 * A file's bytes in [start, end). The file is open only meanwhile, so that a dataset holds nothing that must be closed.
 *
 * @throws {KedgeError} `BadData` where the file is gone or shorter.
 */
export function readRange(path: string, range: { start: number; end: number }): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(range.end - range.start);
  let done = 0;
  try {
    using file = Deno.openSync(path);
    file.seekSync(range.start, Deno.SeekMode.Start);
    while (done < bytes.length) {
      const read = file.readSync(bytes.subarray(done));
      if (read === null) break;
      done += read;
    }
  } catch (error) {
    throw badFile(path, reasonOf(error), error);
  }
  if (done < bytes.length) throw badFile(path, `it ends before byte ${range.end}: it has changed since it was opened`);
  return bytes;
}

/**
 * A path inside a folder, links followed.
 *
 * @param folder The folder.
 * @param path Relative to the folder.
 * @returns The path; a text that says why not, as `{ refused }`, where it leaves the folder or is not there.
 */
export function pathInside(folder: string, path: string): string | { readonly refused: string } {
  const leaves = { refused: `${JSON.stringify(path)} leaves the folder ${folder}; set imageDir to the folder that its pictures are in` };
  if (isAbsolute(path) || !isBelow(folder, join(folder, path))) return leaves;
  try {
    const real = Deno.realPathSync(join(folder, path));
    return isBelow(Deno.realPathSync(folder), real) ? real : leaves;
  } catch (error) {
    return { refused: `${JSON.stringify(path)} cannot be read in ${folder}: ${reasonOf(error)}` };
  }
}

/**
 * Whether a path lies below a folder, by their names alone.
 *
 * @example
 * ```ts
 * import { isBelow } from "./file_ranges.ts";
 * import { assert } from "@std/assert";
 *
 * assert(isBelow("/data", "/data/a/../b.png"));
 * assert(!isBelow("/data", "/data/../secret.png"));
 * assert(!isBelow("/data", "/database/b.png"));
 * ```
 */
export function isBelow(folder: string, path: string): boolean {
  const inner = relative(folder, path);
  return inner !== "" && inner !== ".." && !/^\.\.[/\\]/u.test(inner) && !isAbsolute(inner);
}
