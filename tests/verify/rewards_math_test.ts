/** Tests which answers are equal: the table, its symmetry, tolerances, hostile input. */
import { assert, assertEquals } from "@std/assert";
import { mathEqual, MathTruth } from "../../verify/mod.ts";
import { ACCEPTED, REJECTED } from "./rewards_math_table.ts";

Deno.test("the table has 200 pairs of either kind, without repetition", () => {
  for (const table of [ACCEPTED, REJECTED]) {
    const distinct = new Set(table.map((pair) => pair.join("\u0000")));
    assertEquals(distinct.size, table.length);
    assert(table.length >= 200, `${table.length}`);
  }
});

Deno.test("answers that equal the truth are accepted", () => {
  assertEquals(ACCEPTED.filter(([truth, answer]) => !mathEqual({ truth, answer })), []);
});

Deno.test("answers that differ from the truth are rejected", () => {
  assertEquals(REJECTED.filter(([truth, answer]) => mathEqual({ truth, answer })), []);
});

Deno.test("every answer of the table equals itself, and also as a formula", () => {
  const all = [...ACCEPTED, ...REJECTED].flat().filter((text) => /\w/.test(text));
  assertEquals(all.filter((text) => !mathEqual({ truth: text, answer: text })), []);
  assertEquals(all.filter((text) => !text.includes("$") && !mathEqual({ truth: text, answer: `\\( ${text} \\)` })), []);
});

Deno.test("a rejected pair is also rejected in reverse", () => {
  assertEquals(REJECTED.filter(([truth, answer]) => mathEqual({ truth: answer, answer: truth })), []);
});

Deno.test("decimals are compared with the relative tolerance", () => {
  assertEquals(mathEqual({ truth: "4.8", answer: "4.8000001" }), true);
  assertEquals(mathEqual({ truth: "4.8", answer: "4.80001" }), false);
  assertEquals(mathEqual({ truth: "4.8", answer: "4.81" }, { relative: 0.01 }), true);
  assertEquals(mathEqual({ truth: "48", answer: "49" }, { relative: 0.1 }), false, "whole numbers are exact");
});

Deno.test("rounded decimals are accepted with three digits, two of them decimals, and only if correctly rounded", () => {
  const accepts = (answer: string, rounded = true) => mathEqual({ truth: "\\frac{20}{3}", answer }, { rounded });
  assertEquals(["6.67", "6.667", "6.6667", "6.66667"].map((a) => accepts(a)), [true, true, true, true]);
  assertEquals(["6.7", "6.66", "6.668", "7"].map((a) => accepts(a)), [false, false, false, false]);
  assertEquals(accepts("6.67", false), false);
  assertEquals(mathEqual({ truth: "6.67", answer: "\\frac{20}{3}" }), true);
  assertEquals(mathEqual({ truth: "6.67", answer: "6.6667" }), true);
  assertEquals(mathEqual({ truth: "6.6667", answer: "6.67" }), false, "fewer digits than the truth");
});

Deno.test("required units: an answer must have the truth's unit", () => {
  const truth = new MathTruth("9 litres", { units: "required" });
  assertEquals(["9 litres", "9 \\text{ L}", "9000 ml", "9", "9 m"].map((answer) => truth.matches(answer)), [
    true,
    true,
    true,
    false,
    false,
  ]);
  const angle = new MathTruth("60^\\circ", { units: "required" });
  assertEquals(["60°", "60 degrees", "60", "\\frac{\\pi}{3}"].map((answer) => angle.matches(answer)), [true, true, false, true]);
});

Deno.test("digits lost to rounding do not decide", () => {
  // Rounding alone makes each difference 0 or 1.
  assertEquals(mathEqual({ truth: "1", answer: "10^{30}\\sqrt{2} - 10^{30}\\sqrt{2}" }), false);
  assertEquals(mathEqual({ truth: "2", answer: "10^{30}\\sqrt{2} - 10^{30}\\sqrt{2} + 2" }), false);
  assertEquals(mathEqual({ truth: "0", answer: "\\sin \\pi" }), true);
  assertEquals(mathEqual({ truth: "0", answer: "\\sqrt{8} - 2\\sqrt{2}" }), true);
  assertEquals(mathEqual({ truth: "0", answer: "10^{-20}" }), false);
  assertEquals(mathEqual({ truth: "10^{-15}\\sqrt{2}", answer: "2\\cdot 10^{-15}\\sqrt{2}" }), false);
});

Deno.test("verdicts are reproducible", () => {
  for (const [truth, answer] of ACCEPTED) assertEquals(mathEqual({ truth, answer }), mathEqual({ truth, answer }), `${truth} ${answer}`);
});

Deno.test("hostile answers end in time and match nothing", () => {
  const inside: Record<string, string> = {
    "a tower of powers": "9^{9^{9^9}}",
    "towers and factorials": "9^9^9^9^9^9^9!!",
    "9,900 digits": "9".repeat(9_900),
    "a million digits": "9".repeat(1_000_000),
    "a huge exponent": "1e999999999",
    "nested factorials": "(((200!)!)!)!",
    "a product of factorials": `${"170!*".repeat(190)}1`,
    "deep fractions": `${"\\frac{1}{1+".repeat(400)}2${"}".repeat(400)}`,
    "deep brackets": `${"(".repeat(4_900)}1${")".repeat(4_900)}`,
    "deep braces": `${"{".repeat(1_000_000)}${"}".repeat(1_000_000)}`,
    "roots of roots": `${"\\sqrt".repeat(1_900)}2`,
    "minus signs": `${"-".repeat(9_001)}5`,
    "percent signs": `5${"\\%".repeat(900)}`,
    "a long list": `${"1,".repeat(4_900)}1`,
    "a long unordered list": Array.from({ length: 40 }, (_, i) => `\\sqrt{${i}+x}`).join(","),
    "a long matrix": `\\begin{pmatrix}${"1&2\\\\".repeat(300)}\\end{pmatrix}`,
    "plus-minuses": "\\pm 1".repeat(300),
    "separators of thousands": "1,234".repeat(190),
    "superscripts": `x${"²".repeat(9_000)}`,
    "roots in Unicode": "√".repeat(9_000),
    "ones": "1 ".repeat(4_900),
    "backslashes": "\\".repeat(9_900),
  };
  for (const [name, answer] of Object.entries(inside)) {
    for (const truth of ["5", "\\sqrt{2}", "\\{1,2\\}", "x+1", "x < 3"]) {
      const start = performance.now();
      assertEquals(mathEqual({ truth, answer }), false, `${name}, ${truth}`);
      const taken = performance.now() - start;
      assert(taken <= 500, `${name}, ${truth}: ${taken} ms`);
    }
  }
});
