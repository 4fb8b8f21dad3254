/**
 * Reads ranges of files, and resolves paths that must stay in their folder.
 *
 * @module
 */
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { KedgeError } from "../ffi/errors.ts";
import { named } from "./pictures.ts";

/** Returns a message for an error of the file system. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Returns the name under which a file's rows are known. */
export function fileName(path: string): string {
  return basename(path);
}

/** Makes an error about a whole file. */
export function badFile(path: string, words: string, cause?: unknown): KedgeError {
  return new KedgeError("BadData", `Cannot read the data in ${path}: ${words}`, { file: path }, { cause });
}

/**
 * Reads a file's bytes in [start, end). The file is open only during the call, so that a data set holds nothing that must be closed.
 *
 * @throws {KedgeError} `BadData` if the file is missing or shorter.
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
  if (done < bytes.length) throw badFile(path, `it ends before byte ${range.end}; it has changed since it was opened`);
  return bytes;
}

/** The folders that a row's files may be in. */
export interface Folders {
  /** The folder that relative paths start from. */
  readonly own: string;
  /** Further permitted folders. */
  readonly roots?: readonly string[];
}

/**
 * Resolves the path of a file that a row names, and follows links. The file must lie below one of the folders.
 *
 * @param folders The permitted folders.
 * @param path Absolute, or relative to the first folder.
 * @returns The path, or `{ refused }` with the reason if it does not exist or may not be read.
 */
export function pathInside({ own, roots = [] }: Folders, path: string): string | { readonly refused: string } {
  const all = [own, ...roots].map((folder) => resolve(folder)), whole = isAbsolute(path) ? path : join(all[0]!, path), text = named(path);
  const real = all.map(realPath), below = (folders: readonly string[], at: string) => folders.some((folder) => isBelow(folder, at));
  if (!below([...all, ...real], whole)) {
    const words = isAbsolute(path)
      ? `${text} is an absolute path outside of ${all.join(", ")}; add its folder to imageRoots`
      : `${text} leaves the folder ${all[0]}; set imageDir to the folder that its pictures are in, or add one to imageRoots`;
    return { refused: words };
  }
  try {
    const target = Deno.realPathSync(whole);
    return below(real, target)
      ? target
      : { refused: `${text} leaves the folder ${all[0]} through a link; add the link's target to imageRoots` };
  } catch (error) {
    return { refused: `${text} cannot be read in ${isAbsolute(path) ? dirname(path) : all[0]}: ${systemReason(error)}` };
  }
}

/** Returns a message for an error of the file system, without the path. */
export function systemReason(error: unknown): string {
  return /^.*?\(os error \d+\)/su.exec(reasonOf(error))?.[0] ?? reasonOf(error);
}

function realPath(folder: string): string {
  try {
    return Deno.realPathSync(folder);
  } catch {
    return folder;
  }
}

/**
 * Tells whether a path lies below a folder, judging by the names only.
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
