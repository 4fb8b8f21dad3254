/**
 * Decides whether two answers are equal.
 *
 * @module
 */
import { type Answer, parseAnswer } from "./answer.ts";
import { sameClock } from "./clock.ts";
import { type Expression, isNumeric, nodes, variablesOf } from "./expression.ts";
import type { LetterUnits } from "./expression_parser.ts";
import { MAX_ANSWER } from "./latex_tokens.ts";
import { proportional, Quantity, sameExpression, sameQuantity, type Tolerance } from "./quantity.ts";

/** Options for {@linkcode mathEqual}. */
export interface MathOptions {
  /** The largest relative difference if a number is written with decimals. Default: 1e-6. Exact forms must be equal. */
  relative?: number;
  /**
   * Whether a decimal of at least three significant digits and two decimal places equals an exact value that rounds to it. Default: true.
   */
  rounded?: boolean;
  /** Whether an answer may omit the truth's unit, degree sign or percent sign. Default: "optional". */
  units?: "optional" | "required";
}

/** A bounded or unbounded interval of a variable. The variable is "" if it is not named. */
interface Interval {
  readonly variable: string;
  /** undefined if the interval is unbounded */
  readonly low: Answer | undefined;
  readonly high: Answer | undefined;
  readonly lowClosed: boolean;
  readonly highClosed: boolean;
}

/** The longest list that is compared in any order. */
const MAX_UNORDERED = 40;
/** The relative difference within which all parts of a chain with "≈" must lie, so that each of them stands for its value. */
const APPROXIMATE = 0.02;
const MIRRORED: Readonly<Record<string, string>> = { "<": ">", ">": "<", "<=": ">=", ">=": "<=" };

const isInequality = (operator: string): boolean => Object.hasOwn(MIRRORED, operator);
const isEquation = (answer: Answer & { kind: "relation" }): boolean =>
  answer.operators.every((operator) => operator === "=" || operator === "≈");

/** Compares parsed answers. */
class Comparison {
  constructor(readonly tolerance: Tolerance) {}

  same(truth: Answer, response: Answer): boolean {
    if (truth.text !== "" && truth.text === response.text) return true;
    if (truth.kind === "relation" || response.kind === "relation") return this.#relations(truth, response);
    if (truth.kind === "clock" || response.kind === "clock") return this.#clocks(truth, response);
    if (truth.kind === "quantity" && response.kind === "quantity") {
      const [a, b] = [truth.quantity.branches, response.quantity.branches];
      if (a.length === 1 && b.length === 1) return sameQuantity(a[0]!, b[0]!, this.tolerance);
    }
    if (truth.kind === "ratio" || response.kind === "ratio") return this.#ratios(truth, response);
    if (truth.kind === "matrix" || response.kind === "matrix") return this.#matrices(truth, response);
    if (isReals(truth) || isReals(response)) return this.#asIntervals(truth, response);
    return this.#collections(truth, response);
  }

  #clocks(truth: Answer, response: Answer): boolean {
    const [a, b] = [truth, response].map((answer) => answer.kind === "clock" || answer.kind === "ratio" ? answer.clock : undefined);
    return a !== undefined && b !== undefined && sameClock(a, b);
  }

  /** Tells whether two lists have the same items in any order. */
  #unordered(truth: readonly Answer[], response: readonly Answer[]): boolean {
    if (truth.length !== response.length || truth.length > MAX_UNORDERED) return false;
    const left = [...response];
    return truth.every((item) => {
      const at = left.findIndex((other) => this.same(item, other));
      if (at >= 0) left.splice(at, 1);
      return at >= 0;
    });
  }

  #ordered(truth: readonly Answer[], response: readonly Answer[]): boolean {
    return truth.length === response.length && truth.every((item, i) => this.same(item, response[i]!));
  }

  #collections(truth: Answer, response: Answer): boolean {
    if (truth.kind === "union" || response.kind === "union") {
      const items = (answer: Answer) =>
        answer.kind === "union" || (answer.kind === "list" && answer.open === "") ? answer.items : undefined;
      const [a, b] = [items(truth), items(response)];
      return a !== undefined && b !== undefined && this.#unordered(a, b);
    }
    const [a, b] = [listOf(truth), listOf(response)];
    if (a === undefined || b === undefined) return false;
    if (a.items.length === 1 && b.items.length === 1 && a.items[0] === truth && b.items[0] === response) return false; // neither is a list
    const free = (open: string) => open === "" || open === "\\{";
    if (free(a.open) && free(b.open)) return this.#unordered(a.items, b.items);
    if (a.items.length !== b.items.length || a.items.length < 2) return false;
    const tuple = (list: typeof a) =>
      list.open === "" || (list.open === "(" && list.close === ")") || (list.open === "[" && list.close === "]");
    if ((a.open === "") !== (b.open === "")) return tuple(a) && tuple(b) && this.#ordered(a.items, b.items);
    return a.open === b.open && a.close === b.close && this.#ordered(a.items, b.items);
  }

  #ratios(truth: Answer, response: Answer): boolean {
    const parts = (answer: Answer): readonly Quantity[] | undefined => {
      if (answer.kind === "ratio") return answer.parts;
      return answer.kind === "quantity" ? [answer.quantity, ONE] : undefined;
    };
    const [a, b] = [parts(truth), parts(response)];
    if (a === undefined || b === undefined || a.length !== b.length) return false;
    // A time is not a ratio: 12:30 is not 24:60.
    if (truth.kind === "ratio" && response.kind === "ratio" && truth.clock !== undefined) {
      return a.every((part, i) => sameExpression(part, b[i]!, this.tolerance)) ||
        (response.clock !== undefined && this.#clocks(truth, response));
    }
    // a_i / a_last = b_i / b_last
    const share = (all: readonly Quantity[], i: number) =>
      new Quantity({ kind: "divide", left: all[i]!.expression, right: all.at(-1)!.expression });
    for (let i = 0; i + 1 < a.length; i++) if (!sameExpression(share(a, i), share(b, i), this.tolerance)) return false;
    return true;
  }

  #matrices(truth: Answer, response: Answer): boolean {
    const rows = (answer: Answer): readonly (readonly Answer[])[] | undefined => {
      if (answer.kind === "matrix") return answer.rows;
      const nested = nestedRows(answer);
      if (nested !== undefined) return nested;
      // A tuple is a column vector.
      return answer.kind === "list" && (answer.open === "(" && answer.close === ")" || answer.open === "[" && answer.close === "]")
        ? answer.items.map((item) => [item])
        : undefined;
    };
    const [a, b] = [rows(truth), rows(response)];
    if (a === undefined || b === undefined) return false;
    if (a.length === b.length) return a.every((row, i) => this.#ordered(row, b[i]!));
    return truth.kind !== response.kind && a.flat().length === b.flat().length && (a.length === 1 || b.length === 1) &&
      this.#ordered(a.flat(), b.flat());
  }

  #relations(truth: Answer, response: Answer): boolean {
    if (truth.kind === "relation" && response.kind === "relation") {
      if (isEquation(truth) && isEquation(response)) return this.#equations(truth, response);
      const operators = [...truth.operators, ...response.operators];
      if (operators.includes("!=")) {
        return operators.length === 2 && operators.every((operator) => operator === "!=") && this.#ordered(truth.parts, response.parts);
      }
      if (operators.every(isInequality)) return this.#inequalities(truth, response);
    }
    const [a, b] = [this.#stripped(truth), this.#stripped(response)];
    if (a === undefined || b === undefined) return this.#asIntervals(truth, response);
    if (a === truth && b === response) return this.#asIntervals(truth, response);
    return this.same(a, b);
  }

  /**
   * Returns the value in an equation or membership, which is its last part. Other answers are returned unchanged. Returns undefined if the
   * left side names nothing.
   */
  #stripped(answer: Answer): Answer | undefined {
    if (answer.kind !== "relation") return answer;
    if (answer.operators.every((operator) => operator === "in")) return answer.parts.at(-1);
    if (isEquation(answer) && !this.#holds(answer)) return undefined;
    if (!isEquation(answer) || !answer.label) return answer.operators.some(isInequality) ? answer : undefined;
    return answer.parts.at(-1);
  }

  /** Tells whether the numbers of an equation agree: 41 = 42 states nothing. Rounded numbers must agree within 1 %. */
  #holds({ parts, operators }: Answer & { kind: "relation" }): boolean {
    if (operators.includes("≈")) return true;
    const numbers = parts.filter((part) => part.kind === "quantity" && isArithmetic(part.quantity.expression));
    const tolerance: Tolerance = { relative: 0.01, rounded: true, units: "optional" };
    return numbers.every((part, i) => {
      const before = numbers[i - 1];
      if (before?.kind !== "quantity" || part.kind !== "quantity") return true;
      if ((before.quantity.unit === undefined) !== (part.quantity.unit === undefined)) return true;
      return sameQuantity(before.quantity, part.quantity, tolerance) || sameQuantity(part.quantity, before.quantity, tolerance);
    });
  }

  /**
   * Returns the parts of a chain such as x = \sqrt{2} ≈ 1.41 that may stand for its value: the last, and those before "≈" if all are near
   * each other.
   */
  #forms(equation: Answer & { kind: "relation" }): Answer[] {
    const { parts, operators } = equation, last = parts.at(-1)!;
    const exact = parts.filter((_, i) => operators[i] === "≈" && (i > 0 || parts.length === 2));
    const value = (answer: Answer): number => answer.kind === "quantity" && answer.quantity.numeric ? answer.quantity.values[0]!.re : NaN;
    const agree = exact.every((part) => Math.abs(value(part) - value(last)) <= APPROXIMATE * Math.abs(value(last)));
    return agree ? [last, ...exact] : [last];
  }

  #equations(truth: Answer & { kind: "relation" }, response: Answer & { kind: "relation" }): boolean {
    if (truth.parts.length === 2 && response.parts.length === 2) {
      const [a, b] = [truth, response].map(({ parts: [left, right] }) => difference(left!, right!));
      if (a !== undefined && b !== undefined && !a.numeric && !b.numeric && proportional(a, b, { positive: false })) return true;
      if (this.same(truth.parts[0]!, response.parts[0]!)) return this.same(truth.parts[1]!, response.parts[1]!);
      // x = 5 differs from y = 5, but "the area = 5" may equal A = 5.
      if (truth.parts[0]!.kind === "quantity" && response.parts[0]!.kind === "quantity") return false;
    }
    if (!truth.label || !response.label || !this.#holds(response)) return false;
    return this.same(truth.parts.at(-1)!, response.parts.at(-1)!);
  }

  #inequalities(truth: Answer & { kind: "relation" }, response: Answer & { kind: "relation" }): boolean {
    if (this.#asIntervals(truth, response)) return true;
    if (truth.parts.length !== 2 || response.parts.length !== 2) return false;
    const strict = (operator: string) => operator === "<" || operator === ">";
    if (strict(truth.operators[0]!) !== strict(response.operators[0]!)) return false;
    // The greater side minus the smaller one.
    const gap = ({ parts, operators }: Answer & { kind: "relation" }) =>
      operators[0]!.startsWith("<") ? difference(parts[1]!, parts[0]!) : difference(parts[0]!, parts[1]!);
    const [a, b] = [gap(truth), gap(response)];
    return a !== undefined && b !== undefined && !a.numeric && !b.numeric && proportional(a, b, { positive: true });
  }

  #asIntervals(truth: Answer, response: Answer): boolean {
    const [a, b] = [intervalOf(truth), intervalOf(response)];
    if (a === undefined || b === undefined) return false;
    if (a.variable !== "" && b.variable !== "" && a.variable !== b.variable) return false;
    if (a.lowClosed !== b.lowClosed || a.highClosed !== b.highClosed) return false;
    const bound = (x: Answer | undefined, y: Answer | undefined) => x === undefined || y === undefined ? x === y : this.same(x, y);
    return bound(a.low, b.low) && bound(a.high, b.high);
  }

  /** Compares like `same`, and also by any part of a chain with "≈". */
  matches(truth: Answer, response: Answer): boolean {
    if (this.same(truth, response)) return true;
    const forms = (answer: Answer) =>
      answer.kind === "relation" && isEquation(answer) && answer.operators.includes("≈") ? this.#forms(answer) : [answer];
    const [a, b] = [forms(truth), forms(response)];
    return (a.length > 1 || b.length > 1 || a[0] !== truth || b[0] !== response) && a.some((x) => b.some((y) => this.same(x, y)));
  }
}

/** Returns the rows of `[[1, 2], [3, 4]]`, in brackets of any kind. */
function nestedRows(answer: Answer): (readonly Answer[])[] | undefined {
  if (answer.kind !== "list" || answer.open === "" || answer.items.length === 0) return undefined;
  const rows = answer.items.map((item) => item.kind === "list" && item.open === answer.open ? item.items : []);
  return rows.every((row) => row.length > 0 && row.length === rows[0]!.length) ? rows : undefined;
}

/** Tells whether an answer is the real numbers, as a symbol or in words. */
function isReals(answer: Answer): boolean {
  return answer.kind === "words" && REALS.test(answer.text);
}
const REALS = /^(?:reals|(?:x in )?(?:the )?(?:set of )?(?:all )?(?:real numbers|reals|real)|(?:全体|一切|所有)?实数集?)$/;

const ONE = new Quantity({ kind: "number", numerator: 1n, denominator: 1n, places: -1, digits: 1 });

function difference(left: Answer, right: Answer): Quantity | undefined {
  if (left.kind !== "quantity" || right.kind !== "quantity") return undefined;
  return new Quantity({ kind: "add", left: left.quantity.expression, right: { kind: "negate", of: right.quantity.expression } });
}

/** Returns an answer as a list: the list itself, both values of a plus-minus, or the single item. */
function listOf(answer: Answer): { items: readonly Answer[]; open: string; close: string } | undefined {
  switch (answer.kind) {
    case "list": {
      if (answer.open !== "" && answer.open !== "\\{") return answer;
      return { ...answer, items: answer.items.flatMap((item) => expand(item)) };
    }
    case "quantity":
      return { items: expand(answer), open: "", close: "" };
    case "words":
      return /^(?:emptyset|\\\{\\\})$/.test(answer.text)
        ? { items: [], open: "\\{", close: "\\}" }
        : { items: [answer], open: "", close: "" };
    default:
      return { items: [answer], open: "", close: "" };
  }
}

function expand(answer: Answer): Answer[] {
  if (answer.kind === "relation" && answer.label && isEquation(answer)) {
    const last = answer.parts.at(-1)!, values = expand(last);
    return values.length > 1 ? values : [answer];
  }
  if (answer.kind !== "quantity") return [answer];
  const { branches } = answer.quantity;
  return branches.length === 1 ? [answer] : branches.map((quantity) => ({ kind: "quantity", text: "", quantity }));
}

function intervalOf(answer: Answer): Interval | undefined {
  const unbounded = (end: Answer | undefined) => end?.kind === "quantity" && end.quantity.infinite !== 0 ? undefined : end;
  if (answer.kind === "list" && answer.items.length === 2 && (answer.open === "(" || answer.open === "[")) {
    const [low, high] = answer.items;
    return {
      variable: "",
      low: unbounded(low),
      high: unbounded(high),
      lowClosed: answer.open === "[",
      highClosed: answer.close === "]",
    };
  }
  if (isReals(answer)) return { variable: "", low: undefined, high: undefined, lowClosed: false, highClosed: false };
  if (answer.kind !== "relation" || !answer.operators.every(isInequality)) return undefined;
  const variable = (part: Answer | undefined) =>
    part?.kind === "quantity" && part.quantity.expression.kind === "variable" ? part.quantity.expression.name : undefined;
  let [parts, operators] = [answer.parts, answer.operators];
  if (operators[0]!.startsWith(">")) {
    [parts, operators] = [
      [...parts].reverse(),
      [...operators].reverse().map((operator) => MIRRORED[operator]!),
    ];
  }
  if (operators.some((operator) => !operator.startsWith("<"))) return undefined;
  const closed = (operator: string | undefined) => operator === "<=";
  if (parts.length === 3) {
    const name = variable(parts[1]);
    if (name === undefined) return undefined;
    const [low, high] = [unbounded(parts[0]), unbounded(parts[2])];
    return { variable: name, low, high, lowClosed: closed(operators[0]), highClosed: closed(operators[1]) };
  }
  if (parts.length !== 2) return undefined;
  const [left, right] = [variable(parts[0]), variable(parts[1])];
  if (left !== undefined && isConstant(parts[1]!)) {
    return { variable: left, low: undefined, high: parts[1], lowClosed: false, highClosed: closed(operators[0]) };
  }
  if (right !== undefined && isConstant(parts[0]!)) {
    return { variable: right, low: parts[0], high: undefined, lowClosed: closed(operators[0]), highClosed: false };
  }
  return undefined;
}

/**
 * Tells whether an expression is a number without a choice of signs and without trigonometric functions, whose arguments some write in
 * degrees.
 */
function isArithmetic(expression: Expression): boolean {
  if (!isNumeric(expression)) return false;
  for (const node of nodes(expression)) {
    if (node.kind === "either" || (node.kind === "function" && !/^(?:abs|factorial|floor|ceil)$/.test(node.name))) return false;
  }
  return true;
}

const isConstant = (answer: Answer): boolean =>
  answer.kind === "quantity" && variablesOf(answer.quantity.expression as Expression).size === 0;

/** Returns the readings of an answer: with separators of thousands, and without them if it may have any. */
function readings(answer: string, letterUnits: LetterUnits): Answer[] {
  const commas = /\d,\d{3}/.test(answer) ? [true, false] : [true];
  return commas.map((thousands) => parseAnswer(answer, { thousands, letterUnits })).filter((one) => one !== undefined);
}

/**
 * An answer that is compared with several truths. It is parsed once, when it is first needed.
 *
 * @example
 * ```ts
 * import { MathAnswer, MathTruth } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const answer = new MathAnswer(" 0.5 ");
 * assertEquals(answer.text, "0.5");
 * assertEquals(["\\frac12", "2"].map((truth) => new MathTruth(truth).matches(answer)), [true, false]);
 * ```
 */
export class MathAnswer {
  /** The answer without white space around it; "" if it is too long. */
  readonly text: string;
  #readings: readonly Answer[] | undefined;
  #withUnits: readonly Answer[] | undefined;

  /** Makes an answer from LaTeX, Unicode or plain text. */
  constructor(text: string) {
    this.text = text.length > MAX_ANSWER ? "" : text.trim();
  }

  /**
   * The readings in which single letters are variables.
   *
   * @internal
   */
  get readings(): readonly Answer[] {
    return this.#readings ??= readings(this.text, "spaced");
  }

  /**
   * The readings in which a single letter after a number is a unit: "5m".
   *
   * @internal
   */
  get withUnits(): readonly Answer[] {
    return this.#withUnits ??= /\d\s*[mgshlLNJWVA](?![a-zA-Z])/.test(this.text) ? readings(this.text, "always") : [];
  }
}

/**
 * A truth that responses are compared with. It is parsed once.
 *
 * @example
 * ```ts
 * import { MathTruth } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const truth = new MathTruth("\\frac{\\sqrt{2}}{2}");
 * assertEquals(["1/\\sqrt2", "0.7071", "0.71"].map((answer) => truth.matches(answer)), [true, true, false]);
 * ```
 */
export class MathTruth {
  readonly #truth: MathAnswer;
  readonly #comparison: Comparison;

  /** Makes a truth from LaTeX, Unicode or plain text. Nothing equals a truth that is empty or longer than 10,000 characters. */
  constructor(truth: string, options: MathOptions = {}) {
    const { relative = 1e-6, rounded = true, units = "optional" } = options;
    this.#comparison = new Comparison({ relative, rounded, units });
    this.#truth = new MathAnswer(truth);
  }

  /** Whether an answer can match at all. */
  get gradable(): boolean {
    return this.#truth.text !== "";
  }

  /** Tells whether an extracted answer equals the truth. */
  matches(answer: string | MathAnswer): boolean {
    const given = typeof answer === "string" ? new MathAnswer(answer) : answer;
    if (given.text === "" || !this.gradable) return false;
    if (given.text === this.#truth.text) return true;
    const same = (response: Answer) => this.#truth.readings.some((truth) => this.#comparison.matches(truth, response));
    return given.readings.some(same) || given.withUnits.some(same);
  }
}

/**
 * Tells whether an answer equals the truth.
 *
 * The comparison is exact if arithmetic on rationals decides. Otherwise both are evaluated in float64 at fixed points. Lists and sets are
 * compared in any order, tuples and intervals in order. The function never throws. An answer of more than 10,000 characters equals nothing.
 *
 * @param answers `truth` and `answer`, already extracted, in LaTeX, Unicode or plain text.
 * @example
 * ```ts
 * import { mathEqual } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(mathEqual({ truth: "\\frac{3}{4}", answer: "0.75" }), true);
 * assertEquals(mathEqual({ truth: "(0, \\frac12]", answer: "0 < x \\le 0.5" }), true);
 * assertEquals(mathEqual({ truth: "(1, 2)", answer: "(2, 1)" }), false);
 * ```
 */
export function mathEqual(answers: { truth: string; answer: string }, options: MathOptions = {}): boolean {
  return new MathTruth(answers.truth, options).matches(answers.answer);
}
