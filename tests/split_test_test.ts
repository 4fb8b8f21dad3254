import { assertEquals } from "@std/assert";
import { counts, deal, secondsOf, testFiles } from "../tools/split_test.ts";
import { ROOT } from "./root.ts";

Deno.test("files are dealt out by their seconds, each once", () => {
  const files = [3, 1, 2, 2, 8].map((seconds, i) => ({ path: `${"abcde"[i]}`, seconds }));
  assertEquals(deal(files, 2), [["e"], ["a", "b", "c", "d"]]);
  assertEquals(deal(files, 1), [["a", "b", "c", "d", "e"]]);
});

Deno.test("test files are found as deno test finds them", () => {
  const found = testFiles([`${ROOT}/tests`]).map((path) => path.slice(ROOT.length + 1));
  assertEquals(found.includes("tests/split_test_test.ts"), true);
  assertEquals(found.includes("tests/root.ts"), false);
  assertEquals(testFiles([`${ROOT}/tests/root.ts`]), [`${ROOT}/tests/root.ts`]);
});

Deno.test("counts are read off the last line, seconds off a report", () => {
  const output = "\x1b[32mok\x1b[0m | 3 passed | 0 failed\n\x1b[32mok\x1b[0m | 8 passed (2 steps) | 1 failed | 4 ignored (1m45s)\n";
  assertEquals(counts(output), { passed: 8, failed: 1, skipped: 4 });
  assertEquals(counts("error: no"), { passed: 0, failed: 0, skipped: 0 });
  const report =
    '<testsuite name="./tests/a_test.ts" tests="2"><testcase name="x" time="1.250"></testcase><testcase name="y" time="0.5"/></testsuite>';
  assertEquals(secondsOf(report), { "tests/a_test.ts": 1.75 });
});
