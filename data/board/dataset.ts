import type { Dataset, Sample } from "../sample.ts";
import { type BoardOptions, boardOptions } from "./options.ts";
import { boardProblem, type BoardSplit } from "./problem.ts";

/**
 * The board task as an endless data set.
 *
 * @example
 * ```ts
 * import { BoardDataset } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const dataset = new BoardDataset({ side: 3 }, { seed: 1, split: "train" });
 * const { id, messages, truth } = await dataset.sample(7);
 * assertEquals([id, messages.length, Number(truth) >= 0], ["board/train/7", 1, true]);
 * ```
 */
export class BoardDataset implements Dataset {
  readonly name: string;
  readonly size: number = Infinity;
  readonly #options: BoardOptions;
  readonly #place: { seed: number; split: BoardSplit };

  /** Makes a data set of boards. @throws {RangeError} for options out of range. */
  constructor(options: Partial<BoardOptions>, place: { seed: number; split: BoardSplit }) {
    this.#options = boardOptions(options);
    this.#place = place;
    this.name = `board/${place.split}`;
  }

  sample(index: number): Promise<Sample> {
    const { id, picture, question, truth, demonstration, figures, operation, kind, asked } = boardProblem(this.#options, {
      ...this.#place,
      index,
    });
    return Promise.resolve({
      id,
      messages: [{ role: "user", content: [{ type: "image", image: picture }, { type: "text", text: question }] }],
      truth,
      demonstration,
      fields: { kind, operation, figures, asked: asked.join(` ${operation} `) },
    });
  }
}
