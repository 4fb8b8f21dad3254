/**
 * Splits an answer in LaTeX, Unicode or plain text into tokens, in one pass. Nothing is evaluated.
 *
 * @module
 */

import { digitOf } from "./digits.ts";

/**
 * The kind of a {@linkcode Token}. Brackets of every kind are "open" and "close": `{` and `}` for a LaTeX group, `\{` and `\}` for a set.
 */
export type TokenKind = "number" | "word" | "command" | "symbol" | "open" | "close";

/** A piece of an answer. */
export interface Token {
  readonly kind: TokenKind;
  /** A number without separators of thousands, a word, a command without its backslash, or a symbol. */
  readonly text: string;
  /** Whether it stood in `\text`, `\mathrm` or a similar command. A word there is not a product of letters. */
  readonly upright: boolean;
  /** Whether white space precedes it. */
  readonly spaced: boolean;
}

/** The longest answer, in characters, that is graded. */
export const MAX_ANSWER = 10_000;
/**
 * The longest response, in characters, that is read whole. For longer ones only the end is searched, and verifiers of whole responses give
 * 0.
 */
export const MAX_RESPONSE = 1_000_000;
/** The largest number of tokens that are parsed. Longer answers are compared as text only. */
const MAX_TOKENS = 1_000;

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ";
const SUPERSCRIPT_MEANINGS = "0123456789+-n";
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

const UNICODE: Readonly<Record<string, string>> = {
  "−": "-",
  "–": "-",
  "—": "-",
  "‐": "-",
  "‑": "-",
  "×": "\\times ",
  "✕": "\\times ",
  "÷": "/",
  "∕": "/",
  "⁄": "/",
  "·": "\\cdot ",
  "⋅": "\\cdot ",
  "∙": "\\cdot ",
  "∗": "*",
  "π": "\\pi ",
  "∞": "\\infty ",
  "°": "^\\circ ",
  "º": "^\\circ ",
  "℃": "^\\circ C",
  "℉": "^\\circ F",
  "≤": "\\le ",
  "⩽": "\\le ",
  "≥": "\\ge ",
  "⩾": "\\ge ",
  "≠": "\\ne ",
  "≈": "\\approx ",
  "≃": "\\approx ",
  "±": "\\pm ",
  "∓": "\\mp ",
  "∪": "\\cup ",
  "∩": "\\cap ",
  "∈": "\\in ",
  "∅": "\\emptyset ",
  "∠": "\\angle ",
  "△": "\\triangle ",
  "′": "'",
  "’": "'",
  "‘": "'",
  "“": '"',
  "”": '"',
  "。": ".",
  "｡": ".",
  "।": ".",
  "॥": ".",
  "۔": ".",
  "、": ",",
  "،": ",",
  "؛": ";",
  "٫": ".",
  "٬": ",",
  "٪": "\\%",
  "∶": ":",
  "∘": "\\circ ",
  "˚": "^\\circ ",
  "…": "...",
  "⋯": "...",
  "ℝ": "\\reals ",
  "￥": "\\yen ",
  "￡": "\\pounds ",
  "「": '"',
  "」": '"',
  "『": '"',
  "』": '"',
  "«": '"',
  "»": '"',
  "„": '"',
  "【": "(",
  "】": ")",
  "½": "\\frac{1}{2}",
  "⅓": "\\frac{1}{3}",
  "⅔": "\\frac{2}{3}",
  "¼": "\\frac{1}{4}",
  "¾": "\\frac{3}{4}",
  "⅕": "\\frac{1}{5}",
  "⅖": "\\frac{2}{5}",
  "⅗": "\\frac{3}{5}",
  "⅘": "\\frac{4}{5}",
  "⅙": "\\frac{1}{6}",
  "⅚": "\\frac{5}{6}",
  "⅛": "\\frac{1}{8}",
  "⅜": "\\frac{3}{8}",
  "⅝": "\\frac{5}{8}",
  "⅞": "\\frac{7}{8}",
  "α": "\\alpha ",
  "β": "\\beta ",
  "γ": "\\gamma ",
  "δ": "\\delta ",
  "ε": "\\epsilon ",
  "θ": "\\theta ",
  "λ": "\\lambda ",
  "μ": "\\mu ",
  "ρ": "\\rho ",
  "σ": "\\sigma ",
  "τ": "\\tau ",
  "φ": "\\phi ",
  "ϕ": "\\phi ",
  "ω": "\\omega ",
  "Δ": "\\Delta ",
  "Σ": "\\Sigma ",
  "Ω": "\\Omega ",
  "€": "\\euro ",
  "£": "\\pounds ",
  "¥": "\\yen ",
  "¢": "\\cent ",
  "⌊": "\\lfloor ",
  "⌋": "\\rfloor ",
  "⌈": "\\lceil ",
  "⌉": "\\rceil ",
};

/** Replaces Unicode mathematics, full-width forms and spaces by LaTeX in ASCII. Other characters stay. */
function toAscii(text: string): string {
  // deno-lint-ignore no-control-regex
  if (/^[\x00-\x7f]*$/.test(text)) return text;
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!, code = text.charCodeAt(i);
    if (code < 128) out += char;
    else if (SUPERSCRIPTS.includes(char)) {
      let run = "";
      for (; i < text.length && SUPERSCRIPTS.includes(text[i]!); i++) run += SUPERSCRIPT_MEANINGS[SUPERSCRIPTS.indexOf(text[i]!)];
      i--;
      out += `^{${run}}`;
    } else if (SUBSCRIPTS.includes(char)) {
      let run = "";
      for (; i < text.length && SUBSCRIPTS.includes(text[i]!); i++) run += SUBSCRIPTS.indexOf(text[i]!);
      i--;
      out += `_{${run}}`;
    } else if (char === "√" || char === "∛" || char === "∜") {
      const root = char === "√" ? "\\sqrt" : char === "∛" ? "\\sqrt[3]" : "\\sqrt[4]";
      let digits = "";
      for (; i + 1 < text.length && /[0-9.]/.test(text[i + 1]!); i++) digits += text[i + 1]!;
      out += digits === "" ? `${root} ` : `${root}{${digits}}`;
    } else if (code >= 0xff01 && code <= 0xff5e) out += String.fromCharCode(code - 0xfee0);
    else if (/\s/.test(char)) out += " ";
    else if (code >= 0x2460 && code <= 0x2473) { // ① to ⑳
      out += String(code - 0x245f);
      if (/[①-⑳]/.test(text[i + 1] ?? "")) out += ",";
    } else if (code >= 0x3300 && code <= 0x33ff) out += char.normalize("NFKC").replace(/([a-z])([23])$/, "$1^$2"); // ㎝, ㎡
    else if (code === 0x200b || code === 0x2061 || code === 0x2062 || code === 0xfeff) out += ""; // invisible
    else out += UNICODE[char] ?? digitOf(code) ?? char;
  }
  return out;
}

/** Commands whose group contains words. */
const TEXT = new Set([
  ..."text textbf textit textrm textsf texttt textnormal textup mathrm mathbf mathit mathsf mathtt mathbb mathcal boldsymbol bm rm bf it mbox"
    .split(" "),
  ..."operatorname hbox emph".split(" "),
]);
/** Commands that only change the appearance. Those of `SKIPPED_WITH_GROUP` have a group that is skipped too. */
const SKIPPED = new Set([
  ..."left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr middle quad qquad displaystyle textstyle scriptstyle limits"
    .split(" "),
  ..."nolimits ensuremath boxed fbox underline therefore implies because hfill newline par noindent thinspace enspace space".split(" "),
]);
const SKIPPED_WITH_GROUP = new Set(["color", "textcolor", "hspace", "vspace", "phantom", "hphantom", "vphantom", "label", "tag"]);
const SYNONYMS: Readonly<Record<string, readonly [TokenKind, string]>> = {
  cdot: ["symbol", "*"],
  times: ["symbol", "*"],
  ast: ["symbol", "*"],
  div: ["symbol", "/"],
  le: ["symbol", "<="],
  leq: ["symbol", "<="],
  leqslant: ["symbol", "<="],
  ge: ["symbol", ">="],
  geq: ["symbol", ">="],
  geqslant: ["symbol", ">="],
  lt: ["symbol", "<"],
  gt: ["symbol", ">"],
  ne: ["symbol", "!="],
  neq: ["symbol", "!="],
  approx: ["symbol", "≈"],
  simeq: ["symbol", "≈"],
  approxeq: ["symbol", "≈"],
  colon: ["symbol", ":"],
  prime: ["symbol", "'"],
  vert: ["symbol", "|"],
  lvert: ["symbol", "|"],
  rvert: ["symbol", "|"],
  mid: ["symbol", "|"],
  "|": ["symbol", "|"],
  "%": ["symbol", "%"],
  "$": ["command", "dollar"],
  textdollar: ["command", "dollar"],
  "#": ["symbol", "#"],
  "&": ["symbol", "&"],
  _: ["symbol", "_"],
  lbrace: ["open", "\\{"],
  rbrace: ["close", "\\}"],
  lbrack: ["open", "["],
  rbrack: ["close", "]"],
  lparen: ["open", "("],
  rparen: ["close", ")"],
  "{": ["open", "\\{"],
  "}": ["close", "\\}"],
  degree: ["command", "circ"],
  textdegree: ["command", "circ"],
  dfrac: ["command", "frac"],
  tfrac: ["command", "frac"],
  cfrac: ["command", "frac"],
  dbinom: ["command", "binom"],
  tbinom: ["command", "binom"],
  tg: ["command", "tan"],
  ctg: ["command", "cot"],
  arctg: ["command", "arctan"],
  varphi: ["command", "phi"],
  varepsilon: ["command", "epsilon"],
  infin: ["command", "infty"],
  varnothing: ["command", "emptyset"],
  textpi: ["command", "pi"],
  ldots: ["command", "dots"],
  cdots: ["command", "dots"],
  dotsc: ["command", "dots"],
  dotsb: ["command", "dots"],
  dotso: ["command", "dots"],
  dotsm: ["command", "dots"],
  hdots: ["command", "dots"],
  R: ["command", "reals"],
  Reals: ["command", "reals"],
  "\\": ["symbol", "\\\\"],
};

/** Matches the text after \mathbb if the real numbers are meant. */
const REALS = /^ ?(?:\{ ?R ?\}|R(?![a-zA-Z]))/;

const isDigit = (c: string | undefined): boolean => c !== undefined && c >= "0" && c <= "9";
const isLetter = (c: string | undefined): boolean =>
  c !== undefined && ((c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || (c > "\x7f" && /\p{L}/u.test(c)));
const digitsAt = (text: string, at: number): number => {
  let end = at;
  while (isDigit(text[end])) end++;
  return end - at;
};

/** The number of arguments that a command takes without braces, one character each as in TeX: `\frac12`, `\sqrt3`. */
const ARGUMENTS: Readonly<Record<string, number>> = { frac: 2, binom: 2, sqrt: 1 };

/**
 * Splits an answer into tokens.
 *
 * @param options `thousands`: whether a comma before three digits separates thousands. If not, it is a comma.
 * @returns undefined if there are more than {@linkcode MAX_TOKENS}.
 */
export function tokenize(answer: string, options: { thousands: boolean }): Token[] | undefined {
  const text = toAscii(answer), tokens: Token[] = [];
  const groups: { upright: boolean; visible: boolean; need: number }[] = [];
  let at = 0, spaced = false, upright = false, need = 0, infix = false;
  const push = (kind: TokenKind, value: string) => {
    tokens.push({ kind, text: value, upright, spaced });
    spaced = false;
  };
  /** Skips a group, or [..], that starts here. Returns whether there was one. */
  const skipGroup = (): boolean => {
    while (text[at] === " ") at++;
    if (text[at] !== "{") return false;
    let depth = 0;
    for (; at < text.length; at++) {
      if (text[at] === "\\") at++;
      else if (text[at] === "{") depth++;
      else if (text[at] === "}" && --depth === 0) break;
    }
    at++;
    return true;
  };
  while (at < text.length) {
    if (tokens.length > MAX_TOKENS) return undefined;
    const c = text[at]!;
    if (c === " " || c === "\n" || c === "\t" || c === "\r" || c === "~" || c === "$") {
      at++;
      if (c !== "$") spaced = true;
    } else if (isDigit(c) || (c === "." && isDigit(text[at + 1]))) {
      if (need > 0 && c !== ".") {
        push("number", c);
        at++;
        need--;
      } else {
        const { value, end } = numberAt(text, at, options.thousands);
        push("number", value);
        at = end;
        need = 0;
      }
    } else if (isLetter(c)) {
      let end = at + 1;
      if (need > 0) need--;
      else while (isLetter(text[end])) end++;
      const word = text.slice(at, end), command = /^(?:[dt]?frac|sqrt)$/.test(word) && text[end] === "{"; // the backslash is missing
      const myriad = tokens.at(-1)?.kind === "number" ? /^(?:[十百千]?[万萬亿億]|[만억])(?=.)/.exec(word)?.[0] : undefined; // 5万元
      if (myriad !== undefined) {
        push("word", myriad);
        at += myriad.length;
        continue;
      }
      push(command ? "command" : "word", command && word !== "sqrt" ? "frac" : word);
      if (command) need = word === "sqrt" ? 1 : 2;
      at = end;
    } else if (c === "\\") {
      let end = at + 1;
      while (end < text.length && ((text[end]! >= "a" && text[end]! <= "z") || (text[end]! >= "A" && text[end]! <= "Z"))) end++;
      if (end === at + 1) end++;
      const name = text.slice(at + 1, end);
      at = end;
      if (name === "" || name === " " || name === "," || name === ";" || name === ":" || name === "!" || name === "\n" || name === "/") {
        // Spaces. The delimiters of formulas are handled below.
        spaced ||= name !== "!";
      } else if (name === "(" || name === ")" || name === "[" || name === "]") spaced = true;
      else if ((name === "mathbb" || name === "Bbb") && REALS.test(text.slice(at, at + 8))) {
        push("command", "reals");
        at += REALS.exec(text.slice(at, at + 8))![0].length;
      } else if (TEXT.has(name)) {
        while (text[at] === " ") at++;
        if (text[at] === "{") {
          groups.push({ upright, visible: false, need });
          upright = true;
          need = 0;
          at++;
        }
      } else if (SKIPPED.has(name)) {
        if ((name === "left" || name === "right") && text[at] === ".") at++;
      } else if (SKIPPED_WITH_GROUP.has(name)) skipGroup();
      else if (name === "begin" || name === "end") {
        const open = text.indexOf("{", at), close = text.indexOf("}", at);
        if (open === at && close > open) {
          const environment = text.slice(open + 1, close);
          at = close + 1;
          push(name === "begin" ? "open" : "close", `\\${environment}`);
          if (name === "begin" && environment === "array") skipGroup();
        }
      } else if (name === "lfloor" || name === "lceil" || name === "langle") push("open", `\\${name}`);
      else if (name === "rfloor" || name === "rceil" || name === "rangle") push("close", `\\${name}`);
      else {
        const [kind, value] = SYNONYMS[name] ?? ["command", name];
        infix ||= name === "over" || name === "choose";
        push(kind, value);
        need = kind === "command" && Object.hasOwn(ARGUMENTS, value) ? ARGUMENTS[value]! : Math.max(0, need - 1);
      }
    } else if (c === "{") {
      groups.push({ upright, visible: true, need: Math.max(0, need - 1) });
      need = 0;
      push("open", "{");
      at++;
    } else if (c === "}") {
      const group = groups.pop();
      if (group?.visible ?? true) push("close", "}");
      upright = group?.upright ?? false;
      need = group?.need ?? 0;
      at++;
    } else if (c === "(" || c === "[") {
      // The index of a root precedes its argument.
      if (c === "[" && need > 0 && tokens.at(-1)?.text === "sqrt") {
        push("open", "[");
      } else {
        need = 0;
        push("open", c);
      }
      at++;
    } else if (c === ")" || c === "]") {
      push("close", c);
      at++;
    } else if (c === "." && text.startsWith("...", at)) {
      push("command", "dots");
      while (text[at] === ".") at++;
    } else {
      const pair = text.slice(at, at + 2);
      const symbol = pair === "<=" || pair === ">=" || pair === "!=" ? pair : pair === "**" ? "^" : pair === "==" ? "=" : c;
      push("symbol", symbol);
      at += symbol === "^" && c === "*" || pair === "==" ? 2 : symbol.length;
    }
  }
  return infix ? prefixed(tokens) : tokens;
}

/**
 * Rewrites TeX's `a \over b` and `n \choose k` as `\frac{a}{b}` and `\binom{n}{k}`. They apply to the whole group, but not beyond a
 * relation or a comma.
 */
function prefixed(tokens: Token[]): Token[] {
  const brace = (kind: TokenKind, text: string): Token => ({ kind, text, upright: false, spaced: false });
  const ends = (token: Token) => token.kind === "symbol" && /^(?:[,;:=≈<>&]|[<>!]=|\\\\)$/.test(token.text);
  for (let i = 0, count = 0; i < tokens.length && count < 20; i++) {
    const { kind, text } = tokens[i]!;
    if (kind !== "command" || (text !== "over" && text !== "choose")) continue;
    count++;
    let start = i, end = i + 1;
    for (let depth = 0; start > 0; start--) {
      const before = tokens[start - 1]!;
      if (before.kind === "close") depth++;
      else if (before.kind === "open" && --depth < 0) break;
      else if (depth === 0 && ends(before)) break;
    }
    for (let depth = 0; end < tokens.length; end++) {
      const after = tokens[end]!;
      if (after.kind === "open") depth++;
      else if (after.kind === "close" && --depth < 0) break;
      else if (depth === 0 && ends(after)) break;
    }
    const [left, right] = [tokens.slice(start, i), tokens.slice(i + 1, end)];
    // A sign before a fraction without braces belongs to the fraction: -1 \over 2.
    const command = { ...brace("command", text === "over" ? "frac" : "binom"), spaced: tokens[start]!.spaced };
    const [open, close] = [brace("open", "{"), brace("close", "}")];
    tokens.splice(start, end - start, command, open, ...left, close, open, ...right, close);
    i = start + left.length + 4;
  }
  return tokens;
}

/** Reads a number: digits, separators of thousands, decimals, an exponent of ten. */
function numberAt(text: string, start: number, thousands: boolean): { value: string; end: number } {
  let end = start + digitsAt(text, start), value = text.slice(start, end);
  // A group of three digits after a separator. "," separates only if `thousands` is set; "{,}", "\,", "\ " and " " always do.
  if (value.length >= 1 && value.length <= 3 && value !== "0") {
    for (;;) {
      const separator = (["{,}", "\\,", "\\ ", "\\!", ",\\!", " ", ","] as const).find((s) => text.startsWith(s, end));
      if (separator === undefined || ((separator === "," || separator === ",\\!") && !thousands)) break;
      const from = end + separator.length;
      if (digitsAt(text, from) !== 3 || (separator === " " && text[from + 3] === "/")) break;
      value += text.slice(from, from + 3);
      end = from + 3;
    }
  }
  if (text.startsWith("{,}", end) && isDigit(text[end + 3])) { // a decimal comma
    const digits = digitsAt(text, end + 3);
    value += `.${text.slice(end + 3, end + 3 + digits)}`;
    end += 3 + digits;
  } else if (text[end] === "." && isDigit(text[end + 1])) {
    const digits = digitsAt(text, end + 1);
    value += text.slice(end, end + 1 + digits);
    end += 1 + digits;
  } else if (text.startsWith(".\\overline{", end)) { // 0.\overline{3}
    value += ".";
    end++;
  }
  if (text[end] === "e" || text[end] === "E") {
    const from = end + (text[end + 1] === "+" || text[end + 1] === "-" ? 2 : 1), digits = digitsAt(text, from);
    if (digits > 0 && !isLetter(text[from + digits])) {
      value += text.slice(end, from + digits);
      end = from + digits;
    }
  }
  return { value, end };
}
