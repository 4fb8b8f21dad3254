import { type Tokenizer, TokenStream } from "../../model/processor/tokenizer.ts";
import type { ChatToken } from "../../actors/run_control.ts";

/** Text that cannot change any more, and its tokens. */
export interface TextPiece {
  readonly text: string;
  readonly tokens: readonly ChatToken[];
}

/**
 * Makes the text of an answer from its tokens. Special tokens are omitted. A stop text stops the answer and is not part of it. Text that may
 * be the beginning of a stop text is held back.
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
  /** The end of the answer's text; undefined while it continues. */
  #end: number | undefined;
  #text = "";
  #returned = 0;
  #index = 0;
  /** Tokens whose text was not returned yet, with the start of their text. */
  #waiting: { index: number; start: number; token: ChatToken }[] = [];
  readonly #kept: number[] = [];

  constructor(tokenizer: Pick<Tokenizer, "bytes" | "isSpecial" | "decode">, stop: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#stop = stop;
    this.#stream = new TokenStream(tokenizer, { skipSpecialTokens: true });
  }

  /** The indices of the tokens whose text was returned. */
  get kept(): readonly number[] {
    return this.#kept;
  }

  /** Adds a token. @returns The text that cannot change any more. */
  push({ token: id, logprob }: { token: number; logprob: number }): TextPiece {
    const index = this.#index++;
    if (this.#tokenizer.isSpecial(id) || this.#end !== undefined) return { text: "", tokens: [] };
    this.#waiting.push({ index, start: this.#text.length, token: { text: this.#tokenizer.decode([id]), logprob } });
    this.#text += this.#stream.push(id);
    return this.#take(false);
  }

  /** Ends the answer. @returns The text that was held back. */
  end(): TextPiece {
    if (this.#end === undefined) this.#text += this.#stream.end();
    return this.#take(true);
  }

  #take(last: boolean): TextPiece {
    const stops = this.#stop.map((stop) => this.#text.indexOf(stop, this.#returned)).filter((at) => at >= 0);
    if (this.#end === undefined && stops.length > 0) this.#end = Math.min(...stops);
    const certain = this.#end ?? (last ? this.#text.length : this.#text.length - this.#doubtful());
    const text = this.#text.slice(this.#returned, certain), tokens: ChatToken[] = [];
    this.#returned = Math.max(this.#returned, certain);
    // A token without text, such as half a character, belongs to the next one.
    while (this.#waiting.length > 0 && (this.#waiting[0]!.start < certain || (last && this.#end === undefined))) {
      const { index, token } = this.#waiting.shift()!;
      tokens.push(token);
      this.#kept.push(index);
    }
    return { text, tokens };
  }

  /** Returns the number of characters at the end that may be the beginning of a stop text. */
  #doubtful(): number {
    const most = this.#stop.reduce((longest, { length }) => Math.max(longest, length - 1), 0);
    for (let n = Math.min(most, this.#text.length); n > 0; n--) {
      const end = this.#text.slice(-n);
      if (this.#stop.some((stop) => stop.startsWith(end))) return n;
    }
    return 0;
  }
}
