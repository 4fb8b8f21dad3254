/**
 * Numbers into a struct in host memory, in the processor's byte order.
 *
 * @module
 */

/** Writes a 64-bit integer at a word. @throws {RangeError} It is no safe integer. */
export function put64(words: Int32Array, at: number, value: number, name: string): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`Cannot pass ${name}: ${value} is no safe integer`);
  words[at] = value; // modulo 2^32
  words[at + 1] = Math.floor(value / 2 ** 32);
}

/** Writes a 32-bit integer at a word. @throws {RangeError} It is none. */
export function put32(words: Int32Array, at: number, value: number, name: string): void {
  if ((value | 0) !== value) throw new RangeError(`Cannot pass ${name}: ${value} is no 32-bit integer`);
  words[at] = value;
}
