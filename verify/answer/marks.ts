/**
 * Removes what surrounds an answer and does not belong to it: emphasis, quotes, code ticks, full stops and East Asian brackets. Every way
 * to find an answer ends here.
 *
 * @module
 */
import { MAX_ANSWER } from "../maths/latex_tokens.ts";

/** Runs of two or three stars or underscores at the edge of a word: `**73**`, but neither `2**10` nor `2 ** 10`. */
const OPENING_RUN = /(^|[\s([{:=,;"'“‘«»„「『（【：，。、$>|*_])(?:\*{2,3}|_{2,3})(?=[^\s*_.,;:!?)\]}。，])/g;
const CLOSING_RUN =
  /([^\s*_])(?:\*{2,3}|_{2,3})(?=$|[\s.,;:!?)\]}"'”’«»」』）】：，。、．$|]|\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana})/gu;
/** One star or underscore on both sides: `*73*`, but neither `2*3*4` nor `x_1`. */
const EMPHASIS = /(^|[\s("'“‘「（：:])([*_])(?=[^\s*_])([^*_\n]{0,200}[^\s*_\\^])\2(?=$|[\s.,;:!?)"'”’」）。，、．])/g;
const HTML = /<(b|strong|em|i|u|mark|code|span|font|center|p|h[1-6])(?:\s[^<>]{0,80})?>([^<>]{0,2000})<\/\1>/gi;
/** The first line of a block of code: its ticks and its language. */
const FENCE = /^```[A-Za-z]{0,12}[ \t]{0,4}\n/;

/**
 * Removes the marks of emphasis and code from a text: Markdown's stars, underscores and ticks, and HTML's tags. Formulas keep theirs.
 *
 * @example
 * ```ts
 * import { unmarked } from "./marks.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(["**73** apples", "_x_ = `2`", "2**10", "<b>x_1</b>*x_2"].map(unmarked), ["73 apples", "x = 2", "2**10", "x_1*x_2"]);
 * ```
 */
export function unmarked(text: string): string {
  if (!/[*`<]|__|(?:^|[\s(:"'])_/.test(text)) return text;
  let out = text.trimStart().replace(FENCE, "");
  if (out.includes("`")) out = out.replace(/`+/g, "");
  if (out.includes("**") || out.includes("__")) {
    out = out.replace(/(\*\*|__)!(?=\s|$)/g, "$1").replace(OPENING_RUN, "$1").replace(CLOSING_RUN, "$1");
  }
  if (/[*_]/.test(out)) out = out.replace(EMPHASIS, "$1$3");
  if (out.includes("</")) out = out.replace(HTML, "$2").replace(HTML, "$2");
  return out;
}

/** Quotes and brackets that only set an answer apart. The key is the opening character. */
const PAIRS: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  "“": "”",
  "”": "”",
  "‘": "’",
  "„": "“”",
  "‚": "‘’",
  "«": "»",
  "»": "«",
  "‹": "›",
  "「": "」",
  "『": "』",
  "【": "】",
  "〔": "〕",
  "〖": "〗",
  "｢": "｣",
  "*": "*",
  "_": "_",
};
/** Texts that begin or end with such a character may have marks to remove. */
const EDGE = /^[\s"'“”‘„‚«»‹「『【〔〖｢*_：:.·•]|[\s.。．｡।॥۔"'”’“»«›」』】〕〗｣)）*_,;，；、：:]$/;

/** Tells whether the outer pair encloses the whole text: `"a" and "b"` is not one quotation. */
function encloses(text: string, close: string): boolean {
  const inside = text.slice(1, -1);
  return inside.trim() !== "" && !inside.includes(text[0]!) && ![...close].some((mark) => inside.includes(mark));
}

/** Tells whether the bracket at the end of a text was never opened. */
function unopened(text: string): boolean {
  let depth = 0;
  for (const char of text) {
    if (char === "(" || char === "[" || char === "（" || char === "［") depth++;
    else if (char === ")" || char === "]" || char === "）" || char === "］") depth--;
  }
  return depth < 0;
}

/**
 * Removes what surrounds an answer. A text that consists of marks alone is returned unchanged.
 *
 * @example
 * ```ts
 * import { bare } from "./marks.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(["**73**", "73**.", "“73”。", "`73`", "【B】", "(1, 2)", "[1, 2)", "5!", "*"].map(bare), ["73", "73", "73", "73", "B", "(1, 2)", "[1, 2)", "5!", "*"]);
 * ```
 */
export function bare(answer: string): string {
  if (answer.length > MAX_ANSWER) return answer;
  let text = unmarked(answer);
  for (let rounds = 0; rounds < 12 && EDGE.test(text); rounds++) {
    const before = text, first = text[0]!, last = text.at(-1)!;
    if (/\s/.test(first) || /\s/.test(last)) text = text.trim();
    else if (Object.hasOwn(PAIRS, first) && text.length > 2 && PAIRS[first]!.includes(last) && encloses(text, PAIRS[first]!)) {
      text = text.slice(1, -1);
    } else if (/[.。．｡।॥۔]/.test(last)) {
      if (/\.\.$/.test(text) || /\\right\.$/.test(text)) return text; // "1, 2, ..." continues
      text = text.slice(0, -1);
    } else if (/[,;，；、：:]/.test(last)) text = /\\[,;:]$/.test(text) ? text.slice(0, -2) : text.slice(0, -1);
    else if (last === "*" || (last === "_" && /[^_]_{1,3}$/.test(text))) {
      if (/[\^_\\]\{?\*$/.test(text)) return text; // z^*
      text = text.replace(/[*_]+$/, "");
    } else if (/[)）]/.test(last) && unopened(text)) text = text.slice(0, -1);
    else if (/["”’»」』】〕〗]/.test(last) && !text.slice(0, -1).match(/["“„«「『【〔〖‘]/) && !/\d["”’]$/.test(text)) {
      text = text.slice(0, -1);
    } else if (/^[：:*]/.test(text) || /^[·•]\s/.test(text) || /^_(?=[^_{\d])/.test(text)) text = text.slice(1);
    if (text === before) break;
  }
  return text.trim() === "" ? answer.trim() : text;
}
