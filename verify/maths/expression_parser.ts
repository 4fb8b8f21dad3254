/**
 * Parses expressions by recursive descent, with limits on depth. Text that it does not know is not an expression.
 *
 * @module
 */
import { type Expression, isNumeric } from "./expression.ts";
import type { Token } from "./latex_tokens.ts";
import { BARE_UNITS, isUnitWord } from "./units.ts";

/** The deepest nesting of an expression. */
const MAX_DEPTH = 60;
const MAX_DIGITS = 1_000;
const MAX_EXPONENT = 400;

/** When a single letter such as m is a unit: never, after white space, or always. */
export type LetterUnits = "never" | "spaced" | "always";

class NoExpression extends Error {}
const NO_EXPRESSION = new NoExpression("no expression");
/** Ends parsing: there is no expression here. */
function fail(): never {
  throw NO_EXPRESSION;
}

const FUNCTIONS = new Set([
  ..."sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh asin acos atan ln log lg exp abs sqrt".split(" "),
]);
const GREEK = new Set(
  ("alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega Gamma Delta Theta Lambda " +
    "Xi Sigma Upsilon Phi Psi Omega ell").split(" "),
);
/** Decorations that belong to a name: \overline{AB} is a name, as AB is. */
const DECORATIONS = new Set(["overline", "vec", "hat", "bar", "widehat", "overrightarrow", "tilde", "dot"]);

const CLOSING: Readonly<Record<string, string>> = {
  "{": "}",
  "(": ")",
  "[": "]",
  "\\lfloor": "\\rfloor",
  "\\lceil": "\\rceil",
};

/** Reads the text of a number token: a whole number or one with decimals. */
export function numberOf(text: string): Expression {
  const e = text.search(/[eE]/), mantissa = e < 0 ? text : text.slice(0, e), exponent = e < 0 ? 0 : Number(text.slice(e + 1));
  if (mantissa.length > MAX_DIGITS || !(Math.abs(exponent) <= MAX_EXPONENT)) fail();
  const point = mantissa.indexOf("."), decimals = point < 0 ? 0 : mantissa.length - point - 1;
  const all = mantissa.replace(".", "");
  const shift = exponent - decimals, digits = Math.max(1, all.replace(/^0+/, "").length);
  return {
    kind: "number",
    numerator: BigInt(all) * (shift > 0 ? 10n ** BigInt(shift) : 1n),
    denominator: shift < 0 ? 10n ** BigInt(-shift) : 1n,
    places: point < 0 && e < 0 ? -1 : -shift,
    digits,
  };
}

const small = (value: number): Expression => ({
  kind: "number",
  numerator: BigInt(value),
  denominator: 1n,
  places: -1,
  digits: 1,
});
const isWhole = (e: Expression): boolean => e.kind === "number" && e.places < 0 && e.denominator === 1n && e.base === undefined;

/** Reads expressions from tokens. */
export class ExpressionParser {
  /** The index of the next token. */
  at: number;
  #depth = 0;
  #bars = 0;

  /**
   * Makes a parser for tokens[start, end).
   *
   * @param options `letterUnits`: when a single letter is a unit and ends the expression.
   */
  constructor(
    readonly tokens: readonly Token[],
    readonly options: { start: number; end: number; letterUnits: LetterUnits },
  ) {
    this.at = options.start;
  }

  /** Reads the longest expression from `at` on. @returns undefined if there is none; the value of `at` is then undefined. */
  parse(): Expression | undefined {
    try {
      return this.#sum();
    } catch (error) {
      if (error instanceof NoExpression) return undefined;
      throw error;
    }
  }

  #peek(offset = 0): Token | undefined {
    return this.at + offset < this.options.end ? this.tokens[this.at + offset] : undefined;
  }

  #is(kind: Token["kind"], text: string, offset = 0): boolean {
    const token = this.#peek(offset);
    return token?.kind === kind && token.text === text;
  }

  #take(kind: Token["kind"], text: string): boolean {
    if (!this.#is(kind, text)) return false;
    this.at++;
    return true;
  }

  #sum(): Expression {
    if (++this.#depth > MAX_DEPTH) fail();
    let left: Expression | undefined;
    for (;;) {
      const token = this.#peek();
      const sign = token?.kind === "symbol" && (token.text === "+" || token.text === "-")
        ? token.text
        : token?.kind === "command" && (token.text === "pm" || token.text === "mp")
        ? token.text
        : undefined;
      if (sign === undefined) {
        if (left !== undefined) break;
        left = this.#product();
        continue;
      }
      this.at++;
      const right = this.#product();
      if (sign === "+") left = left === undefined ? right : { kind: "add", left, right };
      else if (sign === "-") {
        left = left === undefined ? { kind: "negate", of: right } : { kind: "add", left, right: { kind: "negate", of: right } };
      } else left = { kind: "either", left: left ?? small(0), right, sign: sign === "pm" ? 1 : -1 };
    }
    this.#depth--;
    return left;
  }

  #product(): Expression {
    let left = this.#signed();
    for (;;) {
      const token = this.#peek();
      if (token?.kind === "symbol" && (token.text === "*" || token.text === "/")) {
        this.at++;
        const right = this.#signed();
        left = { kind: token.text === "*" ? "multiply" : "divide", left, right };
      } else if (token !== undefined && this.#startsFactor(token, left)) left = { kind: "multiply", left, right: this.#power() };
      else return left;
    }
  }

  #signed(): Expression {
    if (this.#take("symbol", "-")) {
      if (++this.#depth > MAX_DEPTH) fail();
      const of = this.#signed();
      this.#depth--;
      return { kind: "negate", of };
    }
    this.#take("symbol", "+");
    return this.#power();
  }

  /** Tells whether a token continues a product without a sign. */
  #startsFactor(token: Token, left: Expression): boolean {
    switch (token.kind) {
      case "open":
        return Object.hasOwn(CLOSING, token.text);
      case "command":
        return token.text === "frac" || token.text === "sqrt" || token.text === "binom" || token.text === "pi" ||
          FUNCTIONS.has(token.text) ||
          GREEK.has(token.text) || DECORATIONS.has(token.text);
      case "word":
        return !this.#stopsAt(token, left);
      case "symbol":
        return token.text === "|" && this.#bars === 0;
      default:
        return false;
    }
  }

  /** Tells whether a word begins a unit or prose instead of a factor. */
  #stopsAt(token: Token, left: Expression): boolean {
    if (FUNCTIONS.has(token.text) || token.text === "pi") return false;
    if (left.kind === "scaled" && left.by === "degree" && (token.text === "C" || token.text === "F")) return true;
    if (token.upright) return token.text.length > 1 || isUnitWord(token.text) || this.options.letterUnits === "always";
    if (token.text > "\x7f") return true; // a unit in another script
    if (token.text.length === 1) {
      if (this.options.letterUnits === "never" || !BARE_UNITS.has(token.text) || !isNumeric(left)) return false;
      return this.options.letterUnits === "always" || token.spaced;
    }
    return isUnitWord(token.text) || (token.text.length > 3 && token.text !== token.text.toUpperCase());
  }

  #power(): Expression {
    if (++this.#depth > MAX_DEPTH) fail();
    let base = this.#postfix(this.#primary());
    if (this.#take("symbol", "^")) {
      if (this.#degree(isNumeric(base))) base = this.#postfix({ kind: "scaled", of: base, by: "degree" });
      else base = this.#postfix({ kind: "power", left: base, right: this.#exponent() });
    }
    this.#depth--;
    return base;
  }

  /** Reads \circ or {\circ} after "^". After a number the letter o is also accepted, which some write instead. */
  #degree(number = false): boolean {
    if (this.#take("command", "circ") || (number && this.#take("word", "o"))) return true;
    const sign = this.#is("command", "circ", 1) || (number && this.#is("word", "o", 1));
    if (sign && this.#is("open", "{") && this.#is("close", "}", 2)) {
      this.at += 3;
      return true;
    }
    return false;
  }

  #exponent(): Expression {
    if (this.#take("symbol", "-")) return { kind: "negate", of: this.#exponent() };
    if (++this.#depth > MAX_DEPTH) fail();
    const base = this.#primary();
    const exponent: Expression = this.#take("symbol", "^") ? { kind: "power", left: base, right: this.#exponent() } : base;
    this.#depth--;
    return exponent;
  }

  #postfix(of: Expression): Expression {
    for (let marks = 0;; marks++) {
      if (marks > 2) fail();
      if (this.#take("symbol", "!")) of = { kind: "function", name: "factorial", of };
      else if (this.#take("symbol", "%")) of = { kind: "scaled", of, by: "percent" };
      else if (this.#take("command", "circ")) of = { kind: "scaled", of, by: "degree" };
      else return of;
    }
  }

  #primary(): Expression {
    const token = this.#peek() ?? fail();
    this.at++;
    if (token.kind === "number") return this.#number(token);
    if (token.kind === "open") return this.#bracket(token);
    if (token.kind === "word") return this.#word(token);
    if (token.kind === "symbol" && token.text === "|") {
      this.#bars++;
      const of = this.#sum();
      this.#bars--;
      if (!this.#take("symbol", "|")) fail();
      return { kind: "function", name: "abs", of };
    }
    if (token.kind !== "command") fail();
    switch (token.text) {
      case "frac": {
        const left = this.#argument(), right = this.#argument();
        return { kind: "divide", left, right };
      }
      case "binom": {
        const left = this.#argument(), right = this.#argument();
        // n! / (k! (n - k)!)
        const factorial = (of: Expression): Expression => ({ kind: "function", name: "factorial", of });
        const rest: Expression = { kind: "add", left, right: { kind: "negate", of: right } };
        return { kind: "divide", left: factorial(left), right: { kind: "multiply", left: factorial(right), right: factorial(rest) } };
      }
      case "sqrt":
        return this.#root();
      case "pi":
        return { kind: "constant", name: "pi" };
      case "infty":
        return { kind: "constant", name: "infinity" };
    }
    if (FUNCTIONS.has(token.text)) return this.#function(token.text);
    if (GREEK.has(token.text)) return { kind: "variable", name: `\\${token.text}${this.#subscript()}` };
    if (DECORATIONS.has(token.text) && this.#is("open", "{")) return { kind: "variable", name: this.#group() + this.#subscript() };
    fail();
  }

  #number(token: Token): Expression {
    const value = numberOf(token.text);
    if (value.kind !== "number") fail();
    if (this.#is("symbol", "_")) {
      const base = Number(/^_\(?(\d{1,2})\)?$/.exec(this.#subscript())?.[1]);
      if (!(base >= 2 && base <= 10) || value.places >= 0) fail();
      let read = 0n;
      for (const digit of token.text) {
        if (!(Number(digit) < base)) fail();
        read = read * BigInt(base) + BigInt(digit);
      }
      return { ...value, numerator: read, base };
    }
    // 0.\overline{3}
    if (value.places >= 0 && this.#is("command", "overline") && this.#is("open", "{", 1) && this.#peek(2)?.kind === "number") {
      const repeated = this.#peek(2)!.text;
      if (/^\d{1,50}$/.test(repeated) && this.#is("close", "}", 3)) {
        this.at += 4;
        const nines = 10n ** BigInt(repeated.length) - 1n;
        return {
          ...small(0),
          kind: "number",
          numerator: value.numerator * nines + BigInt(repeated),
          denominator: value.denominator * nines,
          places: -1,
          digits: 1,
        };
      }
    }
    if (!isWhole(value)) return value;
    // A mixed number: 3\frac12, or "3 1/2" with a space.
    const mark = this.at;
    if (this.#take("command", "frac")) {
      const numerator = this.#argument(), denominator = this.#argument();
      const mixed = mixedNumber(value, numerator, denominator);
      if (mixed !== undefined) return mixed;
      this.at = mark;
      return value;
    }
    const [numerator, denominator] = [this.#peek(), this.#peek(2)];
    if (numerator?.kind === "number" && numerator.spaced && this.#is("symbol", "/", 1) && denominator?.kind === "number") {
      const mixed = mixedNumber(value, numberOf(numerator.text), numberOf(denominator.text));
      if (mixed === undefined) fail();
      this.at += 3;
      return mixed;
    }
    return value;
  }

  #bracket(token: Token): Expression {
    const close = Object.hasOwn(CLOSING, token.text) ? CLOSING[token.text]! : fail(), bars = this.#bars;
    this.#bars = 0;
    const of = this.#sum();
    this.#bars = bars;
    if (!this.#take("close", close)) fail();
    if (token.text === "\\lfloor") return { kind: "function", name: "floor", of };
    if (token.text === "\\lceil") return { kind: "function", name: "ceil", of };
    return of;
  }

  #word(token: Token): Expression {
    const { text } = token;
    if (FUNCTIONS.has(text)) return text === "sqrt" ? this.#root() : this.#function(text);
    if (text === "pi") return { kind: "constant", name: "pi" };
    if (text === "inf" || text === "infinity" || text === "oo") return { kind: "constant", name: "infinity" };
    if (text.length === 1) {
      if (text === "e" && !this.#is("symbol", "_")) return { kind: "constant", name: "e" };
      if (text === "i" && !this.#is("symbol", "_")) return { kind: "constant", name: "i" };
      return { kind: "variable", name: text + this.#subscript() };
    }
    if (token.upright) fail();
    if (text === text.toUpperCase() && text !== text.toLowerCase()) return { kind: "variable", name: text + this.#subscript() };
    // Adjacent letters are a product.
    if (text.length > 3 || !/^[a-zA-Z]+$/.test(text)) fail();
    let product: Expression | undefined;
    for (let i = 0; i < text.length; i++) {
      const last = i === text.length - 1, letter = text[i]!;
      let factor: Expression = letter === "e" || letter === "i"
        ? { kind: "constant", name: letter }
        : { kind: "variable", name: letter + (last ? this.#subscript() : "") };
      if (last && this.#is("symbol", "^")) {
        this.at++;
        factor = this.#degree() ? { kind: "scaled", of: factor, by: "degree" } : { kind: "power", left: factor, right: this.#exponent() };
      }
      product = product === undefined ? factor : { kind: "multiply", left: product, right: factor };
    }
    return product!;
  }

  #subscript(): string {
    if (!this.#take("symbol", "_")) return "";
    if (this.#is("open", "{")) return `_${this.#group()}`;
    const token = this.#peek();
    if (token?.kind !== "number" && token?.kind !== "word" && token?.kind !== "command") fail();
    this.at++;
    return `_${token.text}`;
  }

  /** Reads the text of a group that is part of a name. */
  #group(): string {
    let depth = 0, text = "";
    for (;;) {
      const token = this.#peek() ?? fail();
      this.at++;
      if (token.kind === "open") depth++;
      else if (token.kind === "close") {
        if (--depth === 0) return text;
      } else text += token.text;
      if (text.length > 100) fail();
    }
  }

  #argument(): Expression {
    const token = this.#peek() ?? fail();
    if (token.kind === "open" && token.text !== "{") fail();
    if (++this.#depth > MAX_DEPTH) fail();
    const argument = this.#primary();
    this.#depth--;
    return argument;
  }

  #root(): Expression {
    let index = small(2);
    if (this.#is("open", "[")) {
      this.at++;
      index = this.#sum();
      if (!this.#take("close", "]")) fail();
    }
    if (++this.#depth > MAX_DEPTH) fail();
    const of = this.#primary();
    this.#depth--;
    return { kind: "root", of, index };
  }

  #function(name: string): Expression {
    if (++this.#depth > MAX_DEPTH) fail();
    let base: Expression | undefined, power: Expression | undefined, inverse = false;
    if (name === "log" && this.#take("symbol", "_")) base = this.#primary();
    if (this.#is("symbol", "^")) {
      this.at++;
      if (this.#degree()) fail();
      power = this.#exponent();
      inverse = power.kind === "negate" && isWhole(power.of) && power.of.kind === "number" && power.of.numerator === 1n;
    }
    if (name === "log" && base === undefined && this.#take("symbol", "_")) base = this.#primary();
    const of = this.#operand();
    if (base !== undefined) {
      const ln = (argument: Expression): Expression => ({ kind: "function", name: "ln", of: argument });
      const value: Expression = { kind: "divide", left: ln(of), right: ln(base) };
      this.#depth--;
      return power === undefined ? value : { kind: "power", left: value, right: power };
    }
    const plain = name === "lg" ? "log" : name === "asin" ? "arcsin" : name === "acos" ? "arccos" : name === "atan" ? "arctan" : name;
    this.#depth--;
    if (inverse && (plain === "sin" || plain === "cos" || plain === "tan")) return { kind: "function", name: `arc${plain}`, of };
    const value: Expression = { kind: "function", name: plain, of };
    return power === undefined ? value : { kind: "power", left: value, right: power };
  }

  /** Reads the argument of a function: brackets, or factors up to the next sign or function. */
  #operand(): Expression {
    if (this.#take("symbol", "-")) return { kind: "negate", of: this.#operand() };
    const bracketed = this.#is("open", "(") || this.#is("open", "[");
    let operand = this.#power();
    if (bracketed) return operand;
    for (;;) {
      const token = this.#peek();
      if (token === undefined || !this.#startsFactor(token, operand)) return operand;
      if ((token.kind === "command" || token.kind === "word") && FUNCTIONS.has(token.text) && token.text !== "sqrt") return operand;
      if (token.kind === "open" && token.text === "(") return operand;
      operand = { kind: "multiply", left: operand, right: this.#power() };
    }
  }
}

/** Returns whole + numerator / denominator if all are whole numbers and make a proper fraction. */
function mixedNumber(whole: Expression, numerator: Expression, denominator: Expression): Expression | undefined {
  if (whole.kind !== "number" || numerator.kind !== "number" || denominator.kind !== "number") return undefined;
  if (!isWhole(numerator) || !isWhole(denominator) || numerator.numerator === 0n || numerator.numerator >= denominator.numerator) {
    return undefined;
  }
  return {
    kind: "number",
    numerator: whole.numerator * denominator.numerator + numerator.numerator,
    denominator: denominator.numerator,
    places: -1,
    digits: whole.digits,
  };
}
