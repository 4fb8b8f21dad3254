/**
 * Tests the behaviour of `@std/assert` according to its published source and documentation (denoland/std, 1.0). Users of a published Kedge
 * run with the real one.
 */
import * as std from "@std/assert";

/** Independent of what is under test. */
function holds(is: boolean, what: string): void {
  if (!is) throw new Error(what);
}

/** Returns the message of the AssertionError that a function throws; undefined if it throws nothing. */
function failure(body: () => void): string | undefined {
  try {
    body();
  } catch (error) {
    holds(error instanceof std.AssertionError && error.name === "AssertionError", `not an AssertionError: ${error}`);
    return (error as Error).message;
  }
  return undefined;
}

/** Compares two texts, or beginnings of texts. */
function says(actual: string | undefined, expected: string | undefined): void {
  holds(
    actual === expected || (expected !== undefined && expected !== "" && actual?.startsWith(expected) === true),
    `${actual}\n    and not\n${expected}`,
  );
}

class Point {
  constructor(readonly x: number) {}
}
const cycle = () => {
  const own: Record<string, unknown> = { a: 1 };
  own["self"] = own;
  return own;
};

Deno.test("@std/assert: equal values", () => {
  const equal: [unknown, unknown][] = [
    [NaN, NaN],
    [0, -0],
    [[0, NaN], [-0, NaN]],
    [{ a: 1, b: [2] }, { b: [2], a: 1 }],
    [Object.create(null), {}],
    [new Float64Array([NaN, 0]), new Float64Array([NaN, -0])],
    [new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]).buffer],
    [new Uint8Array([9, 1]).subarray(1), new Uint8Array([1])],
    [new Map([["a", { b: 1 }], ["c", { b: 2 }]]), new Map([["c", { b: 2 }], ["a", { b: 1 }]])],
    [new Map([[{ k: 1 }, 1], [{ k: 2 }, 2]]), new Map([[{ k: 2 }, 2], [{ k: 1 }, 1]])],
    [new Set([1, 2]), new Set([2, 1])],
    [new Set([{ a: 1 }, { a: 2 }]), new Set([{ a: 2 }, { a: 1 }])],
    [new Set([new Set([1])]), new Set([new Set([1])])],
    [new Date(5), new Date(5)],
    [new Date(NaN), new Date(NaN)],
    [/a/g, /a/g],
    [new URL("http://a/b"), new URL("http://a/b")],
    [new URLSearchParams("a=1"), new URLSearchParams("a=1")],
    [new Point(1), new Point(1)],
    [new WeakRef({ a: 1 }), new WeakRef({ a: 1 })],
    [cycle(), cycle()],
    [{ [Symbol.for("s")]: 1 }, { [Symbol.for("s")]: 1 }],
  ];
  for (const [a, b] of equal) {
    says(failure(() => std.assertEquals(a, b)), undefined);
    says(failure(() => std.assertNotEquals(a, b)), "Expected actual: ");
  }
});

Deno.test("@std/assert: values that are not equal", () => {
  const unequal: [unknown, unknown][] = [
    [1, "1"],
    [1n, 1],
    [null, undefined],
    [{ a: undefined }, {}],
    [{ a: undefined, b: 1 }, { b: 1, c: undefined }],
    [[1, 2], [1, 2, 3]],
    [[1], { 0: 1 }],
    [new Point(1), { x: 1 }],
    [new Point(1), new Point(2)],
    [new Float32Array([1]), new Float64Array([1])],
    [new Uint8Array([1]), [1]],
    [new Uint8Array([0]), new Uint8Array([0, 0])],
    [new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Map([["a", undefined]]), new Map([["b", undefined]])],
    [new Set([1, 2]), new Set([1, 3])],
    [new Set([Symbol()]), new Set([Symbol()])],
    [new Date(1), new Date(2)],
    [/a/, /a/i],
    [new URL("http://a/b"), new URL("http://a/c")],
    [{ [Symbol("s")]: 1 }, { [Symbol("s")]: 1 }],
    [() => {}, () => {}],
  ];
  for (const [a, b] of unequal) {
    says(failure(() => std.assertEquals(a, b)), "Values are not equal.\n");
    says(failure(() => std.assertNotEquals(a, b)), undefined);
  }
  for (const make of [() => new WeakMap(), () => new WeakSet()]) {
    let thrown: unknown;
    try {
      std.equal(make(), make());
    } catch (error) {
      thrown = error;
    }
    holds(thrown instanceof TypeError && thrown.message.startsWith("Cannot compare Weak"), `${thrown}`);
  }
});

Deno.test("@std/assert: messages of failures", () => {
  says(failure(() => std.assert(0)), "");
  says(failure(() => std.assert("", "no")), "no");
  says(failure(() => std.fail()), "Failed assertion.");
  says(failure(() => std.fail("why")), "Failed assertion: why");
  says(failure(() => std.assertEquals<unknown>(1, 2, "why")), "Values are not equal: why\n");
  const words = failure(() => std.assertEquals([1, 2, 4], [1, 3, 4]))!;
  for (const piece of ["[Diff] Actual / Expected", "-     2,", "+     3,", "      4,"]) {
    holds(words.includes(piece), `${words} lacks ${piece}`);
  }
  says(failure(() => std.assertNotEquals(1, 1, "why")), "Expected actual: 1 not to be: 1: why");
  says(failure(() => std.assertStrictEquals(0, -0)), "Values are not strictly equal.\n");
  says(failure(() => std.assertStrictEquals(NaN, NaN)), undefined);
  says(failure(() => std.assertStrictEquals({ a: 1 }, { a: 1 })), "Values have the same structure but are not reference-equal.\n\n    {\n");
  says(failure(() => std.assertExists(null)), 'Expected actual: "null" to not be null or undefined.');
  says(failure(() => std.assertExists(0)), undefined);
  says(failure(() => std.assertGreater(1, 1)), "Expect 1 > 1");
  says(failure(() => std.assertGreater(1, 1, "why")), "why");
  says(failure(() => std.assertGreaterOrEqual(1, 2)), "Expect 1 >= 2");
  says(failure(() => std.assertGreaterOrEqual(2, 2)), undefined);
  says(failure(() => std.assertLess("b", "a")), 'Expect "b" < "a"');
  says(failure(() => std.assertLessOrEqual(NaN, 1)), "Expect NaN <= 1");
  says(failure(() => std.assertStringIncludes("abc", "d")), 'Expected actual: "abc" to contain: "d".');
  says(failure(() => std.assertMatch("abc", /d/i, "why")), 'Expected actual: "abc" to match: "/d/i": why');
  says(failure(() => std.assertInstanceOf(new Date(), RegExp)), 'Expected object to be an instance of "RegExp" but was "Date".');
  says(failure(() => std.assertInstanceOf(null, Date)), 'Expected object to be an instance of "Date" but was "null".');
  says(failure(() => std.assertInstanceOf(Date, Date)), 'Expected object to be an instance of "Date" but was not an instanced object.');
  says(failure(() => std.assertInstanceOf(new TypeError(), Error)), undefined);
});

Deno.test("@std/assert: numbers that are almost equal", () => {
  const close: [number, number, number?][] = [[1, 1 + 9e-8], [1, 1 + 1e-3, 2e-3], [0, -0], [NaN, NaN], [Infinity, Infinity], [
    1e9,
    1e9 + 99,
  ], [2, 3, 1]];
  for (const all of close) says(failure(() => std.assertAlmostEquals(...all)), undefined);
  const far: [number, number, number?][] = [[0, 1e-300], [1, 1 + 2e-7], [NaN, 1], [1, NaN], [NaN, 1, Infinity], [Infinity, -Infinity], [
    1,
    Infinity,
  ], [1, 1 + 1e-8, 0]];
  for (const all of far) says(failure(() => std.assertAlmostEquals(...all)), "Expected actual: ");
  says(
    failure(() => std.assertAlmostEquals(1, 1.5, 0.25, "why")),
    'Expected actual: "1" to be close to "1.5e+0": delta "5e-1" is greater than "2.5e-1": why',
  );
});

const throws = (error: unknown) => () => {
  throw error;
};

Deno.test("@std/assert: arguments, result and messages of assertThrows", () => {
  const error = new RangeError("Cannot read row 3");
  holds(std.assertThrows(throws(error)) === error && std.assertThrows(throws(error), Error, "row 3") === error, "it returns the error");
  holds(
    std.assertThrows(throws("text")) === "text" && std.assertThrows(throws(null), "a message") === null,
    "without a class anything goes",
  );
  std.assertThrows(throws(new Error("\x1b[31mred\x1b[0m words")), Error, "red words");
  says(failure(() => std.assertThrows(() => {})), "Expected function to throw.");
  says(failure(() => std.assertThrows(() => {}, "why")), "Expected function to throw: why");
  says(failure(() => std.assertThrows(() => {}, Error, "x", "why")), "Expected function to throw: why");
  says(failure(() => std.assertThrows(throws(error), TypeError)), 'Expected error to be instance of "TypeError", but was "RangeError".');
  says(
    failure(() => std.assertThrows(throws(error), RangeError, "row 4", "why")),
    'Expected error message to include "row 4", but got "Cannot read row 3": why',
  );
  says(failure(() => std.assertThrows(throws("text"), Error)), "A non-Error object was thrown.");
});

async function rejection(promise: Promise<unknown>): Promise<string | undefined> {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  return error === undefined ? undefined : failure(throws(error));
}

Deno.test("@std/assert: arguments, result and messages of assertRejects", async () => {
  const error = new RangeError("Cannot read row 3"), rejects = () => Promise.reject(error);
  holds(
    await std.assertRejects(rejects) === error && await std.assertRejects(rejects, RangeError, "row 3") === error,
    "it returns the error",
  );
  holds(await std.assertRejects(() => Promise.reject("text"), "a message") === "text", "without a class anything goes");
  const late = async () => {
    await Promise.resolve();
    throw error;
  };
  holds(await std.assertRejects(late, Error) === error, "later too");
  says(await rejection(std.assertRejects(() => Promise.resolve())), "Expected function to reject.");
  says(await rejection(std.assertRejects(() => Promise.resolve(), "why")), "Expected function to reject: why");
  says(await rejection(std.assertRejects(throws(error))), "Function throws when expected to reject.");
  says(await rejection(std.assertRejects((() => 1) as unknown as () => Promise<unknown>)), "Function throws when expected to reject.");
  says(await rejection(std.assertRejects(rejects, TypeError)), 'Expected error to be instance of "TypeError", but was "RangeError".');
  says(
    await rejection(std.assertRejects(rejects, RangeError, "row 4")),
    'Expected error message to include "row 4", but got "Cannot read row 3".',
  );
  says(await rejection(std.assertRejects(() => Promise.reject("text"), Error)), "A non-Error object was rejected.");
});
