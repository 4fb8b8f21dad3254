/**
 * Tests every verifier except the comparison of mathematical answers: choices, texts, numbers, positions, format, length; also how they are
 * combined and named.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import {
  checkRewardValue,
  choiceOf,
  combine,
  gradeChoice,
  gradeExact,
  gradeFormat,
  gradeIou,
  gradeLength,
  gradeMath,
  gradeNumber,
  gradePoint,
  intersectionOverUnion,
  makeGrader,
  planReward,
  REWARD_NAMES,
  RewardShapeError,
  type RewardSpec,
} from "../../verify/mod.ts";

Deno.test("a letter names a choice, in every formatting", () => {
  const forms = [
    "B",
    "(B)",
    "B.",
    "B)",
    "B: 45",
    "(B) 45",
    "B. 45",
    "B) 12",
    "\\text{B}",
    "\\text{(B)}",
    "\\mathrm{B}",
    "**B**",
    "$B$",
    "option B",
    "(b)",
    "b",
  ];
  for (
    const form of [...forms, "\\textbf{(B)}", "The answer is B", "Option (B)", "[B]", "B, since 2 < 3", "(B) P and R", "B - the second"]
  ) {
    assertEquals(choiceOf(form, { count: 5 }), 1, form);
  }
});

Deno.test("a text that names no choice, several, or a missing one gives undefined", () => {
  for (const form of ["", "A or B", "A and B", "(A), (B)", "A, B", "A rectangle", "Blue", "F", "12", "AB", "B+C", "A.5"]) {
    assertEquals(choiceOf(form, { count: 5 }), undefined, form);
  }
});

const QUESTION = { truth: "B", options: ["$10^\\circ$", "$15^\\circ$", "20 cm", "1 and 2", "none of these"] };
const choose = (response: string, truth = "B") => gradeChoice({ response, ...QUESTION, truth }).score;

Deno.test("a choice is graded by its letter or by its text", () => {
  for (
    const right of [
      "B",
      "The answer is (B).",
      "\\boxed{B}",
      "\\boxed{\\text{(B)}}",
      "\\boxed{15^{\\circ}}",
      "<answer>B</answer>",
      "So it is clear.\nB",
    ]
  ) {
    assertEquals(choose(right), 1, right);
  }
  for (const right of ["The correct option is (B) because it fits.", "We see.\nHence the angle is shown in (B).", "B\nbecause 2 < 3"]) {
    assertEquals(choose(right), 1, right);
  }
  for (
    const wrong of [
      "C",
      "\\boxed{C}",
      "\\boxed{20}",
      "\\boxed{15}",
      "\\boxed{10^\\circ}",
      "A or B",
      "The answer is A or B.",
      "",
      "(A) (B) (C) (D) (E)",
      "F",
      "\\boxed{16^\\circ}",
    ]
  ) {
    assertEquals(choose(wrong), 0, wrong);
  }
  assertEquals(choose("\\boxed{2 and 1}", "D"), 1);
  assertEquals(choose("The answer is: None of these.", "E"), 1);
  assertEquals(choose("\\boxed{C}", "20 cm"), 1, "the truth as a text");
});

Deno.test('the unit of a choice may be omitted if `units` is "optional"', () => {
  assertEquals(gradeChoice({ response: "\\boxed{15}", ...QUESTION }, { units: "optional" }).score, 1);
});

Deno.test("letters take precedence over texts that are letters", () => {
  const options = ["B", "A", "D", "C"];
  assertEquals(gradeChoice({ response: "B", truth: "B", options }).score, 1);
  assertEquals(gradeChoice({ response: "A", truth: "B", options }).score, 0);
});

Deno.test("choices that differ only in order are distinguished", () => {
  const options = ["$3,5,4$", "$3,4,5$", "$4,5,3$"], dashes = ["5-4-3", "5-3-4", "4-3-5"];
  const grade = (response: string, all: readonly string[]) => gradeChoice({ response, truth: "B", options: all }).score;
  assertEquals(["\\boxed{3,5,4}", "\\boxed{3, 4, 5}", "\\boxed{5,4,3}", "The answer is 3,4,5."].map((r) => grade(r, options)), [
    0,
    1,
    0,
    1,
  ]);
  assertEquals(["\\boxed{5-4-3}", "\\boxed{5-3-4}", "\\boxed{-2}"].map((r) => grade(r, dashes)), [0, 1, 0]);
});

Deno.test("several right letters must all be named", () => {
  const grade = (response: string) => gradeChoice({ response, truth: "A,C", options: ["1", "2", "3"] }).score;
  assertEquals(["AC", "\\boxed{A, C}", "(C) and (A)", "A", "A, B", "ABC"].map(grade), [1, 1, 1, 0, 0, 0]);
});

Deno.test("a truth that is not a choice gives NaN", () => {
  assertEquals(gradeChoice({ response: "B", truth: "Z", options: ["1", "2"] }).score, NaN);
  assertEquals(gradeMath({ response: "\\boxed{5}", truth: " " }).score, NaN);
  assertEquals(gradeNumber({ response: "\\boxed{5}", truth: "five or so" }).score, NaN);
  assertEquals(gradeExact({ response: "\\boxed{5}", truth: "" }).score, NaN);
  assertEquals(gradeIou({ response: "[0, 0, 1, 1]", truth: "none" }).score, NaN);
  assertEquals(gradePoint({ response: "(0, 0)", truth: [1, 2, 3] }).score, NaN);
});

Deno.test("math: questions with options or a letter as truth are multiple choice; several truths", () => {
  assertEquals(gradeMath({ response: "The answer is (B).", truth: "B" }).score, 1);
  assertEquals(gradeMath({ response: "\\boxed{15^\\circ}", ...QUESTION }).score, 1);
  assertEquals(gradeMath({ response: "\\boxed{7}", truth: ["6", "7"] }).score, 1);
  assertEquals(gradeMath({ response: "\\boxed{7}", truth: 7 }).score, 1);
  assertEquals(gradeMath({ response: "\\boxed{(1, 2)}", truth: [1, 2] }).score, 1);
  assertEquals(gradeMath({ response: `\\boxed{${"1+".repeat(6_000)}1}`, truth: "6001" }).score, 0, "too long");
});

Deno.test("exact: white space, capitals, punctuation, Unicode forms", () => {
  const grade = (answer: string, truth: string, options = {}) =>
    gradeExact({ response: `<answer>${answer}</answer>`, truth }, options).score;
  assertEquals(grade("new\n york.", "New York"), 1);
  assertEquals(grade("ｎｅｗ York", "New York"), 1);
  assertEquals(grade("\\text{New York}", "new york"), 1);
  assertEquals(grade("New Yorker", "New York"), 0);
  assertEquals(grade("new york", "New York", { caseSensitive: true }), 0);
  assertEquals(grade("3.5", "35"), 0);
  assertEquals(grade("it's", "its", { punctuation: true }), 0);
  assertEquals(gradeExact({ response: "red green", truth: "Red, green!" }, { from: "response" }).score, 1);
});

Deno.test("number: tolerance, units, separators", () => {
  const grade = (answer: string, truth: string | number, options = {}) =>
    gradeNumber({ response: `Answer: ${answer}`, truth }, options).score;
  assertEquals(grade("1,234.5 kg", 1234.5), 1);
  assertEquals(grade("\\frac{1}{3}", 0.333333333), 1);
  assertEquals(grade("41.7", 42, { absolute: 0.3 }), 1);
  assertEquals(grade("41.6", 42, { absolute: 0.3 }), 0);
  assertEquals(grade("41", 42, { relative: 0.05 }), 1);
  assertEquals(grade("x = 42", 42), 1);
  assertEquals(grade("42%", "42 %"), 1);
  assertEquals(["forty", "42, 43", "2x", "\\pm 42", "i", "1:42", "NaN", "9^{9^{9^9}}"].map((answer) => grade(answer, 42)), [
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
  ]);
});

Deno.test("intersection over union, against counted cells", () => {
  const inside = (box: readonly number[], x: number, y: number) => x >= box[0]! && x < box[2]! && y >= box[1]! && y < box[3]!;
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  let state = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
  const seed = state,
    below = (n: number) => {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 >>> 0;
      return state % n;
    };
  for (let trial = 0; trial < 200; trial++) {
    const [a, b] = [0, 1].map(() => {
      const [x, y] = [below(12), below(12)];
      return [x, y, x + 1 + below(8), y + 1 + below(8)] as const;
    });
    let [both, either] = [0, 0];
    for (let x = 0; x < 20; x++) {
      for (let y = 0; y < 20; y++) {
        const [p, q] = [inside(a!, x, y), inside(b!, x, y)];
        if (p && q) both++;
        if (p || q) either++;
      }
    }
    const difference = Math.abs(intersectionOverUnion(a!, b!) - both / either);
    assert(difference < 1e-12, `seed ${seed}: ${a} ${b}`);
  }
  assertEquals(intersectionOverUnion([0, 0, 0, 0], [0, 0, 0, 0]), 0);
});

Deno.test("boxes are read in every notation", () => {
  const forms = [
    "<answer>[0, 0, 10, 5]</answer>",
    "\\boxed{(0, 0, 10, 5)}",
    '```json\n[{"bbox_2d": [0, 0, 10, 5], "label": "cat"}]\n```',
    '<answer>{"x1": 0, "y1": 0, "x2": 10, "y2": 5}</answer>',
    "<|box_start|>(0,0),(10,5)<|box_end|>",
    "The answer is [10, 5, 0, 0].",
    "[0.0, 0.0, 1e1, 5.0]",
    "I see it.\nIt is at [0, 0, 10, 5]",
  ];
  for (const response of forms) assertEquals(gradeIou({ response, truth: [0, 0, 10, 5] }).score, 1, response);
  for (const response of ["", "[1, 2, 3]", "[0, 0, 10, 5, 6]", "none", "[20, 20, 30, 30]", "[a, b, c, d]"]) {
    assertEquals(gradeIou({ response, truth: [0, 0, 10, 5] }).score, 0, response);
  }
  assertEquals(gradeIou({ response: "[0, 0, 10, 5]", truth: "[0, 0, 10, 10]" }, { threshold: 0.5 }).score, 1);
  assertEquals(gradeIou({ response: "[5, 5, 10, 10]", truth: [5, 5, 15, 15] }, { layout: "size" }).score < 1, true);
  assertEquals(gradeIou({ response: "[5, 5, 10, 10]", truth: [5, 5, 10, 10] }, { layout: "size" }).score, 1);
});

Deno.test("each of several boxes counts once, and missing and surplus ones count 0", () => {
  const truth = [[0, 0, 10, 10], [20, 20, 30, 30]];
  const grade = (boxes: readonly (readonly number[])[]) => gradeIou({ response: `<answer>${JSON.stringify(boxes)}</answer>`, truth }).score;
  assertEquals(grade([truth[1]!, truth[0]!]), 1);
  assertEquals(grade([truth[0]!]), 0.5);
  assertEquals(grade([truth[0]!, truth[0]!]), 0.5);
  assertEquals(grade([...truth, [1, 1, 2, 2], [3, 3, 4, 4]]), 0.5);
});

Deno.test("points: in a box, in one of several, by distance", () => {
  const grade = (response: string, truth: number[] | number[][], options = {}) => gradePoint({ response, truth }, options).score;
  assertEquals(grade("<answer>[5, 5]</answer>", [0, 0, 10, 10]), 1);
  assertEquals(grade("(10, 10)", [0, 0, 10, 10]), 1);
  assertEquals(grade("(10.5, 10)", [0, 0, 10, 10]), 0);
  assertEquals(grade("<point>(25, 25)</point>", [[0, 0, 10, 10], [20, 20, 30, 30]]), 1);
  assertEquals(grade("(3, 4)", [0, 0], { radius: 5 }), 1);
  assertEquals(grade("(3, 4)", [0, 0], { radius: 4, slack: 2 }), 0.5);
  assertEquals(grade("nowhere", [0, 0, 1, 1]), 0);
});

const FORMATS: Readonly<Record<string, { fits: readonly string[]; not: readonly string[] }>> = {
  think: {
    fits: [
      "<think>This is my reasoning.</think>This is my answer.",
      "<think>\nThis is my reasoning.\n</think>\nThis is my answer.",
      "<think>This is\nmy reasoning.</think>\nThis is my answer.",
    ],
    not: [
      "<think>\nThis is my reasoning.\nThis is my answer.",
      "This is my reasoning. This is my answer.",
      "This is my reasoning.</think>This is my answer.",
      "This is my reasoning.\n<think>This is my answer.",
      "<think>a<think>b</think>c",
      "<think>a</think>b</think>c",
      "<think>a</think>",
      "<thinking>a</thinking>b",
      "",
    ],
  },
  "think_answer": {
    fits: [
      "<think>a</think><answer>b</answer>",
      "<think>a\nb</think>\n\n<answer>c</answer>\n",
      "< think >a</ think> <answer >b</answer>",
      "<think></think><answer>b</answer>",
    ],
    not: [
      "<answer>b</answer>",
      "<think>a</think> b",
      "<think>a</think>x<answer>b</answer>",
      "<think>a</think><answer>b</answer>x",
      "<think>a</think><answer>b</answer><answer>c</answer>",
      "<think>a</think><answer> </answer>",
      "<answer>b</answer><think>a</think>",
      "x<think>a</think><answer>b</answer>",
    ],
  },
  "think_boxed": {
    fits: ["<think>a</think> \\boxed{b}", "<think>a</think>\nSo $\\boxed{\\frac{1}{2}}$. Done."],
    not: [
      "\\boxed{b}",
      "<think>\\boxed{b}</think>",
      "<think>a</think>\\boxed{",
      "<think>a</think>\\boxed{ }",
      "<think>a</think>b",
      "\\boxed{b}<think>a</think>",
    ],
  },
  boxed: { fits: ["\\boxed{b}", "so \\fbox{c}"], not: ["boxed{b}", "\\boxed{", "\\boxed{}", ""] },
  answer: {
    fits: ["<answer>b</answer>", "so <answer>b</answer>."],
    not: ["<answer>b", "<answer></answer>", "<answer>a</answer><answer>b</answer>", "</answer>b<answer>"],
  },
};
for (const [style, { fits, not }] of Object.entries(FORMATS)) {
  Deno.test(`format "${style}"`, () => {
    const grade = (response: string) => gradeFormat({ response, truth: "" }, { style: style as "think" }).score;
    for (const response of fits) assertEquals(grade(response), 1, response);
    for (const response of not) assertEquals(grade(response), 0, response);
  });
}

Deno.test("length: a window with slopes, in tokens or characters", () => {
  const grade = (tokens: number) => gradeLength({ response: "", truth: "", tokens }, { min: 20, max: 80, slack: 20 }).score;
  assertEquals([0, 10, 20, 50, 80, 90, 100, 1_000].map(grade), [0, 0.5, 1, 1, 1, 0.5, 0, 0]);
  assertEquals(gradeLength({ response: "abc", truth: "" }, { max: 2, unit: "characters" }).score, 0);
  assertThrows(() => gradeLength({ response: "abc", truth: "" }, { max: 2 }), TypeError, "the input has no `tokens`");
});

Deno.test("parts are summed by weight; a NaN part makes the sum NaN, unless its weight is 0", () => {
  const parts = [{ name: "accuracy", weight: 0.9 }, { name: "format", weight: 0.1 }];
  assertEquals(combine(parts, [{ score: 1, answer: "5" }, { score: 0 }]), { overall: 0.9, parts: { accuracy: 1, format: 0 }, answer: "5" });
  assertEquals(combine(parts, [{ score: NaN }, { score: 1 }]).overall, NaN);
  assertEquals(combine([{ name: "a", weight: 1 }, { name: "b", weight: 0 }], [{ score: 1 }, { score: NaN }]).overall, 1);
});

const BASE = "file:///run/config.json";

Deno.test("every named reward grades", async () => {
  const inputs: Record<string, unknown> = { iou: [0, 0, 1, 1], point: [0, 0, 1, 1], "multiple_choice": "B" };
  for (const name of REWARD_NAMES.filter((name) => name !== "http")) { // it needs a service: rewards_http_test.ts
    const grader = makeGrader(planReward(name, BASE), []);
    // deno-lint-ignore no-await-in-loop -- one after the other
    const outcome = await grader.grade({ response: "x", truth: (inputs[name] ?? "5") as string, tokens: 1 });
    assert("result" in outcome && Number.isFinite(outcome.result.overall), `${name}: ${JSON.stringify(outcome)}`);
  }
});

Deno.test("the presets weigh accuracy and format", async () => {
  const grade = async (name: string, response: string) => {
    const outcome = await makeGrader(planReward(name, BASE), []).grade({ response, truth: "5" });
    return "result" in outcome ? outcome.result : outcome;
  };
  assertEquals(await grade("r1v", "<think>a</think><answer>5</answer>"), { overall: 1, parts: { accuracy: 1, format: 1 }, answer: "5" });
  assertEquals((await grade("r1v", "<answer>5</answer>") as { overall: number }).overall, 0.5);
  assertEquals((await grade("math_format", "<think>a</think>\\boxed{6}") as { overall: number }).overall, 0.1);
});

Deno.test("errors name the wrong field of a configuration", () => {
  const wrong: readonly (readonly [RewardSpec, string])[] = [
    ["maths", 'unknown reward "maths"; the known ones are math'],
    ["", "`reward`"],
    ["constructor", 'unknown reward "constructor"'],
    [{ use: "number", options: { absolute: -1 } }, 'options of "number"'],
    [{ use: "number", options: { tolerance: 1 } }, "tolerance"],
    [{ use: "iou", options: { threshold: 2 } }, "threshold"],
    [{ use: "format", options: { style: "json" } }, "style"],
    [{ use: "r1v", options: {} }, '"r1v" accepts no options'],
    [{ parts: {} }, "name at least one part"],
    [{ parts: { overall: { use: "math" } } }, 'a part cannot be named "overall"'],
    [{ parts: { accuracy: { use: "r1v" } } }, 'unknown reward "r1v"'],
    [{ parts: { accuracy: { use: "math", wieght: 1 } } } as unknown as RewardSpec, "reward"],
    [5 as unknown as RewardSpec, "reward"],
  ];
  for (const [spec, words] of wrong) {
    const error = assertThrows(() => planReward(spec, BASE), RangeError);
    assertStringIncludes(error.message, "Cannot read `reward`: ");
    assertStringIncludes(error.message, words);
  }
});

Deno.test("module paths are relative to the configuration's folder", () => {
  assertEquals(planReward("./a.ts", BASE), { modules: ["file:///run/a.ts"], options: {} });
  assertEquals(planReward({ use: "../b.ts", options: { x: 1 } }, BASE), { modules: ["file:///b.ts"], options: { x: 1 } });
  assertEquals(planReward("https://example.com/c.ts", BASE).modules, ["https://example.com/c.ts"]);
  const shared = planReward({ parts: { a: { use: "/d.ts" }, b: { use: "/d.ts", weight: 2 } } }, BASE);
  assertEquals(shared.modules, ["file:///d.ts"]);
  assertEquals(shared.parts!.map(({ module, weight }) => [module, weight]), [[0, 1], [0, 2]]);
});

Deno.test("a module's functions are found and their values checked", async () => {
  assertEquals(checkRewardValue(0.5, "m"), { overall: 0.5, parts: {} });
  assertEquals(checkRewardValue({ overall: NaN, a: 1 }, "m"), { overall: NaN, parts: { a: 1 } });
  for (
    const value of [
      undefined,
      null,
      "1",
      true,
      Infinity,
      {},
      { overall: "1" },
      { overall: 1, a: -Infinity },
      { overall: 1, a: {} },
      [1],
      () => 1,
    ]
  ) {
    assertThrows(() => checkRewardValue(value, "m"), RewardShapeError, "Cannot use what m returned");
  }
  const plan = { modules: ["m"], options: { k: 2 } };
  const grade = (module: Record<string, unknown>) => makeGrader(plan, [module]).grade({ response: "r", truth: "t" });
  assertEquals(await grade({ default: () => 1 }), { result: { overall: 1, parts: {} } });
  assertEquals(await grade({ default: () => 1, reward: (_: unknown, { k }: { k: number }) => Promise.resolve(k) }), {
    result: { overall: 2, parts: {} },
  });
  assertEquals(await grade({ reward: () => 1, batch: (all: unknown[]) => all.map(() => 3) }), { result: { overall: 3, parts: {} } });
  assertEquals((await grade({ default: () => "x" }) as { failure: string }).failure, "shape");
  assertEquals(await grade({ default: () => Promise.reject(new Error("no")) }), { failure: "threw", message: "Error: no" });
  assertThrows(() => makeGrader(plan, [{ batch: 1 } as never]), TypeError, "exports no function");
  await assertRejects(() => makeGrader(plan, [{ batch: () => [1] }]).gradeBatch([]), RewardShapeError, "gave 1 values for 0 samples");
});
