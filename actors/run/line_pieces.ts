/**
 * Reads the lines of a file that may be larger than memory, from its start or from its end.
 *
 * @module
 */
import { openFileSync, readAtSync } from "./file_bytes.ts";

/** A line of a file. */
export interface FileLine {
  /** The offset of its first byte. */
  readonly start: number;
  /** The offset of the first byte after its line feed. */
  readonly end: number;
  /** The line without its line feed. Of a line longer than {@linkcode LONGEST} only the beginning. */
  readonly bytes: Uint8Array;
  /** Whether it ends with a line feed. The last line may lack it. */
  readonly isEnded: boolean;
}

/** The most bytes of a line that are kept. */
export const LONGEST = 64 * 2 ** 20;
/** The default number of bytes that are read at a time. */
export const PIECE = 2 ** 20;

const FEED = 0x0a;

/** Joins the pieces of a line. */
function lineOf(start: number, end: number, pieces: readonly Uint8Array[]): FileLine {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  pieces.reduce((at, piece) => (all.set(piece, at), at + piece.length), 0);
  const isEnded = all.at(-1) === FEED;
  return { start, end, bytes: isEnded ? all.subarray(0, -1) : all, isEnded };
}

/**
 * Reads the lines of a file from the first to the last. There are none if there is no file.
 *
 * @param piece How many bytes are read at a time.
 *
 * @example
 * ```ts
 * import { linesForward } from "./line_pieces.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.writeTextFileSync(path, "one\n\nthree");
 * const found = [...linesForward(path, 2)].map(({ start, end, bytes, isEnded }) => [start, end, new TextDecoder().decode(bytes), isEnded]);
 * assertEquals(found, [[0, 4, "one", true], [4, 5, "", true], [5, 10, "three", false]]);
 * Deno.removeSync(path);
 * ```
 */
export function* linesForward(path: string, piece: number = PIECE): Generator<FileLine> {
  using file = openFileSync(path);
  if (!file) return;
  let at = 0, start = 0, held: Uint8Array[] = [], heldBytes = 0;
  for (;;) {
    const chunk = readAtSync(file, { at, length: piece });
    if (chunk.length === 0) break;
    let from = 0;
    for (let feed = chunk.indexOf(FEED); feed >= 0; feed = chunk.indexOf(FEED, from)) {
      const rest = chunk.subarray(from, feed + 1), end = at + feed + 1;
      yield lineOf(start, end, heldBytes > LONGEST ? [...held, Uint8Array.of(FEED)] : [...held, rest]);
      from = feed + 1;
      start = end;
      held = [];
      heldBytes = 0;
    }
    // Only the beginning of a line that is too long is kept.
    if (heldBytes <= LONGEST && from < chunk.length) held.push(chunk.subarray(from));
    heldBytes += chunk.length - from;
    at += chunk.length;
  }
  if (start < at) yield lineOf(start, at, held);
}

/**
 * Reads the lines of a file from the last to the first. There are none if there is no file.
 *
 * @param piece How many bytes are read at a time.
 *
 * @example
 * ```ts
 * import { linesBackward } from "./line_pieces.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.writeTextFileSync(path, "one\n\nthree");
 * const found = [...linesBackward(path, 2)].map(({ start, end, bytes, isEnded }) => [start, end, new TextDecoder().decode(bytes), isEnded]);
 * assertEquals(found, [[5, 10, "three", false], [4, 5, "", true], [0, 4, "one", true]]);
 * Deno.removeSync(path);
 * ```
 */
export function* linesBackward(path: string, piece: number = PIECE): Generator<FileLine> {
  using file = openFileSync(path);
  if (!file) return;
  let end = file.statSync().size, low = end, held: Uint8Array[] = [], heldBytes = 0;
  while (low > 0) {
    const at = Math.max(0, low - piece), chunk = readAtSync(file, { at, length: low - at });
    let to = low;
    for (;;) {
      // The line feed that ends this line is not the one before it.
      const last = Math.min(to, end - 1) - at - 1, feed = last < 0 ? -1 : chunk.lastIndexOf(FEED, last);
      if (feed < 0) break;
      const start = at + feed + 1;
      yield lineOf(start, end, [chunk.subarray(feed + 1, to - at), ...held]);
      held = [];
      heldBytes = 0;
      end = to = start;
    }
    const rest = chunk.subarray(0, to - at);
    // Of a line that is too long the beginning is kept, which is read last here, and its line feed.
    if (heldBytes + rest.length > LONGEST) {
      const isEnded = held.at(-1)?.at(-1) === FEED;
      held = isEnded ? [Uint8Array.of(FEED)] : [];
      heldBytes = 0;
    }
    held.unshift(rest);
    heldBytes += rest.length;
    low = at;
  }
  if (end > 0) yield lineOf(0, end, held);
}
