/** File helpers for tests. */
import { assertEquals } from "@std/assert";

/** Compares bytes like assertEquals, which takes minutes to show how large arrays differ. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  assertEquals([actual.length, at], [expected.length, -1], what);
}

/** Tells whether a path exists. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
