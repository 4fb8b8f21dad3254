import { KedgeError } from "../ffi/errors.ts";
import type { Dataset, Sample } from "./sample.ts";

/** The treatment of a row that cannot be used: the run ends, or the row is reported and skipped. */
export type BadRows = "stop" | "quarantine";

/** A row that was skipped. */
export interface BadRow {
  /** The sample's id. */
  readonly id: string;
  /** Why the row was skipped. */
  readonly reason: string;
}

/**
 * Reads a row, or skips it.
 *
 * @param dataset The data set.
 * @param index The row's index.
 * @param options `badRows`: what happens for a bad row. `onBad`: is called for each row that is skipped.
 * @returns The sample, or undefined if the row was skipped.
 * @throws {KedgeError} `BadData` for a bad row under "stop". Other errors are always thrown.
 * @example
 * ```ts
 * import { type BadRow, readSample } from "@kedge/kedge/data";
 * import { KedgeError } from "@kedge/kedge/tensor";
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
