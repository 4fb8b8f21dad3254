/**
 * Files that are written completely or not at all.
 *
 * @module
 */
import { dirname } from "node:path";

/** Waits until a folder's names are on the disk. Windows cannot open folders. */
export function syncFolder(path: string): void {
  if (Deno.build.os === "windows") return;
  using folder = Deno.openSync(path, { read: true });
  folder.syncSync();
}

/** Writes a new file and waits until it is on the disk. */
export function writeSynced(path: string, text: string): void {
  using file = Deno.openSync(path, { write: true, createNew: true });
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  file.syncSync();
}

/** Returns whether a file or folder is the unfinished `name` of a killed process. */
export function isUnfinished(there: string, name: string): boolean {
  return there.startsWith(`${name}.`) && /^\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/.test(there.slice(name.length));
}

/** Replaces a file. Even after a crash the file has either the old or the new text. A killed process leaves `NAME.<id>.tmp`. */
export function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    writeSynced(temporary, text);
    Deno.renameSync(temporary, path);
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch { // the first error is the one to report
    }
    throw error;
  }
  syncFolder(dirname(path));
}

/** Removes a file or a folder, if it exists. */
export function removeAll(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Returns the names in a folder; none if there is no folder. */
export function namesIn(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Returns the size of a file in bytes; 0 if there is none. */
export function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
