import { KedgeError } from "../ffi/errors.ts";
import type { Dataset, Sample } from "./sample.ts";

/** What a row that cannot be used does: ends the run, or is reported and left out. */
export type BadRows = "stop" | "quarantine";

/** A row that was left out. */
export interface BadRow {
  /** As of its sample. */
  readonly id: string;
  /** Why. */
  readonly reason: string;
}

/**
 * Reads a row, or leaves it out.
 *
 * @param dataset The data.
 * @param index The row.
 * @param options `badRows`: what a bad row does; `onBad`: told of each that is left out.
 * @returns The sample; undefined where the row was left out.
 * @throws {KedgeError} `BadData` for a bad row under "stop". Errors of another kind are always thrown.
 *
 * @example
 * ```ts
 * import { type BadRow, readSample } from "./quarantine.ts";
 * import { KedgeError } from "../ffi/errors.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const broken = { name: "a.jsonl", size: 1, sample: () => Promise.reject(new KedgeError("BadData", "no answer")) };
 * const bad: BadRow[] = [];
 * assertEquals(await readSample(broken, 0, { badRows: "quarantine", onBad: (row) => bad.push(row) }), undefined);
 * assertEquals(bad, [{ id: "a.jsonl:0", reason: "no answer" }]);
 * ```
 */
export async function readSample(
  dataset: Dataset,
  index: number,
  options: { readonly badRows: BadRows; readonly onBad: (row: BadRow) => void },
): Promise<Sample | undefined> {
  try {
    return await dataset.sample(index);
  } catch (error) {
    if (options.badRows === "stop" || !(error instanceof KedgeError && error.code === "BadData")) throw error;
    const { id } = error.details;
    options.onBad({ id: typeof id === "string" ? id : `${dataset.name}:${index}`, reason: error.message });
    return undefined;
  }
}
