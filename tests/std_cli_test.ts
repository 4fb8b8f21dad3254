/**
 * Tests the behaviour of `@std/cli` according to its published source and documentation (denoland/std, 1.0). A published Kedge runs with
 * the real one.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";

type Options = Parameters<typeof parseArgs>[1];
type Case = readonly [args: string, expected: Record<string, unknown>, options?: Options];

/** Arguments between blanks; "''": an empty one. */
const words = (args: string) => args.split(" ").filter((word) => word !== "").map((word) => word === "''" ? "" : word);

function check(cases: readonly Case[]): void {
  for (const [args, expected, options] of cases) {
    assertEquals(parseArgs(words(args), options), expected, `${args} ${Deno.inspect(options)}`);
  }
}

Deno.test("@std/cli: an undeclared option is a flag, a text or a number, by its form", () =>
  check([
    ["--a", { a: true, _: [] }],
    ["--a b c", { a: "b", _: ["c"] }],
    ["--a=b c", { a: "b", _: ["c"] }],
    ["--a=b=c", { a: "b=c", _: [] }],
    ["--a --b", { a: true, b: true, _: [] }],
    ["--a -1", { a: true, 1: true, _: [] }],
    ["--a=-1", { a: -1, _: [] }],
    ["--a 1 --b 0x1f --c 1e3 --d .5 --e 10f", { a: 1, b: 31, c: 1000, d: 0.5, e: "10f", _: [] }],
    ["7 seven", { _: [7, "seven"] }],
    ["--a x --a y", { a: "y", _: [] }],
    ["- --a", { a: true, _: ["-"] }],
    ["--a -", { a: true, _: ["-"] }],
    ["--no-a", { "no-a": true, _: [] }],
    ["--a=", { "a=": true, _: [] }],
    ["--toString", { toString: true, _: [] }],
    ["--a ''", { a: true, _: [""] }],
  ]));

Deno.test("@std/cli: letters behind one dash", () =>
  check([
    ["-a", { a: true, _: [] }],
    ["-abc", { a: true, b: true, c: true, _: [] }],
    ["-ab c", { a: true, b: "c", _: [] }],
    ["-n5", { n: 5, _: [] }],
    ["-n=5 -m=x=y", { n: 5, m: "x=y", _: [] }],
    ["-a -", { a: "-", _: [] }],
    ["-a-", { a: "-", _: [] }],
    ["-p/x/y", { p: "/x/y", _: [] }],
    ["-12 3", { 1: true, 2: 3, _: [] }],
    ["-a -1", { a: true, 1: true, _: [] }],
    ["-x true -y false", { x: true, y: false, _: [] }, { boolean: ["x", "y"] }],
    ["-x yes", { x: true, _: ["yes"] }, { boolean: "x" }],
    ["-s 007 -t", { s: "007", t: "", _: [] }, { string: ["s", "t"] }],
  ]));

Deno.test("@std/cli: flags are false unless given, and accept only true and false", () =>
  check([
    ["", { a: false, _: [] }, { boolean: ["a"] }],
    ["--a b", { a: true, _: ["b"] }, { boolean: ["a"] }],
    ["--a false b", { a: false, _: ["b"] }, { boolean: "a" }],
    ["--a=false --b=maybe", { a: false, b: true, _: [] }, { boolean: ["a", "b"] }],
    ["--x y --z=1 -p 5", { x: true, z: 1, p: 5, _: ["y"] }, { boolean: true }],
    ["--x true", { x: true, _: [] }, { boolean: true }],
    ["", { a: null, _: [] }, { boolean: "a", default: { a: null } }],
  ]));

Deno.test("@std/cli: texts stay texts, and are empty without a value", () =>
  check([
    ["--a 007 --b", { a: "007", b: "", _: [] }, { string: ["a", "b"] }],
    ["--a --b 1", { a: "", b: 1, _: [] }, { string: "a" }],
    ["--a -1", { a: "", 1: true, _: [] }, { string: ["a"] }],
    ["--a=-1", { a: "-1", _: [] }, { string: ["a"] }],
    ["1 2", { _: ["1", "2"] }, { string: "_" }],
    ["", { _: [] }, { string: ["a"] }],
  ]));

Deno.test("@std/cli: only negatable options are negated, and a value takes precedence over the negation", () =>
  check([
    ["--no-a", { a: false, _: [] }, { boolean: ["a"], negatable: ["a"] }],
    ["--no-a", { a: false, "no-a": true, _: [] }, { boolean: ["a"] }],
    ["--no-a --a", { a: true, _: [] }, { boolean: ["a"], negatable: ["a"] }],
    ["--a --no-a", { a: false, _: [] }, { boolean: ["a"], negatable: ["a"] }],
    ["--no-a x", { a: false, _: ["x"] }, { string: ["a"], negatable: ["a"] }],
    ["--no-a x", { "no-a": "x", _: [] }, { string: ["a"] }],
    ["--no-a=x", { a: "x", _: [] }, { string: ["a"], negatable: ["a"] }],
    ["", { a: true, _: [] }, { boolean: ["a"], negatable: ["a"], default: { a: true } }],
    ["--a 1 --a 2 --no-a", { a: false, _: [] }, { string: ["a"], collect: ["a"], negatable: ["a"] }],
    ["--no-a", { a: false, b: false, _: [] }, { boolean: ["a"], negatable: "a", alias: { a: "b" } }],
  ]));

Deno.test("@std/cli: a collected option is a list", () =>
  check([
    ["--a 1 --a 2", { a: [1, 2], _: [] }, { collect: ["a"] }],
    ["--a 1", { a: ["1"], _: [] }, { collect: "a", string: "a" }],
    ["--a --a", { a: [true, true], _: [] }, { collect: ["a"], boolean: ["a"] }],
    ["", { a: [], b: [], _: [] }, { collect: ["a", "b", "c"], string: ["a"], boolean: ["b"] }],
    ["", { a: ["x"], _: [] }, { collect: ["a"], string: ["a"], default: { a: ["x"] } }],
    ["--a y", { a: ["y"], _: [] }, { collect: ["a"], string: ["a"], default: { a: ["x"] } }],
  ]));

Deno.test("@std/cli: aliases share value, kind and default", () =>
  check([
    ["-f 1", { f: 1, file: 1, _: [] }, { alias: { f: "file" } }],
    ["--file 1", { f: 1, file: 1, F: 1, _: [] }, { alias: { f: ["file", "F"] } }],
    ["--name 01", { n: "01", name: "01", _: [] }, { alias: { n: "name" }, string: "n" }],
    ["--quiet x", { q: true, quiet: true, _: ["x"] }, { alias: { q: "quiet" }, boolean: "q" }],
    ["", { q: false, quiet: false, _: [] }, { alias: { q: "quiet" }, boolean: "quiet" }],
    ["", { f: 5, file: 5, _: [] }, { alias: { f: "file" }, default: { f: 5 } }],
    ["--s 1 -t 2", { s: ["1", "2"], t: ["1", "2"], _: [] }, { alias: { s: "t" }, string: "s", collect: "s" }],
  ]));

Deno.test("@std/cli: dotted names are objects", () =>
  check([
    ["--a.b 1 --a.c.d x", { a: { b: 1, c: { d: "x" } }, _: [] }],
    ["", { a: { b: 1 }, _: [] }, { default: { "a.b": 1 } }],
    ["--a.c 2", { a: { b: 1, c: 2 }, _: [] }, { default: { "a.b": 1 } }],
    ["--a.b 2", { a: { b: 2 }, x: { y: 2 }, _: [] }, { alias: { "a.b": "x.y" } }],
    ["", { a: { b: false }, _: [] }, { boolean: ["a.b"] }],
  ]));

Deno.test('@std/cli: after "--" nothing is an option, and after the first of the rest with stopEarly', () =>
  check([
    ["--a -- --b 1", { a: true, _: ["--b", "1"] }],
    ["x -- --b 1", { _: ["x"], "--": ["--b", "1"] }, { "--": true }],
    ["--a", { a: true, _: [], "--": [] }, { "--": true }],
    ["--a b c --d 1", { a: "b", _: ["c", "--d", "1"] }, { stopEarly: true }],
    ["--a 1 -- 2", { a: 1, _: ["2"] }, { stopEarly: true }],
  ]));

Deno.test("@std/cli: unknown is called for undeclared options and positional arguments, and false omits them", () => {
  const options = { boolean: ["flag"], string: ["text"], collect: ["list"], default: { given: 1 }, alias: { f: "flag", o: "other" } };
  const told: unknown[] = [];
  const unknown = (...all: unknown[]) => {
    told.push(all);
    return false;
  };
  const args = words("--flag -f --text 1 --other 2 -o 3 file 12 --list 4 --given 5 --no-flag --zed -- after");
  assertEquals(parseArgs(args, { ...options, unknown }), {
    flag: true,
    f: true,
    text: "1",
    other: 3,
    o: 3,
    given: 1,
    _: ["after"],
  });
  assertEquals(told, [
    ["file"],
    ["12"],
    ["--list", "list", "4"],
    ["--given", "given", "5"],
    ["--no-flag", "no-flag", true],
    ["--zed", "zed", true],
  ]);
  assertEquals(parseArgs(["x", "--y"], { unknown: () => undefined }), { y: true, _: ["x"] }, "only false leaves it out");
  told.length = 0;
  parseArgs(words("--any --other=1 -z"), { boolean: true, unknown });
  assertEquals(told, [["--other=1", "other", "1"], ["-z", "z", true]]);
});

Deno.test("@std/cli: an alias must be one", () => {
  assertThrows(() => parseArgs([], { alias: { a: undefined as unknown as string } }), TypeError, "Alias value must be defined");
});
