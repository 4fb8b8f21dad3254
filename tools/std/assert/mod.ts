/**
 * Replaces `jsr:@std/assert` where JSR's registry cannot be reached. It has the functions that Kedge's tests use, with the same behaviour
 * (`tests/std_assert_test.ts` checks that). Only differences are printed more simply: without colours, and line by line. To use the real
 * package, remove `links` from deno.json.
 *
 * @module
 */
import { equal } from "./equal.ts";

export { equal };

/** Is thrown if an assertion fails. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

/** Returns the end of a sentence: the user's message, or a full stop. */
const ending = (msg?: string) => msg ? `: ${msg}` : ".";

const shown = (value: unknown) =>
  Deno.inspect(value, {
    depth: Infinity,
    sorted: true,
    trailingComma: true,
    compact: false,
    iterableLimit: Infinity,
    getters: true,
    strAbbreviateSize: Infinity,
  });

/** Compares the lines of two values: those of both, of the first only (-), of the second only (+). */
function difference(actual: unknown, expected: unknown): string {
  const [ours, theirs] = [actual, expected].map((value) => (typeof value === "string" ? value : shown(value)).split("\n")) as [
    string[],
    string[],
  ];
  const lines: string[] = [];
  let at = 0;
  for (const line of ours) {
    const same = theirs.indexOf(line, at);
    if (same < 0) {
      lines.push(`-   ${line}`);
      continue;
    }
    lines.push(...theirs.slice(at, same).map((other) => `+   ${other}`), `    ${line}`);
    at = same + 1;
  }
  lines.push(...theirs.slice(at).map((other) => `+   ${other}`));
  return `\n\n    [Diff] Actual / Expected\n\n\n${lines.join("\n")}\n`;
}

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Always fails. */
export function fail(msg?: string): never {
  throw new AssertionError(`Failed assertion${ending(msg)}`);
}

/** Fails unless two values are deeply equal, as {@linkcode equal} decides. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) throw new AssertionError(`Values are not equal${ending(msg)}\n${difference(actual, expected)}`);
}

/** Fails if two values are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) return;
  throw new AssertionError(`Expected actual: ${shown(actual)} not to be: ${shown(expected)}${ending(msg)}`);
}

/** Fails unless two values are equal by `Object.is`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw new AssertionError(
    shown(actual) === shown(expected)
      ? `Values have the same structure but are not reference-equal${ending(msg)}\n\n${shown(actual).replaceAll(/^/gm, "    ")}\n`
      : `Values are not strictly equal${ending(msg)}\n${difference(actual, expected)}`,
  );
}

/** Fails unless |actual - expected| <= tolerance. Default: 1e-7 of |expected|. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7), delta = Math.abs(expected - actual);
  if (delta <= allowed) return;
  const [a, e, d, t] = [actual, expected, delta, allowed].map((x) => Number.isInteger(x) ? x : x.toExponential());
  throw new AssertionError(`Expected actual: "${a}" to be close to "${e}": delta "${d}" is greater than "${t}"${ending(msg)}`);
}

/** Fails for null and undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    throw new AssertionError(`Expected actual: "${actual}" to not be null or undefined${ending(msg)}`);
  }
}

/** Fails unless actual > expected. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) throw new AssertionError(msg ?? `Expect ${shown(actual)} > ${shown(expected)}`);
}

/** Fails unless actual >= expected. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) throw new AssertionError(msg ?? `Expect ${shown(actual)} >= ${shown(expected)}`);
}

/** Fails unless actual < expected. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) throw new AssertionError(msg ?? `Expect ${shown(actual)} < ${shown(expected)}`);
}

/** Fails unless actual <= expected. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) throw new AssertionError(msg ?? `Expect ${shown(actual)} <= ${shown(expected)}`);
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) throw new AssertionError(`Expected actual: "${actual}" to contain: "${expected}"${ending(msg)}`);
}

/** Fails unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) throw new AssertionError(`Expected actual: "${actual}" to match: "${expected}"${ending(msg)}`);
}

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Fails unless `actual` is an instance of `expectedType`. */
// deno-lint-ignore no-explicit-any
export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  const own = actual === null || actual === undefined
    ? String(actual)
    : typeof actual === "object"
    ? actual.constructor?.name ?? "Object"
    : typeof actual;
  const but = own === expectedType.name ? "" : own === "function" ? " but was not an instanced object" : ` but was "${own}"`;
  throw new AssertionError(`Expected object to be an instance of "${expectedType.name}"${but}${ending(msg)}`);
}

/** What an error must satisfy: its class, a part of its message; and the message for a failure. */
type Asked<E extends Error> = { kind?: ErrorClass<E> | undefined; words?: string | undefined; msg?: string | undefined };

/**
 * Reads the arguments after the function: only a message, or a class, a part of the error's message and a message. A class that is not an
 * error class is ignored.
 */
function asked<E extends Error>(classOrMsg: ErrorClass<E> | string | undefined, words?: string, msg?: string): Asked<E> {
  if (typeof classOrMsg === "string") return { msg: classOrMsg };
  const isOfErrors = classOrMsg?.prototype === Error.prototype || classOrMsg?.prototype instanceof Error;
  return classOrMsg === undefined || isOfErrors ? { kind: classOrMsg, words, msg } : { msg: words };
}

// deno-lint-ignore no-control-regex -- colours begin with one
const ANSI = /\x1b\[[\d;]*m/g;

function checkError<E extends Error>(error: unknown, { kind, words, msg }: Asked<E>, how: string): void {
  if (!kind) return;
  if (!(error instanceof Error)) throw new AssertionError(`A non-Error object was ${how}${ending(msg)}`);
  if (!(error instanceof kind)) {
    throw new AssertionError(
      `Expected error to be instance of "${kind.name}", but was "${(error as Error).constructor?.name}"${ending(msg)}`,
    );
  }
  if (words && !error.message.replaceAll(ANSI, "").includes(words.replaceAll(ANSI, ""))) {
    throw new AssertionError(
      `Expected error message to include ${JSON.stringify(words)}, but got ${JSON.stringify(error.message)}${ending(msg)}`,
    );
  }
}

/** Fails unless `fn` throws. Returns the thrown value. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Fails unless `fn` throws an error of that class whose message contains `msgIncludes`. Returns the error. */
export function assertThrows<E extends Error = Error>(fn: () => unknown, ErrorClass: ErrorClass<E>, msgIncludes?: string, msg?: string): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  classOrMsg?: ErrorClass<E> | string,
  words?: string,
  msg?: string,
): unknown {
  const what = asked(classOrMsg, words, msg);
  try {
    fn();
  } catch (error) {
    checkError(error, what, "thrown");
    return error;
  }
  throw new AssertionError(`Expected function to throw${ending(what.msg)}`);
}

/** The same as {@linkcode assertThrows} for a promise. It fails if the function returns no promise, or throws before it returns one. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** The same as {@linkcode assertThrows} for a promise. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: ErrorClass<E> | string,
  words?: string,
  msg?: string,
): Promise<unknown> {
  // Unlike assertThrows, it accepts no message in place of a class that is not an error class.
  const what = asked(classOrMsg, words, msg), isForeign = typeof classOrMsg === "function" && what.kind === undefined;
  const { msg: said } = isForeign ? { msg } : what;
  let promise: PromiseLike<unknown> | undefined;
  try {
    promise = fn();
  } catch { // treated like a function that returns no promise
  }
  if (typeof promise !== "object" || typeof promise?.then !== "function") {
    throw new AssertionError(`Function throws when expected to reject${ending(said)}`);
  }
  try {
    await promise;
  } catch (error) {
    checkError(error, { ...what, msg: said }, "rejected");
    return error;
  }
  throw new AssertionError(`Expected function to reject${ending(said)}`);
}
