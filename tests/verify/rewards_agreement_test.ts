/** Compares the verifier with the official verdicts on 912 real answers to MATH-Vision questions. */
import { assert, assertEquals } from "@std/assert";
import { gradeMath } from "../../verify/mod.ts";
import { ROOT } from "../root.ts";

const GOLDEN = `${ROOT}/../shared/golden/verifier/mathvision_responses.jsonl`;

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const there = exists(GOLDEN), note = there ? "" : " (skipped: ../shared is not there)";

Deno.test({
  name: `98 % of verdicts on MATH-Vision answers equal the official ones, and docs/verifier.md lists the others${note}`,
  ignore: !there,
  fn() {
    const rows = Deno.readTextFileSync(GOLDEN).trim().split("\n").map((line) => JSON.parse(line));
    const others = rows.filter(({ response, answer, options, official_correct: official }) =>
      (gradeMath({ response, truth: answer, options }).score === 1) !== official
    );
    assertEquals(rows.length, 912);
    assert(others.length <= 0.02 * rows.length, `${others.length} disagree`);
    const listed = Deno.readTextFileSync(`${ROOT}/docs/verifier.md`);
    assertEquals(others.filter(({ model, id }) => !listed.includes(`| ${model} | ${id} |`)), [], "run bench/verifier.ts --write");
    assertEquals(
      listed.split("\n").filter((line) => /^\| \S+-CoT \| \d+ \|.* \| (?:right|wrong) \|/.test(line)).length,
      others.length,
      "run bench/verifier.ts --write",
    );
    assert(!listed.includes("not looked at"));
  },
});
