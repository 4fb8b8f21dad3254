/**
 * Converts a value to plain data, as JSON has it. 64-bit integers become numbers, or texts if they are too large. Dates become texts. Bytes
 * are omitted, or become null in a list.
 *
 * @example
 * ```ts
 * import { plain } from "./plain.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(plain({ level: 3n, large: 2n ** 60n, raw: new Uint8Array(2) }), { level: 3, large: "1152921504606846976" });
 * ```
 */
export function plain(value: unknown): unknown {
  if (typeof value === "bigint") return BigInt.asIntN(54, value) === value ? Number(value) : String(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array || typeof value === "function") return undefined;
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain);
  if (Array.isArray(value)) return value.map((item) => plain(item) ?? null);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, plain(item)] as const).filter(([, item]) => item !== undefined),
  );
}
