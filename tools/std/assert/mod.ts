/**
 * Stands in for `jsr:@std/assert` where JSR's registry is out of reach: the functions that Kedge's tests use, with their signatures, over Node's
 * `assert`. Dropping `links` from deno.json uses the real package.
 *
 * @module
 */
import * as node from "node:assert";

/** Thrown where an assertion fails. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

function raise(message: string, detail?: string): never {
  throw new AssertionError(detail ? `${message}: ${detail}` : message);
}

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = "assertion failed"): asserts expr {
  if (!expr) raise(msg);
}

/** Fails where it is reached. */
export function fail(msg?: string): never {
  raise("Failed assertion", msg);
}

/** Deep equality; NaN equals NaN. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    node.deepStrictEqual(actual, expected);
  } catch (error) {
    raise((error as Error).message, msg);
  }
}

/** The opposite of {@linkcode assertEquals}. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    node.notDeepStrictEqual(actual, expected);
  } catch (error) {
    raise((error as Error).message, msg);
  }
}

/** `Object.is` equality. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (!Object.is(actual, expected)) raise(`Values are not strictly equal: ${String(actual)} and ${String(expected)}`, msg);
}

/** |actual - expected| <= tolerance; by default 1e-7 of |expected|. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  if (!(Math.abs(expected - actual) <= allowed)) raise(`Expected ${actual} to be within ${allowed} of ${expected}`, msg);
}

/** Fails for null and undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) raise("Expected a value, got null or undefined", msg);
}

/** actual > expected. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) raise(`Expected ${String(actual)} > ${String(expected)}`, msg);
}

/** actual >= expected. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) raise(`Expected ${String(actual)} >= ${String(expected)}`, msg);
}

/** actual < expected. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) raise(`Expected ${String(actual)} < ${String(expected)}`, msg);
}

/** actual <= expected. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) raise(`Expected ${String(actual)} <= ${String(expected)}`, msg);
}

/** `actual` holds `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) raise(`Expected "${actual}" to include "${expected}"`, msg);
}

/** `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) raise(`Expected "${actual}" to match ${expected}`, msg);
}

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** `actual` is an instance of `type`. */
// deno-lint-ignore no-explicit-any
export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  type: T,
  msg?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof type)) raise(`Expected an instance of ${type.name}, got ${actual}`, msg);
}

function checkThrown<E extends Error>(error: unknown, ErrorType?: ErrorClass<E>, includes?: string, msg?: string): E {
  if (!(error instanceof Error)) raise(`A value that is no Error was thrown: ${String(error)}`, msg);
  if (ErrorType && !(error instanceof ErrorType)) raise(`Expected ${ErrorType.name}, got ${error.name}: ${error.message}`, msg);
  if (includes !== undefined && !error.message.includes(includes)) {
    raise(`Expected the message "${error.message}" to include "${includes}"`, msg);
  }
  return error as E;
}

/** `fn` throws an error of that class whose message holds `msgIncludes`; returns it. */
export function assertThrows<E extends Error = Error>(fn: () => unknown, ErrorType?: ErrorClass<E>, msgIncludes?: string, msg?: string): E {
  let thrown: unknown, did = false;
  try {
    fn();
  } catch (error) {
    did = true;
    thrown = error;
  }
  if (!did) raise("Expected the function to throw", msg);
  return checkThrown(thrown, ErrorType, msgIncludes, msg);
}

/** As {@linkcode assertThrows}, for a promise. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorType?: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E> {
  let thrown: unknown, did = false;
  try {
    await fn();
  } catch (error) {
    did = true;
    thrown = error;
  }
  if (!did) raise("Expected the function to reject", msg);
  return checkThrown(thrown, ErrorType, msgIncludes, msg);
}
