/**
 * Computes the values of expressions: exactly if they are rational and not too large, otherwise as complex numbers in float64 with a bound
 * on the rounding error.
 *
 * @module
 */
import type { Expression } from "./expression.ts";

/** A reduced fraction numerator / denominator. The denominator is positive. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

const LIMIT = 1n << 1024n;
/** The limit for whole numbers and for fractions with a small denominator. */
const LARGE = 1n << 16_384n;
const WORD = 1n << 64n;
const abs = (n: bigint): bigint => n < 0n ? -n : n;

function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

/** Computes with rationals until a budget of work is used up. */
class Exact {
  #budget = 3_000;

  rational(numerator: bigint, denominator: bigint): Rational | undefined {
    if (denominator === 0n) return undefined;
    if (denominator < 0n) [numerator, denominator] = [-numerator, -denominator];
    const size = abs(numerator) > denominator ? abs(numerator) : denominator;
    this.#budget -= size < WORD ? 1 : size < LIMIT ? 30 : 300;
    if (this.#budget < 0 || size >= (denominator < WORD ? LARGE : LIMIT)) return undefined;
    const divisor = denominator === 1n ? 1n : gcd(abs(numerator), denominator);
    return { numerator: numerator / divisor, denominator: denominator / divisor };
  }

  of(expression: Expression): Rational | undefined {
    switch (expression.kind) {
      case "number":
        return this.rational(expression.numerator, expression.denominator);
      case "add":
      case "multiply":
      case "divide":
      case "power": {
        const left = this.of(expression.left);
        if (left === undefined) return undefined;
        const right = this.of(expression.right);
        if (right === undefined) return undefined;
        const [a, b, c, d] = [left.numerator, left.denominator, right.numerator, right.denominator];
        if (expression.kind === "add") return this.rational(a * d + c * b, b * d);
        if (expression.kind === "multiply") return this.rational(a * c, b * d);
        if (expression.kind === "divide") return this.rational(a * d, b * c);
        return d === 1n ? this.#power(left, c) : undefined;
      }
      case "negate": {
        const of = this.of(expression.of);
        return of === undefined ? undefined : { numerator: -of.numerator, denominator: of.denominator };
      }
      case "scaled": {
        const of = expression.by === "percent" ? this.of(expression.of) : undefined;
        return of === undefined ? undefined : this.rational(of.numerator, of.denominator * 100n);
      }
      case "function": {
        const of = this.of(expression.of);
        if (of === undefined) return undefined;
        if (expression.name === "abs") return { numerator: abs(of.numerator), denominator: of.denominator };
        if (expression.name === "floor" || expression.name === "ceil") {
          const down = of.numerator / of.denominator - (of.numerator < 0n && of.numerator % of.denominator !== 0n ? 1n : 0n);
          return { numerator: down + (expression.name === "ceil" && of.denominator !== 1n ? 1n : 0n), denominator: 1n };
        }
        if (expression.name === "factorial" && of.denominator === 1n && of.numerator >= 0n && of.numerator <= 200n) {
          let product = 1n;
          for (let i = 2n; i <= of.numerator; i++) product *= i;
          return this.rational(product, 1n);
        }
        return undefined;
      }
      default:
        return undefined;
    }
  }

  #power(base: Rational, exponent: bigint): Rational | undefined {
    const { numerator: a, denominator: b } = base;
    if (exponent === 0n) return a === 0n ? undefined : { numerator: 1n, denominator: 1n };
    if (a === 0n) return exponent > 0n ? base : undefined;
    const times = abs(exponent), size = abs(a) > b ? abs(a) : b;
    if (size === 1n) return exponent % 2n === 0n ? { numerator: 1n, denominator: 1n } : base;
    if (times > 16_384n || BigInt(size.toString(16).length - 1) * 4n * times > (b === 1n ? 16_384n : 2_048n)) return undefined;
    const [up, down] = [a ** times, b ** times];
    return exponent > 0n ? this.rational(up, down) : this.rational(down, up);
  }
}

/**
 * Returns an expression's exact value. Returns undefined if the value is undefined, is not rational by arithmetic alone, or is too large
 * (1,024 bits; 16,384 bits over a small denominator).
 */
export function exactValue(expression: Expression): Rational | undefined {
  return new Exact().of(expression);
}

/** Returns the nearest float64 to a rational, or one next to it. Too large values are infinite. */
export function toNumber({ numerator, denominator }: Rational): number {
  const direct = Number(numerator) / Number(denominator);
  if (Number.isFinite(direct) && (direct !== 0 || numerator === 0n)) return direct;
  // Both are scaled down to a little more than 64 bits.
  const bits = (n: bigint) => abs(n).toString(2).length;
  const [up, down] = [Math.max(0, bits(numerator) - 64), Math.max(0, bits(denominator) - 64)];
  const ratio = Number(numerator >> BigInt(up)) / Number(denominator >> BigInt(down)), half = Math.trunc((up - down) / 2);
  return ratio * 2 ** half * 2 ** (up - down - half);
}

/** The value re + i im with an error of at most about `error`. It is NaN if undefined. */
export interface Approximate {
  readonly re: number;
  readonly im: number;
  readonly error: number;
}

/** The values of variables and signs. */
export interface Point {
  readonly variables: ReadonlyMap<string, number>;
  /** The sign that every plus-minus takes. */
  readonly sign: 1 | -1;
}

const EPSILON = 2 ** -52;
const NOT_A_NUMBER: Approximate = { re: NaN, im: NaN, error: 0 };
const size = (z: Approximate): number => z.im === 0 ? Math.abs(z.re) : Math.hypot(z.re, z.im);

function make(re: number, im: number, error: number): Approximate {
  const z = { re, im, error }, length = size(z);
  return length <= 1e300 ? { re, im, error: error + EPSILON * length } : NOT_A_NUMBER;
}

const add = (a: Approximate, b: Approximate): Approximate => make(a.re + b.re, a.im + b.im, a.error + b.error);
const multiply = (a: Approximate, b: Approximate): Approximate =>
  make(a.re * b.re - a.im * b.im, a.im === 0 && b.im === 0 ? 0 : a.re * b.im + a.im * b.re, size(a) * b.error + size(b) * a.error);

function divide(a: Approximate, b: Approximate): Approximate {
  const length = size(b);
  if (!(length > b.error)) return NOT_A_NUMBER;
  const error = (a.error + size(a) / length * b.error) / length;
  if (b.im === 0) return make(a.re / b.re, a.im / b.re, error);
  const square = length * length;
  return make((a.re * b.re + a.im * b.im) / square, (a.im * b.re - a.re * b.im) / square, error);
}

function exp(z: Approximate): Approximate {
  const length = Math.exp(z.re);
  return make(z.im === 0 ? length : length * Math.cos(z.im), z.im === 0 ? 0 : length * Math.sin(z.im), length * z.error);
}

function ln(z: Approximate): Approximate {
  const length = size(z);
  return length > z.error ? make(Math.log(length), Math.atan2(z.im, z.re), z.error / length) : NOT_A_NUMBER;
}

function power(base: Approximate, exponent: Approximate): Approximate {
  const length = size(base);
  if (length <= base.error) return length === 0 && exponent.im === 0 && exponent.re > 0 ? make(0, 0, 0) : NOT_A_NUMBER;
  const relative = size(exponent) * base.error / length + Math.abs(Math.log(length)) * exponent.error;
  if (base.im === 0 && exponent.im === 0 && (base.re > 0 || Number.isInteger(exponent.re))) {
    const value = base.re ** exponent.re;
    return make(value, 0, Math.abs(value) * (relative + EPSILON));
  }
  return exp(multiply(ln(base), exponent));
}

function root(of: Approximate, index: Approximate): Approximate {
  if (index.im !== 0 || index.re === 0) return NOT_A_NUMBER;
  // Near zero the root of the error is larger than the error: sqrt(e).
  if (size(of) <= of.error) return { re: 0, im: 0, error: Math.max(of.error, 0) ** Math.min(1, Math.abs(1 / index.re)) };
  if (of.im === 0 && of.re < 0 && Number.isInteger(index.re) && index.re % 2 !== 0) {
    const positive = root({ ...of, re: -of.re }, index);
    return { ...positive, re: -positive.re };
  }
  if (of.im === 0 && of.re > 0 && index.re === 2) {
    const value = Math.sqrt(of.re);
    return make(value, 0, of.error / (2 * value));
  }
  return power(of, divide(make(1, 0, 0), index));
}

const cosh = Math.cosh, sinh = Math.sinh;
const sine = (z: Approximate): Approximate =>
  make(Math.sin(z.re) * cosh(z.im), z.im === 0 ? 0 : Math.cos(z.re) * sinh(z.im), z.error * cosh(z.im) + EPSILON);
const cosine = (z: Approximate): Approximate =>
  make(Math.cos(z.re) * cosh(z.im), z.im === 0 ? 0 : -Math.sin(z.re) * sinh(z.im), z.error * cosh(z.im) + EPSILON);
const ONE = make(1, 0, 0);

/** Applies a function of a real number. `slope` bounds the function's derivative, which scales the error. */
const real = (z: Approximate, f: (x: number) => number, slope: (x: number) => number): Approximate =>
  z.im === 0 ? make(f(z.re), 0, Math.abs(slope(z.re)) * z.error + EPSILON * Math.abs(f(z.re))) : NOT_A_NUMBER;

/** Odd and even trigonometric functions lose their digits for large arguments. */
const MAX_ANGLE = 1e8;

function apply(name: string, z: Approximate): Approximate {
  switch (name) {
    case "sin":
      return Math.abs(z.re) < MAX_ANGLE ? sine(z) : NOT_A_NUMBER;
    case "cos":
      return Math.abs(z.re) < MAX_ANGLE ? cosine(z) : NOT_A_NUMBER;
    case "tan":
      return divide(apply("sin", z), apply("cos", z));
    case "cot":
      return divide(apply("cos", z), apply("sin", z));
    case "sec":
      return divide(ONE, apply("cos", z));
    case "csc":
      return divide(ONE, apply("sin", z));
    case "arcsin":
      return real(z, Math.asin, (x) => 1 / Math.sqrt(Math.max(1e-16, 1 - x * x)));
    case "arccos":
      return real(z, Math.acos, (x) => 1 / Math.sqrt(Math.max(1e-16, 1 - x * x)));
    case "arctan":
      return real(z, Math.atan, () => 1);
    case "sinh":
      return real(z, sinh, cosh);
    case "cosh":
      return real(z, cosh, sinh);
    case "tanh":
      return real(z, Math.tanh, () => 1);
    case "exp":
      return exp(z);
    case "ln":
      return ln(z);
    case "log":
      return divide(ln(z), make(Math.LN10, 0, 0));
    case "abs":
      return make(size(z), 0, z.error);
    case "floor":
      return real(z, (x) => Math.floor(x + 1e-12), () => 0);
    case "ceil":
      return real(z, (x) => Math.ceil(x - 1e-12), () => 0);
    case "factorial":
      return z.im === 0 && Number.isInteger(z.re) && z.re >= 0 && z.re <= 170 ? make(factorial(z.re), 0, 0) : NOT_A_NUMBER;
    default:
      return NOT_A_NUMBER;
  }
}

function factorial(n: number): number {
  let product = 1;
  for (let i = 2; i <= n; i++) product *= i;
  return product;
}

/**
 * Evaluates an expression at a point. Logarithms without a base have base 10, odd roots of negative numbers are negative, and everything
 * else takes its principal value.
 *
 * @returns NaN if the value is undefined, larger than 1e300, or infinite in a part.
 */
export function valueAt(expression: Expression, point: Point): Approximate {
  switch (expression.kind) {
    case "number": {
      const value = toNumber(expression);
      return make(value, 0, 0);
    }
    case "constant":
      switch (expression.name) {
        case "pi":
          return make(Math.PI, 0, 0);
        case "e":
          return make(Math.E, 0, 0);
        case "i":
          return make(0, 1, 0);
        default:
          return NOT_A_NUMBER;
      }
    case "variable":
      return make(point.variables.get(expression.name) ?? NaN, 0, 0);
    case "add":
      return add(valueAt(expression.left, point), valueAt(expression.right, point));
    case "either": {
      const right = valueAt(expression.right, point);
      return add(
        valueAt(expression.left, point),
        point.sign * expression.sign > 0 ? right : { re: -right.re, im: -right.im, error: right.error },
      );
    }
    case "multiply":
      return multiply(valueAt(expression.left, point), valueAt(expression.right, point));
    case "divide":
      return divide(valueAt(expression.left, point), valueAt(expression.right, point));
    case "power":
      return power(valueAt(expression.left, point), valueAt(expression.right, point));
    case "negate": {
      const of = valueAt(expression.of, point);
      return { re: -of.re, im: -of.im, error: of.error };
    }
    case "scaled":
      return multiply(valueAt(expression.of, point), make(expression.by === "percent" ? 0.01 : Math.PI / 180, 0, 0));
    case "root":
      return root(valueAt(expression.of, point), valueAt(expression.index, point));
    case "function":
      return apply(expression.name, valueAt(expression.of, point));
  }
}

/**
 * Returns a value in (0.4, 2.6) for a variable. The variable's name and the point's index determine it, so that verdicts are reproducible.
 * With `negative` the value is negative at some points.
 */
export function sampleOf(name: string, index: number, options: { negative: boolean }): number {
  let hash = 0x811c9dc5 ^ Math.imul(index + 1, 0x9e3779b9); // FNV-1a, then a mixing step
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  const bits = (hash ^ (hash >>> 15)) >>> 0, value = 0.4 + 2.2 * bits / 2 ** 32;
  return options.negative && (bits & 1) === 1 ? -value : value;
}
