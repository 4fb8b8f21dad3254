/**
 * Finds the name that a wrong one was meant to be.
 *
 * @module
 */

/**
 * Counts the edits between two words: letters that are added, left out, changed, or swapped with the next one (optimal string alignment).
 */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i], above = rows[i - 1]!;
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + Number(a[i - 1] !== b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** Returns a name without case, "_" and "-". */
export const plain = (name: string) => name.toLowerCase().replaceAll(/[_-]/g, "");

/**
 * Returns the most similar valid name; undefined if none is near. Case, "_" and "-" do not count, so that EasyR1's spellings are found.
 *
 * @example
 * ```ts
 * import { nearest } from "./nearest.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(nearest("rollout_batch_size", ["rolloutBatchSize", "shuffle"]), "rolloutBatchSize");
 * assertEquals(nearest("stpes", ["step", "steps"]), "steps");
 * assertEquals(nearest("colour", ["rolloutBatchSize", "shuffle"]), undefined);
 * ```
 */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const others = names.filter((other) => other !== name);
  const [best] = others.map((other) => ({ other, edits: distance(plain(name), plain(other)) })).sort((a, b) => a.edits - b.edits);
  return best && best.edits <= Math.min(Math.max(1, name.length / 3), name.length - 1) ? best.other : undefined;
}

/** Returns the valid path with the same last name and the most other names of a wrong one; undefined if no last name is the same. */
export function elsewhere(path: string, paths: readonly string[]): string | undefined {
  const names = path.split(".").map(plain), last = names.at(-1);
  const shared = (other: string) => other.split(".").filter((name) => names.includes(plain(name))).length;
  return paths.filter((other) => other !== path && plain(other.split(".").at(-1)!) === last)
    .sort((a, b) => shared(b) - shared(a) || a.length - b.length)[0];
}
