/**
 * Reads the labels that the texts of choices carry themselves: "A. 10", "(b) 10", "① 10", "В) 10".
 *
 * @module
 */
import { foldDigits } from "../maths/digits.ts";

/** Sequences of labels, in order. */
const ALPHABETS: readonly (readonly string[])[] = [
  [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
  [..."abcdefghijklmnopqrstuvwxyz"],
  Array.from({ length: 26 }, (_, i) => String(i + 1)),
  [..."①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"],
  ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"],
  ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"],
  [..."АБВГДЕЖЗИК"],
  [..."абвгдежзик"],
  [..."АБЦД"],
  [..."ΑΒΓΔΕΖΗΘ"],
  [..."甲乙丙丁戊己庚辛"],
  [..."アイウエオカキク"],
  [..."가나다라마바사아"],
  ["ㄱ", "ㄴ", "ㄷ", "ㄹ", "ㅁ", "ㅂ"],
  [..."กขคงจ"],
  [..."أبجدهو"],
  [..."कखगघङ"],
  [..."কখগঘঙ"],
];

/** A label in brackets, a label before a mark, or a round label alone; then the text. */
const LABELLED =
  /^\s*(?:\*\*|__|\\text(?:bf)?\{)?\s*(?:(?:option|choice|answer|opción|opção|选项|選項|選択肢|보기|вариант)\s+)?(?:[(（[［【<]\s*([\p{L}\p{Nd}]{1,4}|[①-⑳])\s*[)）\]］】>](?:\*\*|__)?\s*[.．:：、]?|([\p{L}\p{Nd}]{1,4})(?:\*\*|__)?\s*(?:[)）\]．、：]|(?<!\p{Nd})\.|\.(?!\p{Nd})|[:|](?=\s|$)|[-–—](?=\s)|(?<=[A-Z])(?=\s+\d|\t| {2}))|([①-⑳])(?:\*\*|__)?\s*[.．:：、)）]?)(?:\*\*|__|\})?\s*([^]*)$/iu;

/** The texts of a question's choices, with their labels removed. */
export interface Choices {
  /** The texts without labels. A choice that consists of only its label has the text "". */
  readonly texts: readonly string[];
  /** The labels as they were written, in order; absent if the texts carry none. */
  readonly labels?: readonly string[];
}

/**
 * Splits the texts of choices into labels and texts.
 *
 * Texts count as labelled if most of them, and at least two, begin with the label of their own position in one alphabet, and none begins
 * with the label of another position. "A. 10", "B. 12" are labelled, and so are "(1) x", "(2) y"; "2. May", "7. June" are not. A prompt
 * that adds its own letters should use `texts`, so that it does not say "(A) A. 10".
 *
 * @example
 * ```ts
 * import { choicesOf } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(choicesOf(["A. 10", "B. 12"]), { texts: ["10", "12"], labels: ["A", "B"] });
 * assertEquals(choicesOf(["① x", "② y"]).texts, ["x", "y"]);
 * assertEquals(choicesOf(["1.5", "2.5"]), { texts: ["1.5", "2.5"] });
 * ```
 */
export function choicesOf(options: readonly string[]): Choices {
  const none = { texts: options };
  if (options.length < 2 || options.length > 26) return none;
  const readOne = (option: string) => {
    if (option.length > 10_000) return undefined;
    const alone = /^\s*[(（[［【]?\s*([A-Z])\s*[)）\]］】.．、:：]*\s*$/u.exec(option);
    if (alone !== null) return { label: alone[1]!, text: "" };
    const match = LABELLED.exec(option);
    return match === null ? undefined : { label: match[1] ?? match[2] ?? match[3]!, text: match[4]! };
  };
  // If most texts have labels, one of the first two has one.
  const firstTwo = options.slice(0, 2).map(readOne);
  if (firstTwo.every((one) => one === undefined)) return none;
  const read = [...firstTwo, ...options.slice(2).map(readOne)];
  const fold = (label: string) => /[Ａ-Ｚａ-ｚ]|[\u0080-\u245f\u2474-\uffff]/.test(label) ? foldDigits(label.normalize("NFKC")) : label;
  for (const alphabet of ALPHABETS) {
    const places = read.map((one) => one === undefined ? -1 : alphabet.indexOf(fold(one.label)));
    const matching = places.filter((place, i) => place === i).length;
    if (matching < 2 || 2 * matching <= options.length) continue;
    // A text that begins with the label of another position makes all labels doubtful: "A", "B", "A and B" are texts.
    if (places.some((place, i) => place !== i && place >= 0 && place < options.length)) continue;
    return { texts: options.map((option, i) => places[i] === i ? read[i]!.text : option), labels: alphabet.slice(0, options.length) };
  }
  return none;
}
