import { boardClasses } from "../../data/board/mod.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { type ClassFunction, classIndices } from "../../rl/credit/token_classes.ts";
import type { UserFunction } from "../../rl/user_module.ts";
import type { Config } from "../config/schema.ts";
import { classesModule, importUser } from "../config/user_modules.ts";
import type { RolledGroup } from "./roll.ts";

/** What says the classes: the function, and the name of its module for errors. */
export type Classifier = Pick<UserFunction<ClassFunction>, "call" | "source">;

/**
 * Returns what says the classes of tokens in a run: the user's module, or the board task; undefined where they are not known.
 *
 * @param base What the module's path is relative to.
 * @throws {RangeError} if the module cannot be imported. {TypeError} if it exports no such function.
 */
export async function openClassifier(config: Config, base: string): Promise<Classifier | undefined> {
  const module = classesModule(config, base);
  if (module) return await importUser<ClassFunction>(module, "classes");
  return config.data.task === "board" ? { call: boardClasses, source: "the board task" } : undefined;
}

/** The classes of the tokens of answers. */
export class AnswerClasses {
  readonly #tokenizer: Tokenizer;
  readonly #classifier: Classifier;
  /** The texts of tokens that have occurred. */
  readonly #texts = new Map<number, string>();

  /** Takes the tokenizer of the answers. */
  constructor(tokenizer: Tokenizer, classifier: Classifier) {
    this.#tokenizer = tokenizer;
    this.#classifier = classifier;
  }

  /**
   * Returns the classes of the tokens of all answers, one group after the other, as indices into `TOKEN_CLASSES`.
   *
   * @throws {TypeError} that names the answer, if the function gives anything but a class for each token.
   */
  of(groups: readonly Pick<RolledGroup, "row" | "tokens" | "texts">[]): Uint8Array<ArrayBuffer> {
    const { call, source } = this.#classifier,
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
