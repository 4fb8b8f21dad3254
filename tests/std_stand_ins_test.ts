import { assertEquals, assertThrows } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";

Deno.test("parseArgs reads flags, values, collections and the rest", () => {
  const args = parseArgs(["--set", "a.b=1", "--set=c=2", "--quiet", "file", "--n", "-3", "--no-color", "--", "--x"], {
    boolean: ["quiet", "color"],
    collect: ["set"],
    string: ["set"],
    negatable: ["color"],
    default: { color: true },
  });
  assertEquals(args, { _: ["file", "--x"], quiet: true, color: false, set: ["a.b=1", "c=2"], n: -3 });
});

Deno.test("assertThrows returns the error and checks its class and words", () => {
  const error = assertThrows(
    () => {
      throw new RangeError("Cannot read row 3: there are 2");
    },
    RangeError,
    "row 3",
  );
  assertEquals(error.name, "RangeError");
  assertThrows(() => assertThrows(() => {}), Error, "to throw");
});
