import type { Message } from "../model/processor/messages.ts";
import type { Truth } from "../verify/reward.ts";

/** A row of data, ready to be asked. */
export interface Sample {
  /** Where it stands, as "train.jsonl:17" or "board/train/17": the same for the same row. */
  readonly id: string;
  /** The turns up to where the answer begins, pictures inside. */
  readonly messages: readonly Message[];
  /** What the answer should say. */
  readonly truth: Truth;
  /** Texts of a multiple-choice question's choices. */
  readonly options?: readonly string[];
  /** An answer to learn from, for supervised training. */
  readonly demonstration?: string;
  /** The row's other fields, as plain data: for rewards, and for tables by any column. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A file of rows. */
export interface DataFile {
  /** Where it is. */
  readonly path: string;
  /** As in the ids of its rows. */
  readonly name: string;
  /** How many it holds. */
  readonly rows: number;
}

/** Rows by number. */
export interface Dataset {
  /** For messages and reports. */
  readonly name: string;
  /** Rows. Generated ones have as many as one likes: Infinity. */
  readonly size: number;
  /** The files that its rows are in, one behind the other; undefined where they are generated. */
  readonly files?: readonly DataFile[];
  /**
   * Reads a row, with its pictures.
   *
   * @param index In [0, size).
   * @throws {KedgeError} `BadData` naming file, row and key.
   */
  sample(index: number): Promise<Sample>;
}
