/**
 * Runs the verifiers on the public tests of other trainers, which are named at each test. Only the strings and verdicts are theirs
 * (Apache-2.0). A right answer scores 1 here and a wrong one 0, whatever scores they use.
 */
import { assert, assertEquals } from "@std/assert";
import { boxedAnswer } from "../../verify/answer/extract.ts";
import { gradeChoice, gradeFormat, gradeMath, mathEqual } from "../../verify/mod.ts";

const score = (response: string, truth: string | number) => gradeMath({ response, truth }).score;
const equal = (a: string, b: string) => mathEqual({ truth: a, answer: b }) && mathEqual({ truth: b, answer: a });

// slime, tests/test_rm_math.py: [as written, normal form]; then pairs.
const MATH_FORMS = [
  ["\\frac12", "\\frac{1}{2}"],
  ["\\tfrac{1}{2}", "\\frac{1}{2}"],
  ["\\left(1\\right)", "(1)"],
  ["45^{\\circ}", "45"],
  ["45^\\circ", "45"],
  [".7", "0.7"],
  ["0.5", "\\frac{1}{2}"],
  [".5", "\\frac{1}{2}"],
  ["3/4", "\\frac{3}{4}"],
  ["1 + 1", "1+1"],
  ["\\text{42}", "42"],
  ["\\frac{1}{2}", "0.5"],
  ["x+1", "1+x"],
] as const;
// slime, tests/test_rm_math_dapo.py, with whole numbers as labels in other notations. Left out: "a b c" equals "bc" there, because articles
// and spaces are removed; here words keep their spaces. Also left out: end marks such as "<|im_end|>", which the tokenizer removes here.
const DAPO_FORMS = [
  ["x = 42", "42"],
  ["an answer", "answer"],
  ["42 square", "42"],
  ["100 dollars", "100"],
  ["\\text{hello}", "hello"],
  ["\\boxed{42}", "42"],
  ["1,234,567", "1234567"],
  ["42", "42.0"],
  ["42", "4.2e1"],
  ["9007199254740993", "9007199254740993"],
] as const;

for (const [file, forms] of [["test_rm_math", MATH_FORMS], ["test_rm_math_dapo", DAPO_FORMS]] as const) {
  Deno.test(`slime's ${file}: a text and its normal form are equal in both directions`, () => {
    assertEquals(forms.filter(([written, normal]) => !equal(written, normal)), []);
  });
}

Deno.test("slime's test_rm_math and test_rm_math_dapo: numbers that differ are rejected, also beyond 2^53", () => {
  assertEquals([equal("42", "43"), equal("9007199254740993", "9007199254740992")], [false, false]);
});

// slime's symbolic comparison rejects 2/4 if the truth is 1/2; here fractions are numbers (docs/verifier.md).
Deno.test("a fraction that is not reduced is right, unlike in slime", () => {
  assert(equal("\\frac{2}{4}", "\\frac{1}{2}"));
});

Deno.test("slime's boxes: the last closed \\boxed or \\fbox counts", () => {
  const boxes = [
    ["first attempt \\boxed{wrong}, final \\boxed{42}", "42"],
    ["\\boxed{first}, then \\boxed{42}", "42"],
    ["answer: \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"],
    ["\\boxed{x+1}", "x+1"],
    ["Solution: \\boxed{42}", "42"],
    ["answer: \\fbox{7}", "7"],
    ["plain text, no box", undefined],
    ["not boxed at all", undefined],
    ["start \\boxed{never closes", undefined],
  ] as const;
  for (const [response, box] of boxes) assertEquals(boxedAnswer(response), box, response);
});

Deno.test("slime's test_rm_math and test_rm_math_dapo: whole responses", () => {
  const right = [
    ["answer: \\boxed{42}", "\\boxed{42}"],
    ["answer: \\fbox{42}", "\\fbox{42}"],
    ["long preamble … \\boxed{42}", "42"],
    ["Long solution. Answer: 42", "42"],
    ["Answer: 42", "42.0"],
    ["Answer: 42", "4.2e1"],
    ["Answer: 9007199254740993", "9007199254740993"],
    ["Answer: 41 was a wrong guess.\nAnswer: 42", "42"],
  ] as const;
  const wrong = [["just 42", "42"], ["\\boxed{43}", "42"], ["plain 42", "42"], ["just a number 42", "42"]] as const;
  for (const [response, truth] of right) assertEquals(score(response, truth), 1, response);
  for (const [response, truth] of wrong) assertEquals(score(response, truth), 0, response);
});

// slime's dapo reads only the last 300 characters; here a box counts anywhere.
Deno.test("a box before 420 characters of filler is found, unlike in slime", () => {
  assertEquals(score(`\\boxed{42}${" filler".repeat(60)}`, "42"), 1);
});

// slime, tests/test_rm_deepscaler.py.
Deno.test("slime's test_rm_deepscaler: the text after the thought is graded", () => {
  const right = [
    ["Let me reconsider. \\boxed{99}</think>Final: \\boxed{42}", "42"],
    ["Scratch work \\boxed{wrong}###Response\\boxed{42}", "42"],
    ["Reasoning</think>Final: \\fbox{42}", "42"],
    ["</think>\\boxed{42}", 42],
    ["</think>\\boxed{42}", "\\boxed{42}"],
    ["</think>\\fbox{42}", "\\fbox{42}"],
    ["</think>\\boxed{\\frac{1}{2}}", "0.5"],
  ] as const;
  for (const [response, truth] of right) assertEquals(score(response, truth), 1, response);
  assertEquals(score("plain</think>no box here", "42"), 0);
  assertEquals(score("</think>\\boxed{43}", "42"), 0);
});

// slime gives 0 for an empty label and for a response that never closes a thought. Here an empty truth gives NaN, and only the format
// reward requires a thought.
Deno.test("an empty truth gives NaN, and a box without a thought is right, unlike in slime", () => {
  assertEquals(score("</think>\\boxed{42}", ""), NaN);
  assertEquals(score("\\boxed{42}", ""), NaN);
  assertEquals(score("\\boxed{42}", "42"), 1);
});

// TRL, tests/test_rewards.py.
Deno.test("TRL's think format: 5 responses with it, 9 without", () => {
  const fits = [
    "<think>This is my reasoning.</think>This is my answer.",
    "<think>\nThis is my reasoning.\n</think>\nThis is my answer.",
    "<think>\nThis is\nmy reasoning.\n</think>\nThis is my answer.",
    "<think>\nThis is <some tag> my reasoning.</think>\nThis is my answer.",
    "<think></think>\nThis is my answer.",
  ];
  const not = [
    "<think>\nThis is my reasoning.\nThis is my answer.",
    "<think>This is my reasoning.\nThis is my answer.",
    "This is my reasoning. This is my answer.",
    "This is my reasoning.\nThis is my answer.",
    "This is my reasoning.</think>\nThis is my answer.",
    "This is my reasoning.</think>This is my answer.",
    "This<think>is my reasoning.</think>\nThis is my answer.",
    "<think>This is<think>my reasoning.</think></think>This is my answer.",
    "<think>This is</think>\nmy\n<think>reasoning.</think>\nThis is my answer.",
  ];
  const grade = (response: string) => gradeFormat({ response, truth: "" }, { style: "think" }).score;
  for (const response of fits) assertEquals(grade(response), 1, response);
  for (const response of not) assertEquals(grade(response), 0, response);
});

Deno.test("TRL's accuracy pairs, with and without a thought before the answer", () => {
  const fraction = "\\frac{63}{400}";
  const right = [
    [`\\boxed{${fraction}}`, fraction],
    [`\\boxed{${fraction}}`, "63/400"],
    ["\\boxed{\\frac{1}{3}}", "\\frac{1}{3}"],
    [`<think> Reasoning content </think> \\boxed{${fraction}}`, fraction],
    [`Reasoning content </think> \\boxed{${fraction}}`, fraction],
    [`<REASONING_START> Reasoning content </REASONING_END> \\boxed{${fraction}}`, fraction],
  ] as const;
  const wrong = [
    ["\\boxed{\\frac{64}{400}}", fraction],
    ["\\boxed{3}", "6"],
    ["\\boxed{\\frac{1}{2}}", "\\frac{1}{3}"],
    ["<think> Reasoning content </think> \\boxed{\\frac{64}{400}}", fraction],
    ["<think> My answer is \\boxed{42} </think> Some other text.", "\\boxed{42}"],
    ["<think> The answer is \\boxed{42} </think> Here's a wrong answer: \\boxed{43}.", "\\boxed{42}"],
    ["<think> Incomplete reasoning without closing tag", fraction],
    ["Correct answer \\frac{63}{400} but completely missing reasoning content", fraction],
  ] as const;
  for (const [response, truth] of right) assertEquals(score(response, truth), 1, response);
  for (const [response, truth] of wrong) assertEquals(score(response, truth), 0, response);
});

// TRL skips samples whose truth is prose; here words are compared with words.
Deno.test("truths in words are graded, unlike in TRL", () => {
  assertEquals(score("Answer is forty two.", "Answer is forty two."), 1);
  assertEquals(score("Some other content. \\boxed{43}.", "Answer is forty three."), 0);
});

// slime, tests/test_rm_gpqa.py. Left out: "A is correct here", "E is the correct option", and the text of a choice within a sentence
// ("Definitely paris."), which docs/verifier.md does not read. The truth "capital of france" for the choice "Capital of France" is
// included.
Deno.test("slime's test_rm_gpqa: letters and texts of choices", () => {
  const choose = (response: string, truth: string, options: string[] = []) => gradeChoice({ response, truth, options }).score;
  const right = [
    ["The answer is B.", "B"],
    ["Answer: C", "C"],
    ["My choice is D", "D"],
    ["Final answer: B", "B"],
    ["the final option is C", "C"],
    ["we ruled out A, then B, settled on C", "C"],
    ["Let me think… Answer: A is wrong.</think>The answer is B.", "B"],
    ["The answer is C.", "C"],
  ] as const;
  for (const [response, truth] of right) assertEquals(choose(response, truth), 1, response);
  assertEquals(["no idea, sorry", "", "random text"].map((response) => choose(response, "A")), [0, 0, 0]);
  assertEquals(choose("The answer is C.", "D"), 0);
  assertEquals(choose("Answer: C", "gamma", ["alpha", "beta", "gamma", "delta"]), 1);
  assertEquals(choose("Answer: B", "second", ["first", "second", "third"]), 1);
  assertEquals(choose("I think the answer is B.", "capital of france", ["London", "Capital of France", "Berlin"]), 1);
  assertEquals(choose("Answer: C, but actually A was right, no wait B.", "B", ["one", "two"]), 1);
});

Deno.test("slime's test_rm_gpqa: letters within words and digits within numbers name no choice", () => {
  const options = ["first", "second", "third", "fourth"];
  const refusals = [
    "I'm sorry, but I can't help with that.",
    "I cannot answer this question because it is ambiguous.",
    "No comment.",
    "compare them with each of the candidate values one by one, starting with the smallest, which is",
  ];
  for (const truth of ["A", "B", "C", "D"]) {
    for (const response of refusals) assertEquals(gradeChoice({ response, truth, options }).score, 0, `${truth}: ${response}`);
  }
  for (const response of ["I looked at 2011 and gave up", "the count is 111"]) {
    assertEquals(gradeChoice({ response, truth: "B", options: ["3", "11", "7", "9"] }).score, 0, response);
  }
});
