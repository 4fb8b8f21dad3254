/** Grades answers as people and models write them, by kind. The answers are in tests/verify/rewards_answers_table.ts. */
import { assert, assertEquals } from "@std/assert";
import { gradeMath } from "../../verify/mod.ts";
import { type Case, KINDS } from "./rewards_answers_table.ts";

const grade = ([response, truth, options]: Case) => gradeMath({ response, truth, ...(options && { options }) }).score;

Deno.test("every kind has at least ten right and ten wrong answers, without repetition", () => {
  for (const [name, { right, wrong }] of Object.entries(KINDS)) {
    assert(right.length >= 10 && wrong.length >= 10, `${name}: ${right.length} right, ${wrong.length} wrong`);
    const all = [...right, ...wrong].map((one) => JSON.stringify(one));
    assertEquals(all.filter((one, i) => all.indexOf(one) < i), [], name);
  }
});

for (const [name, { right, wrong }] of Object.entries(KINDS)) {
  Deno.test(`${name}: ${right.length} right answers score 1`, () => assertEquals(right.filter((one) => grade(one) !== 1), []));
  Deno.test(`${name}: ${wrong.length} wrong answers score 0`, () => assertEquals(wrong.filter((one) => grade(one) !== 0), []));
}
