/**
 * Recognises answers that open with yes or no.
 *
 * @module
 */
import { afterThinking, extractAnswer } from "./extract.ts";
import { bare } from "./marks.ts";

const YES =
  "yes|yeah|yep|true|correct|是|是的|对|對|对的|正确|はい|正しい|네|예|그렇다|да|ja|jawohl|oui|vrai|sí|verdadero|sì|vero|sim|verdadeiro|tak|prawda|ano|igen|igaz|da|evet|doğru|có|đúng|ya|benar|ndiyo|ใช่|نعم|صحيح|हाँ|हां|सही|হ্যাঁ|అవును|ναι"
    .split("|");
const NO =
  "no|nope|false|incorrect|否|不|不是|不对|错误|错|いいえ|아니요|아니오|아니다|нет|не|nein|falsch|non|faux|falso|não|nao|nie|fałsz|ne|nem|hamis|hayır|yanlış|không|sai|tidak|salah|hapana|nee|ไม่|ไม่ใช่|لا|خطأ|नहीं|गलत|না|కాదు|όχι"
    .split("|");
const MEANING: ReadonlyMap<string, boolean> = new Map([
  ...YES.map((word) => [word, true] as const),
  ...NO.map((word) => [word, false] as const),
]);

/** Words that introduce a yes or no at the end of an argument. */
const LEAD = /^(?:(?:so|therefore|thus|hence|in conclusion|in short|the answer is|所以|因此|故)[,，:：]?\s{0,3})+/i;
/** A word and the text after it. */
const FIRST =
  /^([\p{L}\p{M}]{1,12})(\s*[,，.。．、;；:：!！—–…।॥]|\s+[-–—]|\s*$|\s+(?=(?:it|they|he|she|this|that|there|the|these|those|we|you|i|because|since|as|indeed)\b))/iu;
/** Words that take a yes or no back at once. */
const BACK =
  /^\W{0,3}(?:(?:and|or|but|wait|actually|no,? wait|hold on|hmm|rather|maybe|perhaps|sometimes|it depends|not (?:exactly|quite|really|necessarily))\b|但|不过|しかし)/i;

/** Tells whether an answer is or opens with a yes (true) or a no (false). Returns undefined if it has neither or both. */
function opening(text: string): boolean | undefined {
  const plain = bare(text.slice(0, 400).replace(/\\(?:text|textbf|mathrm|mathbf|textit)\s?\{([^{}]{0,300})\}/g, "$1").replace(/[$\\]/g, ""))
    .replace(LEAD, "");
  const match = FIRST.exec(bare(plain));
  if (match === null) return undefined;
  const meaning = MEANING.get(match[1]!.toLowerCase());
  const rest = bare(plain).slice(match[0].length);
  if (meaning === undefined || BACK.test(rest)) return undefined;
  // "Yes/No", "yes, no", "No. Yes."
  const next = FIRST.exec(rest.replace(/^[\s,/]+/, "")), other = next === null ? undefined : MEANING.get(next[1]!.toLowerCase());
  return other !== undefined && other !== meaning ? undefined : meaning;
}

/** Tells whether a truth is just a yes (true) or a no (false). Returns undefined for other truths. */
export function polarityOf(truth: string): boolean | undefined {
  if (truth.length > 60 || !/^[\p{L}\p{M}\s{}\\.。$*"“”]+$/u.test(truth)) return undefined;
  const word = bare(truth.replace(/\\(?:text|textbf|mathrm|mathbf)\s?\{([^{}]*)\}/g, "$1").replace(/\$/g, "")).toLowerCase();
  return MEANING.get(word);
}

/**
 * Returns the yes or no of a response. The opening of its named answer decides. If no answer is named, the opening of the response and that
 * of its last sentence decide, if they agree.
 *
 * @returns undefined if the response has neither yes nor no, or both.
 * @example
 * ```ts
 * import { responsePolarity } from "./polarity.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const meaning = ["Yes, they are parallel.", "No. They meet.", "They meet.\nSo no, they are not.", "No idea.", "Yes and no."].map((r) => responsePolarity(r)?.yes);
 * assertEquals(meaning, [true, false, false, undefined, undefined]);
 * ```
 */
export function responsePolarity(response: string): { yes: boolean; answer: string } | undefined {
  const found = extractAnswer(response);
  if (found !== undefined && /^(?:tag|box|hash|phrase)$/.test(found.source)) {
    const yes = opening(found.answer);
    return yes === undefined ? undefined : { yes, answer: found.answer };
  }
  const text = afterThinking(response.slice(-100_000)).trim(), last = text.slice(text.lastIndexOf("\n") + 1);
  const sentence = last.slice(Math.max(last.slice(0, -2).search(/[.。!?！？]\s+[^.。!?！？]*$/) + 1, 0));
  const [first, end] = [opening(text), LEAD.test(last.trim()) ? opening(last.trim()) : opening(sentence.trim())];
  const yes = first ?? end;
  return yes === undefined || (end !== undefined && end !== first && first !== undefined)
    ? undefined
    : { yes, answer: yes === first ? text.slice(0, 200) : last.slice(0, 200) };
}
