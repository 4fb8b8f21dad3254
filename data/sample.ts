import type { Message } from "../model/processor/messages.ts";
import type { Truth } from "../verify/reward.ts";

/** A row of data in the form for the model. */
export interface Sample {
  /** The id, such as "train.jsonl:17" or "board/train/17". The same row always has the same id. */
  readonly id: string;
  /** The turns before the answer, with pictures. */
  readonly messages: readonly Message[];
  /** The expected answer. */
  readonly truth: Truth;
  /** The texts of a multiple-choice question's choices. */
  readonly options?: readonly string[];
  /** An answer to learn from, for supervised training. */
  readonly demonstration?: string;
  /** The row's other fields as plain data, for rewards and for tables by column. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A file of rows. */
export interface DataFile {
  /** The file's path. */
  readonly path: string;
  /** The file's name, as in the ids of its rows. */
  readonly name: string;
  /** The number of rows. */
  readonly rows: number;
}

/** Rows by index. */
export interface Dataset {
  /** The data set's name, for messages and reports. */
  readonly name: string;
  /** The number of rows; Infinity for generated ones. */
  readonly size: number;
  /** The files that the rows are in, one after the other; undefined if the rows are generated. */
  readonly files?: readonly DataFile[];
  /**
   * Reads a row with its pictures.
   *
   * @param index The row, in [0, size).
   * @throws {KedgeError} `BadData` that names file, row and key.
   */
  sample(index: number): Promise<Sample>;
}
