/**
 * Classes of tokens of your own: `data: { classes: "./custom_classes.ts" }`. It is called for each response, in the training process, with
 * all of its permissions. The metrics `classes/...` then say how credit falls on each class, and `atrl: { mode: "oracle" }` weights by them.
 *
 * @module
 */
import type { ClassInput, TokenClass } from "@kedge/kedge/rl";

/**
 * For rows with a field `readings`: the texts that a right answer reads from the picture, as ["12.5", "left"]. Tokens of such a text are
 * readings, other tokens with a digit are arithmetic, and the rest is language that a model words at random.
 */
export default function classes({ tokens, fields }: ClassInput): TokenClass[] {
  const readings = Array.isArray(fields.readings) ? fields.readings.map(String).filter((reading) => reading !== "") : [];
  const text = tokens.join(""), isRead = new Array<boolean>(text.length).fill(false);
  for (const reading of readings) {
    // A whole word or number: "2.5" does not stand in "12.5".
    for (const { index } of text.matchAll(new RegExp(`(?<![\\w.])${RegExp.escape(reading)}(?!\\w|\\.\\d)`, "g"))) {
      isRead.fill(true, index, index + reading.length);
    }
  }
  let end = 0;
  return tokens.map((token) => {
    const begin = end;
    end += token.length;
    return isRead.slice(begin, end).includes(true) ? "reading" : /\d/.test(token) ? "arithmetic" : "random";
  });
}
