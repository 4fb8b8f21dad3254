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
  /** The least that the hardware allows, or the most that it can do, by the ceilings that were measured, in the same unit. */
  readonly floor?: number;
  /** What the arithmetic of docs/gpu.md says, in the same unit. */
  readonly prediction?: number;
  /** What PyTorch takes for the same, in the same unit. */
  readonly peer?: number;
  readonly words?: string;
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
