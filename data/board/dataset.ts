import type { Dataset, Sample } from "../sample.ts";
import { type BoardOptions, boardOptions } from "./options.ts";
import { boardProblem, type BoardSplit } from "./problem.ts";

/** The board task as rows without end. */
export class BoardDataset implements Dataset {
  readonly name: string;
  readonly size: number = Infinity;
  readonly #options: BoardOptions;
  readonly #place: { seed: number; split: BoardSplit };

  /** @throws {RangeError} for options out of range. */
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
