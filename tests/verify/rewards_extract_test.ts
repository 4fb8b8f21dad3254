/** Tests where the final answer of a response is found. */
import { assert, assertEquals } from "@std/assert";
import { extractAnswer } from "../../verify/mod.ts";

const CASES: readonly (readonly [response: string, answer: string | undefined, source?: string])[] = [
  // Tags.
  ["<think>7?</think><answer>5</answer>", "5", "tag"],
  ["<answer>4</answer> No: <answer> 5 </answer>", "5", "tag"],
  ["<answer>\n5\n</answer>", "5", "tag"],
  ["<answer>5", "5", "tag"],
  ["<answer>The answer is $5$.</answer>", "5", "tag"],
  ["<answer>\\boxed{5}</answer>", "5", "tag"],
  ["<answer>5</answer> \\boxed{6}", "5", "tag"],
  // Boxes.
  ["So \\boxed{5}.", "5", "box"],
  ["\\boxed{4}, no, \\boxed{5}", "5", "box"],
  ["\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", "box"],
  ["\\boxed{\\{1, 2\\}}", "\\{1, 2\\}", "box"],
  ["\\boxed{\\text{(E) }}", "\\text{(E) }", "box"],
  ["\\fbox{5}", "5", "box"],
  ["$$\\boxed {5}$$", "5", "box"],
  ["\\boxed 5", "5", "box"],
  ["x = \\boxed{y = \\boxed{5}}", "5", "box"],
  ["\\boxed{5} and then \\boxed{\\frac{1}{", "5", "box"],
  ["The answer is 4. \\boxed{5}", "5", "box"],
  ["\\boxed{5} The answer is 4.", "5", "box"],
  ["<think>\\boxed{4}</think> \\boxed{5}", "5", "box"],
  ["<think>\\boxed{4}</think> The answer is 5.", "5", "phrase"],
  ["<think>\\boxed{5}</think>", "5", "box"],
  ["\\boxed{}. The answer is 5", "5", "phrase"],
  ["\\\\boxed{5}", "5", "box"],
  ["\\boxed 12", "12", "box"],
  ["\\boxed -3.5.", "-3.5", "box"],
  ["\\boxed B is it", "B", "box"],
  // The marks around an answer are removed, however it was found.
  ["<answer>**5**</answer>", "5", "tag"],
  ["<answer>`5`.</answer>", "5", "tag"],
  ["\\boxed{**5**}", "5", "box"],
  ["#### **5**", "5", "hash"],
  ["The answer is **5**.", "5", "phrase"],
  ["**The answer is 5.** Done.", "5", "phrase"],
  ["**5**", "5", "whole"],
  ["“5”", "5", "whole"],
  ["We add.\n**5**", "5", "last line"],
  ["So the sum is **5**.", "5", "statement"],
  ["We add.\nSo **the sum is 5**.", "5", "statement"],
  // A line of four hashes.
  ["2 + 3 = 5\n#### 5", "5", "hash"],
  ["#### 1,234\nDone.", "1,234", "hash"],
  // Phrases.
  ["The answer is 5.", "5", "phrase"],
  ["The answer is 3.5. It is so.", "3.5", "phrase"],
  ["The answer is: 5", "5", "phrase"],
  ["the final answer is $\\frac12$.", "\\frac12", "phrase"],
  ["The correct answer is (B) 45.", "(B) 45", "phrase"],
  ["Answer: 5", "5", "phrase"],
  ["**Answer:** 5", "5", "phrase"],
  ["**Answer**: 5", "5", "phrase"],
  ["ANSWER: 5", "5", "phrase"],
  ["Final Answer:\n\n5\n", "5", "phrase"],
  ["### Final Answer\n\n$$\n5\n$$\n", "5", "phrase"],
  ["The answer is:\n\\[ 5 \\]", "5", "phrase"],
  ["The answer should be 5", "5", "phrase"],
  ["The answer to the question is 5.", "5", "phrase"],
  ["The answer is therefore 5.", "5", "phrase"],
  ["The answer is 4. No, the answer is 5.", "5", "phrase"],
  ["The answer is 5 because 2 + 3 = 5.", "5", "phrase"],
  ["The answer is $5$, which is odd.", "5", "phrase"],
  ["The answer is $5$ cm.", "$5$ cm", "phrase"],
  ["The answer is (1, 2).", "(1, 2)", "phrase"],
  ["答案是5。", "5", "phrase"],
  ["There is no answer.", "There is no answer", "whole"],
  // Short responses.
  ["5", "5", "whole"],
  [" B. \n", "B", "whole"],
  ["We add.\n5", "5", "last line"],
  ["We add.\n$$x = 5$$", "$$x = 5$$", "last line"],
  // Statements.
  ["So the sum is 5.", "5", "statement"],
  ["Then $2 + 3 = 5$.", "5", "statement"],
  ["There are 5 triangles.", "There are 5 triangles", "whole"],
  ["We add them.\nSo the sum is 5.", "5", "statement"],
  ["We add them.\nThus $2 + 3 = 5$.", "5", "statement"],
  ["We add them.\nThere are 24 cm.", "24 cm", "statement"],
  ["We add them.\nThere are 5 triangles.", undefined],
  ["We add them.\nIt is the sum of 5 and 6.", undefined],
  ["I cannot tell.\nSorry.", undefined],
  ["", undefined],
  ["\n \n", undefined],
];

for (const [response, answer, source] of CASES) {
  Deno.test(`the answer in ${JSON.stringify(response)}`, () => {
    assertEquals(extractAnswer(response), answer === undefined ? undefined : { answer, source });
  });
}

Deno.test('"option is" names a choice only if `choices` is set', () => {
  const response = "Look.\nThe correct option is (B) since it fits.";
  assertEquals(extractAnswer(response), undefined);
  assertEquals(extractAnswer(response, { choices: true }), { answer: "(B)", source: "phrase" });
});

Deno.test("only the last million characters are searched", () => {
  const padding = "x".repeat(1_000_000);
  assertEquals(extractAnswer(`\\boxed{4}${padding}`), undefined);
  assertEquals(extractAnswer(`${padding}\\boxed{5}`)?.answer, "5");
});

Deno.test("hostile responses end in time", () => {
  const M = 1_000_000;
  const responses: Record<string, string> = {
    "open braces": "{".repeat(M),
    "closed braces": "}".repeat(10 * M),
    "open boxes": "\\boxed{".repeat(M / 5),
    "boxes in boxes": `${"\\boxed{".repeat(M / 5)}1${"}".repeat(M / 5)}`,
    "boxes and spaces": `\\boxed${" ".repeat(500)}`.repeat(10_000),
    "10 MB of a letter": "x".repeat(10 * M),
    "10 MB of sentences": "The answer is 5. ".repeat(600_000),
    "the word answer": "answer ".repeat(M),
    "half phrases": "answer of ".repeat(M),
    "spaces after answer": `answer${" ".repeat(50)}`.repeat(100_000),
    "tabs after a phrase": `The answer is ${"\t".repeat(10 * M)}`,
    "clauses": `The answer is ${"x,   ".repeat(2_500)}`,
    "blank lines": "\n".repeat(10 * M),
    "open tags": "<answer>".repeat(M),
    "tags": "<answer>1</answer>".repeat(300_000),
    "thoughts": "<think></think>".repeat(500_000),
    "hashes": "#### ".repeat(M),
    "backslashes": "\\".repeat(10 * M),
    "dollars": "$".repeat(10 * M),
    "full stops": ". ".repeat(5 * M),
    "lone surrogates": "\ud800".repeat(M),
  };
  for (const [name, response] of Object.entries(responses)) {
    const start = performance.now();
    extractAnswer(response, { choices: true });
    const taken = performance.now() - start;
    assert(taken <= 2_000, `${name}: ${taken} ms`);
  }
});
