// deno-lint-ignore-file no-console -- lines for the program that started this one
/**
 * What a stage of `bench/gpu_check.ts` says: a line of JSON for each thing that it checked or measured.
 *
 * @module
 */

/** One thing that was checked or measured. */
export interface Line {
  readonly name: string;
  /** Whether a check passed; undefined where something was measured. */
  readonly ok?: boolean;
  readonly value?: number;
  readonly unit?: string;
  /** What the value is the most of that the card can do. */
  readonly ceiling?: "bytes" | "operations";
  /** Bytes of memory that the work reads and writes at least. */
  readonly bytes?: number;
  /** Multiplications and additions of the work, at least. */
  readonly operations?: number;
  /** What the arithmetic of docs/gpu.md says, in the same unit. */
  readonly prediction?: number;
  /** What PyTorch takes for the same, in the same unit. */
  readonly peer?: number;
  readonly words?: string;
}

/** What a card can do at most, as it was measured. */
export interface Ceilings {
  /** A second. */
  readonly bytes: number;
  /** A second. */
  readonly operations: number;
}

/** Returns the ceilings among lines; undefined if they were not measured. */
export function ceilingsOf(lines: readonly Line[]): Ceilings | undefined {
  const of = (kind: Line["ceiling"]) => lines.find(({ ceiling }) => ceiling === kind)?.value;
  const [rate, products] = [of("bytes"), of("operations")];
  return rate === undefined || products === undefined ? undefined : { bytes: 1e9 * rate, operations: 1e12 * products };
}

/** Returns the least time that work can take, or the most that a rate can be, in the unit of a line; undefined where it is not known. */
export function floorOf({ unit, bytes = 0, operations = 0 }: Line, ceilings: Ceilings | undefined): number | undefined {
  if (!ceilings || bytes + operations === 0) return undefined;
  if (unit === "TFLOP/s") return ceilings.operations / 1e12;
  const seconds = Math.max(bytes / ceilings.bytes, operations / ceilings.operations);
  return unit === "ms" ? 1000 * seconds : unit === "s" ? seconds : undefined;
}

/** Prints a line. */
export function say(line: Line): void {
  console.log(JSON.stringify(line));
}

/** Reads a line of output; undefined if it is none of these. */
export function lineOf(text: string): Line | undefined {
  if (!text.startsWith('{"name":')) return undefined;
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}
