/** File helpers for tests. */
import { assertEquals } from "@std/assert";

/** As assertEquals, which takes minutes to show how large arrays differ. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  assertEquals([actual.length, at], [expected.length, -1], what);
}

/** Whether there is something under a path. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
