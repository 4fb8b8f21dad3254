/** Measures text in columns of a terminal. */

// Characters of Unicode's East Asian Width W and F, and emoji.
const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18d08}\u{1b000}-\u{1b2fb}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\p{Emoji}\ufe0f)/u;
const EMPTY = /^[\p{Mn}\p{Me}\p{Cc}\p{Cf}]+$/u;
const letters = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Returns the columns of one grapheme. */
const columnsOfOne = (letter: string) => EMPTY.test(letter) ? 0 : WIDE.test(letter) ? 2 : 1;

/** Returns the columns of a text without escape sequences. East Asian characters and emoji take two, combining marks none. */
export function columnsOf(text: string): number {
  return [...letters.segment(text)].reduce((sum, { segment }) => sum + columnsOfOne(segment), 0);
}

/** Cuts a text to a number of columns. A text that is cut ends in "…". */
export function cutTo(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let out = "", used = 1;
  for (const { segment } of letters.segment(text)) {
    used += columnsOfOne(segment);
    if (used > columns) break;
    out += segment;
  }
  return columns > 0 ? `${out}…` : "";
}
