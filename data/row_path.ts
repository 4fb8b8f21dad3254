/**
 * Finds columns of a row by their names, or by paths into them.
 *
 * @module
 */

/**
 * Returns the value under a key: the column of that name, or the value that a dotted path leads to. Null counts as absent.
 *
 * @example
 * ```ts
 * import { valueAt } from "./row_path.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const row = { "reward_model": { "ground_truth": "4" }, "a.b": 1, list: [{ x: 2 }] };
 * assertEquals(["reward_model.ground_truth", "a.b", "list.0.x", "list.x"].map((key) => valueAt(row, key)), ["4", 1, 2, undefined]);
 * ```
 */
export function valueAt(row: Readonly<Record<string, unknown>>, key: string): unknown {
  if (Object.hasOwn(row, key)) return row[key] ?? undefined;
  let value: unknown = row;
  for (const name of key.split(".")) {
    if (typeof value !== "object" || value === null || value instanceof Uint8Array || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value ?? undefined;
}

/** Returns a row without the values under some keys. The objects that contain them keep their other fields. */
export function without(row: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  const left: Record<string, unknown> = { ...row };
  for (const key of keys) {
    if (Object.hasOwn(left, key)) {
      delete left[key];
      continue;
    }
    const [first, ...rest] = key.split("."), inner = left[first!];
    if (rest.length === 0 || typeof inner !== "object" || inner === null || Array.isArray(inner) || ArrayBuffer.isView(inner)) continue;
    left[first!] = without(inner as Record<string, unknown>, [rest.join(".")]);
  }
  return left;
}
