/**
 * Quantities: expressions with their computed values and units, and when two of them are equal.
 *
 * @module
 */
import { type Expression, isNumeric, nodes, ordered, variablesOf } from "./expression.ts";
import { type Approximate, exactValue, type Rational, sampleOf, toNumber, valueAt } from "./numeric.ts";
import type { Unit } from "./units.ts";

/** The tolerance within which two numbers count as equal. */
export interface Tolerance {
  /**
   * The largest relative difference if one of the two is written with decimals. Exact forms must agree exactly, or to 1e-9 by evaluation.
   */
  readonly relative: number;
  /** Whether a decimal of at least three significant digits and two decimal places equals a value that rounds to it. */
  readonly rounded: boolean;
  /** Whether an answer may omit the truth's unit, degree sign or percent sign. */
  readonly units: "optional" | "required";
}

const POSITIVE_POINTS = 4, POINTS = 7, ENOUGH_POINTS = 2;
const SYMBOLIC = 1e-9;

/** An expression with its unit. Values are computed once. */
export class Quantity {
  #exact: Rational | null | undefined;
  #values: readonly Approximate[] | undefined;
  #decimal: boolean | undefined;
  #numeric: boolean | undefined;
  #absolute: boolean | undefined;

  constructor(readonly expression: Expression, readonly unit?: Unit) {}

  /** The exact value, if it is rational by arithmetic. */
  get exact(): Rational | undefined {
    if (this.#exact === undefined) this.#exact = exactValue(this.expression) ?? null;
    return this.#exact ?? undefined;
  }

  /** Whether the expression has no variables. */
  get numeric(): boolean {
    return this.#numeric ??= isNumeric(this.expression);
  }

  /** Whether the expression contains a number with decimals. */
  get decimal(): boolean {
    if (this.#decimal === undefined) {
      this.#decimal = false;
      for (const node of nodes(this.expression)) if (node.kind === "number" && node.places >= 0) this.#decimal = true;
    }
    return this.#decimal;
  }

  /** Whether the expression contains an absolute value, so that the signs of variables matter. */
  get absolute(): boolean {
    if (this.#absolute === undefined) {
      this.#absolute = false;
      for (const node of nodes(this.expression)) if (node.kind === "function" && node.name === "abs") this.#absolute = true;
    }
    return this.#absolute;
  }

  /**
   * The values at fixed points: first points with all variables positive, then points with both signs. Without variables there is one
   * value.
   */
  get values(): readonly Approximate[] {
    if (this.#values === undefined) {
      const names = [...variablesOf(this.expression)];
      const at = (index: number) => {
        const variables = new Map(names.map((name) => [name, sampleOf(name, index, { negative: index >= POSITIVE_POINTS })]));
        return valueAt(this.expression, { variables, sign: 1 });
      };
      this.#values = Array.from({ length: names.length === 0 ? 1 : POINTS }, (_, index) => at(index));
    }
    return this.#values;
  }

  /** The two quantities of a plus-minus, or the quantity itself. */
  get branches(): readonly Quantity[] {
    for (const node of nodes(this.expression)) {
      if (node.kind === "either") return ([1, -1] as const).map((sign) => new Quantity(choose(this.expression, sign), this.unit));
    }
    return [this];
  }

  /** The quantity without its percent or degree sign, and which sign it was. */
  get unscaled(): { quantity: Quantity; by: "percent" | "degree" } | undefined {
    const { expression } = this;
    if (expression.kind === "scaled") return { quantity: new Quantity(expression.of, this.unit), by: expression.by };
    if (expression.kind === "negate" && expression.of.kind === "scaled") {
      return { quantity: new Quantity({ kind: "negate", of: expression.of.of }, this.unit), by: expression.of.by };
    }
    return undefined;
  }

  /** 1 or -1 if the expression is just an infinity, else 0. */
  get infinite(): 1 | -1 | 0 {
    const { expression } = this;
    if (expression.kind === "constant" && expression.name === "infinity") return 1;
    return expression.kind === "negate" && expression.of.kind === "constant" && expression.of.name === "infinity" ? -1 : 0;
  }
}

/** Replaces every plus-minus of an expression by one sign. */
function choose(expression: Expression, sign: 1 | -1): Expression {
  switch (expression.kind) {
    case "either": {
      const left = choose(expression.left, sign), right = choose(expression.right, sign);
      return { kind: "add", left, right: sign * expression.sign > 0 ? right : { kind: "negate", of: right } };
    }
    case "add":
    case "multiply":
    case "divide":
    case "power":
      return { ...expression, left: choose(expression.left, sign), right: choose(expression.right, sign) };
    case "negate":
    case "scaled":
    case "function":
      return { ...expression, of: choose(expression.of, sign) };
    case "root":
      return { ...expression, of: choose(expression.of, sign), index: choose(expression.index, sign) };
    default:
      return expression;
  }
}

/** For an expression that is a single decimal, with or without a minus: half the unit of its last digit, and the number of its digits. */
function loneDecimal(expression: Expression): { half: number; places: number; digits: number } | undefined {
  if (expression.kind === "negate") return loneDecimal(expression.of);
  if (expression.kind !== "number" || expression.places < 0) return undefined;
  return { half: 0.5 * 10 ** -expression.places, places: expression.places, digits: expression.digits };
}

/** Tells whether a decimal is another value, rounded. `digits` and `places` must reach the minimum. */
function isRounding(decimal: Quantity, exact: number): boolean {
  const written = loneDecimal(decimal.expression);
  if (written === undefined || written.digits < 3 || written.places < 2) return false;
  return Math.abs(toNumber(decimal.exact ?? { numerator: 0n, denominator: 0n }) - exact) <= written.half * (1 + 1e-9);
}

function sameApproximately(truth: Approximate, response: Approximate, relative: number): boolean {
  const scale = Math.max(Math.hypot(truth.re, truth.im), Math.hypot(response.re, response.im));
  const error = truth.error + response.error;
  // Digits lost to cancellation must not decide.
  if (!(error <= SYMBOLIC * Math.max(1, scale))) return false;
  const difference = Math.hypot(truth.re - response.re, truth.im - response.im);
  return difference <= relative * scale + Math.min(64 * error, SYMBOLIC * Math.max(1, scale));
}

/** Tells whether two expressions have the same value, ignoring units. */
export function sameExpression(truth: Quantity, response: Quantity, tolerance: Tolerance): boolean {
  if (truth.infinite !== 0 || response.infinite !== 0) return truth.infinite === response.infinite;
  const [a, b] = [truth.exact, response.exact];
  const decimal = truth.decimal || response.decimal;
  if (a !== undefined && b !== undefined) {
    if (a.numerator === b.numerator && a.denominator === b.denominator) return true;
    if (sameDigits(truth.expression, response.expression)) return true;
    if (!decimal) return false;
  }
  if (truth.numeric !== response.numeric) return false;
  const relative = decimal ? tolerance.relative : SYMBOLIC;
  if (truth.numeric) {
    const [x, y] = [truth.values[0]!, response.values[0]!];
    if (sameApproximately(x, y, relative)) return true;
    if (Number.isNaN(x.re) && Number.isNaN(y.re)) return ordered(truth.expression) === ordered(response.expression);
    if (!tolerance.rounded || x.im !== 0 || y.im !== 0) return false;
    // The response is rounded from an exact truth, or has more digits than a rounded truth.
    if (!truth.decimal && isRounding(response, x.re)) return true;
    return isRounding(truth, y.re) && finer(response, truth);
  }
  const count = truth.absolute || response.absolute ? POINTS : POSITIVE_POINTS;
  let valid = 0;
  for (let i = 0; i < count; i++) {
    const [x, y] = [truth.values[i]!, response.values[i]!];
    if (Number.isNaN(x.re) && Number.isNaN(y.re)) continue;
    if (!sameApproximately(x, y, relative)) return false;
    valid++;
  }
  return valid >= ENOUGH_POINTS || ordered(truth.expression) === ordered(response.expression);
}

/** Tells whether a response is exact, or a decimal of more places than the truth. */
function finer(response: Quantity, truth: Quantity): boolean {
  const [written, given] = [loneDecimal(response.expression), loneDecimal(truth.expression)];
  return written === undefined ? !response.decimal : given !== undefined && written.places > given.places;
}

/** Tells whether two numbers have the same digits and only one has its base written. */
function sameDigits(a: Expression, b: Expression): boolean {
  if (a.kind !== "number" || b.kind !== "number" || (a.base === undefined) === (b.base === undefined)) return false;
  return a.numerator.toString(a.base ?? 10) === b.numerator.toString(b.base ?? 10) && a.denominator === b.denominator;
}

/**
 * Tells whether two functions have the same zeros, as far as a constant ratio shows it. Each function is one side of an equation minus the
 * other.
 *
 * @param options `positive`: whether the ratio must be positive, as it must for inequalities.
 */
export function proportional(a: Quantity, b: Quantity, options: { positive: boolean }): boolean {
  let ratio: Approximate | undefined, valid = 0;
  for (let i = 0; i < Math.min(a.values.length, b.values.length); i++) {
    const [x, y] = [a.values[i]!, b.values[i]!];
    if (x.im !== 0 || y.im !== 0 || Number.isNaN(x.re) || Number.isNaN(y.re)) continue;
    if (!(Math.abs(x.re) > 1e-9 && Math.abs(y.re) > 1e-9)) return false;
    const here = { re: x.re / y.re, im: 0, error: Math.abs(x.re / y.re) * (x.error / Math.abs(x.re) + y.error / Math.abs(y.re)) };
    ratio ??= here;
    if (!sameApproximately(ratio, here, 1e-7) || (options.positive && here.re < 0)) return false;
    valid++;
  }
  return valid >= ENOUGH_POINTS;
}

/**
 * Tells whether two quantities are equal. A missing unit makes no difference. Known units are converted and must have the same dimension.
 */
export function sameQuantity(truth: Quantity, response: Quantity, tolerance: Tolerance): boolean {
  const [scaledTruth, scaledResponse] = [truth.unscaled, response.unscaled];
  if (scaledTruth !== undefined || scaledResponse !== undefined) {
    if (scaledTruth?.by === scaledResponse?.by) return sameQuantity(scaledTruth!.quantity, scaledResponse!.quantity, tolerance);
    // "45" equals 45 degrees and "25" equals 25 %. So do pi/4 and 1/4, by value.
    if (scaledTruth === undefined && sameQuantity(truth, scaledResponse!.quantity, tolerance)) return true;
    if (scaledResponse === undefined && tolerance.units === "optional" && sameQuantity(scaledTruth!.quantity, response, tolerance)) {
      return true;
    }
    return sameExpression(truth, response, tolerance);
  }
  const [a, b] = [truth.unit?.dimension, response.unit?.dimension];
  if (tolerance.units === "required" && truth.unit !== undefined && response.unit === undefined && a !== "") return false;
  if (a === undefined || b === undefined || a === "" || b === "") return sameExpression(truth, response, tolerance);
  if (a !== b) return false;
  const ratio = response.unit!.factor / truth.unit!.factor;
  if (Math.abs(ratio - 1) < 1e-12) return sameExpression(truth, response, tolerance);
  return sameExpression(truth, new Quantity(scaleBy(response.expression, ratio)), tolerance);
}

/** Multiplies an expression by a ratio of units. The result is exact if the ratio or its inverse is a whole number. */
function scaleBy(expression: Expression, ratio: number): Expression {
  const whole = (value: number): Expression => ({
    kind: "number",
    numerator: BigInt(Math.round(value)),
    denominator: 1n,
    places: -1,
    digits: 1,
  });
  const isWhole = (value: number) => value < 1e15 && Math.abs(value - Math.round(value)) < 1e-9 * value && Math.round(value) > 0;
  if (isWhole(ratio)) return { kind: "multiply", left: expression, right: whole(ratio) };
  if (isWhole(1 / ratio)) return { kind: "divide", left: expression, right: whole(1 / ratio) };
  const micro: Expression = {
    kind: "number",
    numerator: BigInt(Math.round(ratio * 1e12)),
    denominator: 10n ** 12n,
    places: 12,
    digits: 12,
  };
  return { kind: "multiply", left: expression, right: micro };
}
