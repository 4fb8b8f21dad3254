/**
 * Parses answers into structures: quantities, lists, tuples and intervals, sets, unions, equations and inequalities, ratios, matrices,
 * words.
 *
 * @module
 */
import { type Expression, isNumeric, variablesOf } from "./expression.ts";
import { ExpressionParser, type LetterUnits, numberOf } from "./expression_parser.ts";
import { type Token, tokenize } from "./latex_tokens.ts";
import { Quantity } from "./quantity.ts";
import { chineseNumber } from "./digits.ts";
import { type Clock, clockOf, HALVES } from "./clock.ts";
import { currencyOf, MULTIPLIERS, SCALE_WORDS, type Unit, unitOf } from "./units.ts";

/** A parsed answer. Every kind holds the answer's text in normal form. */
export type Answer =
  & { readonly text: string }
  & (
    | { readonly kind: "quantity"; readonly quantity: Quantity }
    /** The items are in order. `open` is "" for a bare list, `\{` for a set, "(" or "[" for a tuple or interval. */
    | { readonly kind: "list"; readonly items: readonly Answer[]; readonly open: string; readonly close: string }
    | { readonly kind: "union"; readonly items: readonly Answer[] }
    /**
     * The text reads parts[0] operators[0] parts[1] operators[1] .... `label` tells whether parts[0] may be the name of what was asked for.
     */
    | { readonly kind: "relation"; readonly parts: readonly Answer[]; readonly operators: readonly string[]; readonly label: boolean }
    /** `clock` is set if the ratio may be a time of day. */
    | { readonly kind: "ratio"; readonly parts: readonly Quantity[]; readonly clock?: Clock | undefined }
    | { readonly kind: "clock"; readonly clock: Clock }
    | { readonly kind: "matrix"; readonly rows: readonly (readonly Answer[])[] }
    | { readonly kind: "words" }
  );

/** How to read an answer that has two readings. */
export interface Reading {
  /** Whether "1,234" is one number. */
  readonly thousands: boolean;
  /** Where a single letter may be a unit. */
  readonly letterUnits: LetterUnits;
}

const MAX_NESTING = 12, MAX_ITEMS = 200;
const RELATIONS = new Set(["=", "≈", "<", ">", "<=", ">=", "!="]);
const MATRICES = new Set(["\\matrix", "\\pmatrix", "\\bmatrix", "\\Bmatrix", "\\vmatrix", "\\smallmatrix", "\\array"]);
/** Words between the items of a list. */
const AND = new Set("and or und oder et ou или и 和 或 与 與 及 または と 또는 และ หรือ".split(" "));
/** Words before a value that do not change it. */
const ABOUT = new Set(
  "about approximately exactly 约 大约 約 およそ 약 примерно около etwa ungefähr environ aproximadamente circa".split(" "),
);
const NUMBER_WORDS: Readonly<Record<string, number>> = Object.fromEntries(
  ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty")
    .split(" ").map((word, value) => [word, value]),
);
for (const [i, word] of ["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"].entries()) {
  (NUMBER_WORDS as Record<string, number>)[word] = 30 + 10 * i;
}

/** Returns the number that a word stands for: twelve, 十二, 三分之一. */
function writtenNumber(word: string): Expression | undefined {
  if (Object.hasOwn(NUMBER_WORDS, word)) return numberOf(String(NUMBER_WORDS[word]!));
  if (word < "\x7f" || word.length > 17) return undefined;
  const [denominator, numerator] = word.split("分之");
  if (numerator !== undefined) {
    const [below, above] = [chineseNumber(denominator!), chineseNumber(numerator)];
    if (below === undefined || above === undefined) return undefined;
    if (denominator === "百") return { kind: "scaled", of: numberOf(String(above)), by: "percent" };
    return { kind: "divide", left: numberOf(String(above)), right: numberOf(String(below)) };
  }
  const value = chineseNumber(word);
  return value === undefined ? undefined : numberOf(String(value));
}

/**
 * Parses an answer.
 *
 * @returns undefined if the answer is empty or has too many tokens.
 */
export function parseAnswer(answer: string, reading: Reading): Answer | undefined {
  // JSON writers may double a backslash. It is read as one, unless it ends a matrix's row.
  const text = answer.includes("\\\\") && !answer.includes("\\begin") ? answer.replace(/\\\\(?=[a-zA-Z({[\])}])/g, "\\") : answer;
  const tokens = tokenize(text, reading);
  return tokens === undefined ? undefined : new AnswerParser(tokens, reading).range(0, tokens.length, 0);
}

const isSymbol = (token: Token | undefined, text: string): boolean => token?.kind === "symbol" && token.text === text;
const isWord = (token: Token | undefined, text: string): boolean => token?.kind === "word" && token.text.toLowerCase() === text;

class AnswerParser {
  /** For each bracket the index of its partner; -1 for other tokens. */
  readonly #partner: Int32Array;

  constructor(readonly tokens: readonly Token[], readonly reading: Reading) {
    this.#partner = new Int32Array(tokens.length).fill(-1);
    const open: number[] = [];
    for (const [i, { kind }] of tokens.entries()) {
      if (kind === "open") open.push(i);
      else if (kind === "close" && open.length > 0) {
        const start = open.pop()!;
        this.#partner[start] = i;
        this.#partner[i] = start;
      }
    }
  }

  /** Parses tokens[start, end) as an answer. */
  range(start: number, end: number, depth: number): Answer | undefined {
    [start, end] = this.#trim(start, end);
    if (start >= end) return undefined;
    if (depth > MAX_NESTING) return this.#words(start, end);
    const first = this.tokens[start]!;
    if (first.kind === "open" && this.#partner[start] === end - 1) {
      const inside = this.#enclosed(start, end, depth);
      if (inside !== undefined) return inside;
    }
    return this.#clock(start, end) ?? this.#list(start, end, depth) ?? this.#relation(start, end, depth) ??
      this.#union(start, end, depth) ??
      this.#ratio(start, end) ?? this.#quantity(start, end) ?? this.#words(start, end);
  }

  /** Reads a time of day that names its half: "3:30 p.m.", "3 PM", "5 o'clock". */
  #clock(start: number, end: number): Answer | undefined {
    if (end - start < 2 || end - start > 10) return undefined;
    const first = this.tokens[start]!,
      last = this.tokens[end - 1]!,
      says = (token: Token) => token.kind === "word" && HALVES.test(token.text);
    const clock = says(last) || says(first) ? clockOf(this.tokens.slice(start, end)) : undefined;
    return clock === undefined ? undefined : { kind: "clock", text: this.#text(start, end), clock };
  }

  /** Skips the marks around an answer: full stops, quotes, Markdown's stars, "the answer is". */
  #trim(start: number, end: number): [number, number] {
    for (;;) {
      const first = this.tokens[start], last = this.tokens[end - 1];
      if (start < end && last?.kind === "symbol" && /^[.,;:?"'`*]$/.test(last.text)) end--;
      else if (start < end && isSymbol(last, "!") && this.tokens[end - 2]?.kind === "word" && this.tokens[end - 2]!.text.length > 1) end--;
      else if (start < end && first?.kind === "symbol" && /^[.,;:?"'`*#]$/.test(first.text)) start++;
      else if (isWord(first, "the") && (isWord(this.tokens[start + 1], "answer") || isWord(this.tokens[start + 2], "answer"))) start++;
      else if ((isWord(first, "final") || isWord(first, "correct")) && isWord(this.tokens[start + 1], "answer")) start++;
      else if (isWord(first, "answer") && (isWord(this.tokens[start + 1], "is") || isSymbol(this.tokens[start + 1], ":"))) start += 2;
      else if (start + 2 < end && last?.kind === "command" && last.text === "dots" && this.tokens[end - 2]!.text !== ",") end--;
      else if (first?.kind === "word" && ABOUT.has(first.text.toLowerCase())) {
        if (start + 1 >= end) return [start, end];
        start++;
      } else return [Math.min(start, end), end];
    }
  }

  /** Returns the indices in [start, end), outside brackets, where `at` holds. */
  #outside(start: number, end: number, at: (token: Token, index: number) => boolean): number[] {
    const found: number[] = [];
    for (let i = start; i < end; i++) {
      const token = this.tokens[i]!;
      if (token.kind === "open" && this.#partner[i]! > i && this.#partner[i]! < end) i = this.#partner[i]!;
      else if (at(token, i)) found.push(i);
    }
    return found;
  }

  #separators(start: number, end: number): number[] {
    return this.#outside(
      start,
      end,
      (token) =>
        (token.kind === "symbol" && (token.text === "," || token.text === ";")) ||
        (token.kind === "word" && token.text.length < 4 && AND.has(token.text.toLowerCase())) ||
        (token.kind === "command" && (token.text === "lor" || token.text === "vee" || token.text === "land" || token.text === "wedge")),
    );
  }

  #items(start: number, end: number, separators: readonly number[], depth: number): Answer[] | undefined {
    const items: Answer[] = [];
    if (separators.length >= MAX_ITEMS) return undefined;
    let from = start;
    for (const to of [...separators, end]) {
      const item = this.range(from, to, depth + 1);
      if (item !== undefined) items.push(item);
      else if (to !== end && !(from > start && this.tokens[to]?.kind !== "symbol")) return undefined; // ", and" has nothing in between
      from = to + 1;
    }
    return items;
  }

  /** Parses an answer whose brackets enclose all of it: a tuple, interval, set or matrix, or the content of the brackets. */
  #enclosed(start: number, end: number, depth: number): Answer | undefined {
    const open = this.tokens[start]!.text, close = this.tokens[end - 1]!.text;
    if (MATRICES.has(open)) return this.#matrix(start, end, depth);
    const bracket = open === "(" || open === "[" || open === "\\langle", set = open === "\\{";
    if (!bracket && !set && open !== "{") return undefined;
    const separators = this.#separators(start + 1, end - 1);
    if (set) {
      // { x : x > 3 }
      const [bar] = this.#outside(start + 1, end - 1, (token) => token.kind === "symbol" && (token.text === ":" || token.text === "|"));
      if (bar !== undefined && bar <= start + 4) return this.range(bar + 1, end - 1, depth + 1);
    }
    if (set || separators.length > 0) {
      const items = separators.length === 0 && start + 2 === end ? [] : this.#items(start + 1, end - 1, separators, depth);
      if (items === undefined || (items.length === 0 && !set)) return undefined;
      const outer = open === "{" ? "\\{" : open === "\\langle" ? "(" : open;
      return {
        kind: "list",
        text: this.#text(start, end),
        items,
        open: outer,
        close: open === "{" ? "\\}" : close === "\\rangle" ? ")" : close,
      };
    }
    // Brackets around one item are dropped. [1, 2) is not such a case, because it has a comma.
    if (open === "{" ? close !== "}" : (open === "(" && close !== ")") || (open === "[" && close !== "]")) return undefined;
    return this.range(start + 1, end - 1, depth + 1);
  }

  #list(start: number, end: number, depth: number): Answer | undefined {
    const separators = this.#separators(start, end);
    if (separators.length === 0) return undefined;
    const items = this.#items(start, end, separators, depth);
    return items === undefined || items.length < 2 ? undefined : { kind: "list", text: this.#text(start, end), items, open: "", close: "" };
  }

  #relation(start: number, end: number, depth: number): Answer | undefined {
    const at = this.#outside(
      start,
      end,
      (token) => (token.kind === "symbol" && RELATIONS.has(token.text)) || (token.kind === "command" && token.text === "in"),
    );
    if (at.length === 0 || at.length > 20) return undefined;
    const parts: Answer[] = [];
    let from = start;
    for (const to of [...at, end]) {
      const part = this.range(from, to, depth + 1);
      if (part !== undefined) parts.push(part);
      else if (from !== start) return undefined; // "= 5" is 5
      from = to + 1;
    }
    const operators = at.map((i) => this.tokens[i]!.text).slice(at.length + 1 - parts.length);
    if (parts.length === 1) return parts[0];
    return { kind: "relation", text: this.#text(start, end), parts, operators, label: this.#isLabel(start, at[0]!, parts[0]!) };
  }

  /**
   * Tells whether the left side of an equation may name what was asked for: x, f(x), AB, x + y, 2 + 3. The sides 2x, x + 1 and x^2 cannot,
   * because they leave the equation unsolved.
   */
  #isLabel(start: number, end: number, left: Answer): boolean {
    if (left.kind !== "quantity") return true;
    const { expression } = left.quantity, variables = variablesOf(expression);
    if (variables.size !== 1 || expression.kind === "variable") return true;
    return end - start >= 4 && this.tokens[start]!.kind === "word" && this.tokens[start + 1]!.text === "(" &&
      this.#partner[start + 1] === end - 1;
  }

  #union(start: number, end: number, depth: number): Answer | undefined {
    const cups = this.#outside(
      start,
      end,
      (token) => (token.kind === "command" && token.text === "cup") || (token.kind === "word" && token.text === "U"),
    );
    if (cups.length === 0) return undefined;
    const items = this.#items(start, end, cups, depth);
    return items === undefined || items.length < 2 || items.some(({ kind }) => kind !== "list")
      ? undefined
      : { kind: "union", text: this.#text(start, end), items };
  }

  #ratio(start: number, end: number): Answer | undefined {
    const colons = this.#outside(start, end, (token) => isSymbol(token, ":"));
    if (colons.length === 0 || colons.length > 10) return undefined;
    const parts: Quantity[] = [];
    let from = start;
    for (const to of [...colons, end]) {
      const part = this.#quantity(from, to);
      if (part?.kind !== "quantity") return undefined;
      parts.push(part.quantity);
      from = to + 1;
    }
    return { kind: "ratio", text: this.#text(start, end), parts, clock: clockOf(this.tokens.slice(start, end)) };
  }

  #matrix(start: number, end: number, depth: number): Answer | undefined {
    const breaks = this.#outside(start + 1, end - 1, (token) => isSymbol(token, "\\\\") || isSymbol(token, "&"));
    if (breaks.length > MAX_ITEMS) return undefined;
    const rows: Answer[][] = [[]];
    let from = start + 1;
    for (const to of [...breaks, end - 1]) {
      const cell = this.range(from, to, depth + 1);
      if (cell !== undefined) rows.at(-1)!.push(cell);
      else if (to !== end - 1) return undefined;
      if (to !== end - 1 && isSymbol(this.tokens[to], "\\\\")) rows.push([]);
      from = to + 1;
    }
    if (rows.at(-1)!.length === 0) rows.pop();
    return rows.length === 0 ? undefined : { kind: "matrix", text: this.#text(start, end), rows };
  }

  #quantity(start: number, end: number): Answer | undefined {
    if (this.#isOneWord(start, end)) return undefined;
    const { letterUnits } = this.reading;
    // In "2h 48m" numbers and words alternate; they are not products.
    const paired = end - start >= 4 && (end - start) % 2 === 0 &&
      this.tokens.slice(start, end).every(({ kind }, i) => kind === (i % 2 === 0 ? "number" : "word"));
    const quantity = this.#measured(start, end, paired ? "always" : letterUnits) ??
      (letterUnits === "never" ? undefined : this.#measured(start, end, "never"));
    return quantity === undefined ? undefined : { kind: "quantity", text: this.#text(start, end), quantity };
  }

  /** Tells whether the tokens are a word of two letters or more, or only words, which are not products of their letters. */
  #isOneWord(start: number, end: number): boolean {
    let long = false;
    for (let i = start; i < end; i++) {
      const { kind, text } = this.tokens[i]!;
      if (kind !== "word" || (i === start && writtenNumber(text.toLowerCase()) !== undefined)) return false;
      if (text === "pi" || text === "inf" || text === "infinity") return false;
      if (text.length > 1) long = true;
    }
    return long;
  }

  /** Parses an expression with or without a multiplier and a unit, or a sum of such: "2 h 48 min". */
  #measured(start: number, end: number, letterUnits: LetterUnits): Quantity | undefined {
    let currency: Unit | undefined;
    const sign = isSymbol(this.tokens[start], "-") ? 1 : 0, coin = this.tokens[start + sign];
    if (coin?.kind === "command" && (currency = currencyOf(coin.text)) !== undefined) start += sign + 1;
    const last = this.tokens[end - 1];
    if (currency === undefined && last?.kind === "command" && end - start > 1 && (currency = currencyOf(last.text)) !== undefined) end--;
    const first = this.tokens[start], word = first?.kind === "word" ? first.text.toLowerCase() : undefined;
    let expression: Expression | undefined, at: number;
    const written = word === undefined ? undefined : writtenNumber(word);
    if (written !== undefined) {
      expression = written;
      at = start + 1;
    } else {
      const parser = new ExpressionParser(this.tokens, { start, end, letterUnits });
      expression = parser.parse();
      at = parser.at;
    }
    if (expression === undefined) return undefined;
    if (currency !== undefined && sign === 1) expression = { kind: "negate", of: expression };
    if (at === end) return new Quantity(expression, currency);
    const next = this.tokens[at]!, name = next.text.toLowerCase();
    if (next.kind === "word" && Object.hasOwn(MULTIPLIERS, name)) {
      expression = {
        kind: "multiply",
        left: expression,
        right: { ...numberOf("1"), kind: "number", numerator: MULTIPLIERS[name]!, denominator: 1n, places: -1, digits: 1 },
      };
      if (++at === end) return new Quantity(expression, currency);
    }
    const scale = at + 1 === end && next.kind === "word" ? SCALE_WORDS.get(name) : undefined;
    if (scale !== undefined) return new Quantity({ kind: "scaled", of: expression, by: scale }, currency);
    if (at + 1 === end && expression.kind === "scaled" && expression.by === "degree" && (next.text === "C" || next.text === "F")) {
      return new Quantity(expression.of, { dimension: next.text === "C" ? "temperature^1" : "fahrenheit^1", factor: 1 });
    }
    if (currency === undefined) {
      const mixed = this.#sumOfUnits(expression, at, end, letterUnits);
      if (mixed !== undefined) return mixed;
    }
    const unit = unitOf(this.tokens, at, end);
    if (unit === undefined || (unit.dimension === undefined && !isNumeric(expression))) return undefined;
    return new Quantity(expression, currency ?? unit);
  }

  /** Parses "2 h 48 min" or "5 ft 3 in" as a sum of numbers with units of one dimension. */
  #sumOfUnits(first: Expression, at: number, end: number, letterUnits: LetterUnits): Quantity | undefined {
    let total: Expression | undefined, unit: Unit | undefined, amount = first, from = at;
    for (let parts = 0; parts < 4; parts++) {
      let to = from;
      while (to < end && this.tokens[to]!.kind === "word") to++;
      const last = to === end;
      if (to === from || (!last && this.tokens[to]!.kind !== "number") || (last && parts === 0)) return undefined;
      // The number after hours is in minutes.
      const minutes: Unit = { dimension: "time^1", factor: 60 };
      const here = unit?.factor === 3600 && to === from + 1 && this.tokens[from]!.text === "m" ? minutes : unitOf(this.tokens, from, to);
      if (here?.dimension === undefined || (unit !== undefined && here.dimension !== unit.dimension)) return undefined;
      const ratio = unit === undefined ? 1 : unit.factor / here.factor;
      const scaled: Expression = ratio === 1 ? amount : { kind: "divide", left: amount, right: numberOf(String(Math.round(ratio))) };
      if (unit !== undefined && Math.abs(ratio - Math.round(ratio)) > 1e-9) return undefined;
      unit ??= here;
      total = total === undefined ? scaled : { kind: "add", left: total, right: scaled };
      if (last) return new Quantity(total, unit);
      const parser = new ExpressionParser(this.tokens, { start: to, end, letterUnits: letterUnits === "never" ? "never" : "always" });
      const next = parser.parse();
      if (next === undefined) return undefined;
      amount = next;
      from = parser.at;
    }
    return undefined;
  }

  #words(start: number, end: number): Answer {
    return { kind: "words", text: this.#text(start, end) };
  }

  /**
   * Writes tokens in lower case, with spaces where two would merge. Punctuation, braces around one token and articles before words are
   * omitted.
   */
  #text(start: number, end: number): string {
    let text = "", glue = false;
    const onlyWords = this.tokens.slice(start, end).every(({ kind, text }) =>
      kind === "word" || (kind === "symbol" && /^[.,;:?"'`!-]$/.test(text))
    );
    for (let i = start; i < end; i++) {
      const token = this.tokens[i]!, { kind } = token;
      if (kind === "symbol" && /^[.;?"`]$/.test(token.text)) continue;
      if (
        onlyWords && /^(?:the|an?)$/i.test(token.text) && this.tokens[i + 1]?.kind === "word" && i + 1 < end &&
        this.tokens[i + 1]!.text.length > 1 && !AND.has(this.tokens[i + 1]!.text)
      ) continue;
      if (token.text === "{" && this.#partner[i] === i + 2) continue;
      if (token.text === "}" && this.#partner[i]! >= 0 && this.#partner[i] === i - 2) continue;
      const joins = kind === "number" || kind === "word" || kind === "command";
      if (joins && glue) text += " ";
      text += token.text.toLowerCase();
      glue = joins;
    }
    return text;
  }
}
