import { type Tokenizer, TokenStream } from "../../model/processor/tokenizer.ts";
import type { ChatToken } from "../../actors/run_control.ts";

/** Text that is certain, and the tokens that came with it. */
export interface TextPiece {
  readonly text: string;
  readonly tokens: readonly ChatToken[];
}

/**
 * The text of an answer out of its tokens: special tokens are left out, and a stop text ends it, which is no part of it. What may yet turn out to be the beginning of a
 * stop text is held back.
 *
 * @example
 * ```ts
 * import { AnswerText } from "./answer_text.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const words = ["one ", "two", "\nEN", "D", " three"], encoder = new TextEncoder();
 * const tokenizer = { bytes: (id: number) => encoder.encode(words[id]), isSpecial: () => false, decode: ([id]: Iterable<number>) => words[id!]! };
 * const answer = new AnswerText(tokenizer, ["\nEND"]);
 * const texts = words.map((_, token) => answer.push({ token, logprob: -1 }).text);
 * assertEquals([...texts, answer.end().text], ["one ", "two", "", "", "", ""]);
 * assertEquals(answer.kept, [0, 1]);
 * ```
 */
export class AnswerText {
  readonly #tokenizer: Pick<Tokenizer, "bytes" | "isSpecial" | "decode">;
  readonly #stop: readonly string[];
  readonly #stream: TokenStream;
  /** Where the answer's text ends; undefined while it goes on. */
  #end: number | undefined;
  #text = "";
  #said = 0;
  #index = 0;
  /** Tokens that were not said yet, with where their text begins. */
  #waiting: { index: number; start: number; token: ChatToken }[] = [];
  readonly #kept: number[] = [];

  constructor(tokenizer: Pick<Tokenizer, "bytes" | "isSpecial" | "decode">, stop: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#stop = stop;
    this.#stream = new TokenStream(tokenizer, { skipSpecialTokens: true });
  }

  /** Which of the tokens are part of what was said, by their index. */
  get kept(): readonly number[] {
    return this.#kept;
  }

  /** Takes a token. @returns What is certain by now. */
  push({ token: id, logprob }: { token: number; logprob: number }): TextPiece {
    const index = this.#index++;
    if (this.#tokenizer.isSpecial(id) || this.#end !== undefined) return { text: "", tokens: [] };
    this.#waiting.push({ index, start: this.#text.length, token: { text: this.#tokenizer.decode([id]), logprob } });
    this.#text += this.#stream.push(id);
    return this.#say(false);
  }

  /** The end of the tokens. @returns What was held back. */
  end(): TextPiece {
    if (this.#end === undefined) this.#text += this.#stream.end();
    return this.#say(true);
  }

  #say(last: boolean): TextPiece {
    const ends = this.#stop.map((stop) => this.#text.indexOf(stop, this.#said)).filter((at) => at >= 0);
    if (this.#end === undefined && ends.length > 0) this.#end = Math.min(...ends);
    const certain = this.#end ?? (last ? this.#text.length : this.#text.length - this.#doubtful());
    const text = this.#text.slice(this.#said, certain), tokens: ChatToken[] = [];
    this.#said = Math.max(this.#said, certain);
    // A token with no text of its own, as of half a character, belongs to what follows it.
    while (this.#waiting.length > 0 && (this.#waiting[0]!.start < certain || (last && this.#end === undefined))) {
      const { index, token } = this.#waiting.shift()!;
      tokens.push(token);
      this.#kept.push(index);
    }
    return { text, tokens };
  }

  /** Characters at the end that may be the beginning of a stop text. */
  #doubtful(): number {
    const most = this.#stop.reduce((longest, { length }) => Math.max(longest, length - 1), 0);
    for (let n = Math.min(most, this.#text.length); n > 0; n--) {
      const end = this.#text.slice(-n);
      if (this.#stop.some((stop) => stop.startsWith(end))) return n;
    }
    return 0;
  }
}
