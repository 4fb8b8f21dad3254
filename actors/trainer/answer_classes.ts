import { boardClasses } from "../../data/board/mod.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { type ClassFunction, classIndices } from "../../rl/credit/token_classes.ts";
import { knowsClasses } from "../config/checks.ts";
import type { Config } from "../config/schema.ts";
import type { RolledGroup } from "./roll.ts";

/** Says the classes of the tokens of answers. */
export class AnswerClasses {
  readonly #tokenizer: Tokenizer;
  readonly #classify: { readonly call: ClassFunction; readonly source: string };
  /** The texts of tokens that have occurred. */
  readonly #texts = new Map<number, string>();

  private constructor(tokenizer: Tokenizer, classify: { call: ClassFunction; source: string }) {
    this.#tokenizer = tokenizer;
    this.#classify = classify;
  }

  /** Makes one for a run; undefined where classes are not known. */
  static open(config: Config, tokenizer: Tokenizer): AnswerClasses | undefined {
    return knowsClasses(config) ? new AnswerClasses(tokenizer, { call: boardClasses, source: "the board task" }) : undefined;
  }

  /**
   * Returns the classes of the tokens of all answers, one group after the other, as indices into `TOKEN_CLASSES`.
   *
   * @throws {TypeError} that names the answer, if the function gives anything but a class for each token.
   */
  of(groups: readonly Pick<RolledGroup, "row" | "tokens" | "texts">[]): Uint8Array<ArrayBuffer> {
    const { call, source } = this.#classify,
      out = new Uint8Array(groups.flatMap(({ tokens }) => tokens).reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { row: { index: prompt, input: { truth, fields = {} } }, tokens, texts } of groups) {
      const about = { truth: typeof truth === "string" ? truth : JSON.stringify(truth), fields };
      for (const [sample, ids] of tokens.entries()) {
        const answer = { ...about, tokens: Array.from(ids, (id) => this.#text(id)), text: texts[sample]! };
        out.set(classIndices(answer, call, { source, key: { prompt, sample } }), at);
        at += ids.length;
      }
    }
    return out;
  }

  #text(id: number): string {
    let text = this.#texts.get(id);
    if (text === undefined) this.#texts.set(id, text = this.#tokenizer.decode([id]));
    return text;
  }
}
