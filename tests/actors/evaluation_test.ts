import { assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { evaluate, type Generate, gradeAnswers, messagesText, questionOf } from "../../actors/evaluator/evaluate.ts";
import { type EvaluationRecord, majorityAccuracy, passAtK, statistics } from "../../actors/evaluator/statistics.ts";
import { statisticsTable } from "../../cli/eval/table.ts";
import type { RewardInput } from "../../verify/mod.ts";
import { Random } from "../../tensor/random.ts";

/** Makes records of problems from the accuracies of their answers. */
function recordsOf(
  problems: readonly (readonly number[])[],
  fields: (problem: number) => Record<string, unknown> = () => ({}),
): EvaluationRecord[] {
  return problems.flatMap((accuracies, p) =>
    accuracies.map((accuracy, sample) => ({
      id: `p${p}`,
      sample,
      accuracy,
      reward: 2 * accuracy,
      answer: `${accuracy}`,
      fields: fields(p),
    }))
  );
}

/** Counts the subsets of k of n answers that contain one of the first c, and returns their share. */
function passAtKByCounting({ n, c, k }: { n: number; c: number; k: number }): number {
  let subsets = 0, passing = 0;
  for (let set = 0; set < 2 ** n; set++) {
    const members = Array.from({ length: n }, (_, i) => i).filter((i) => (set >> i) & 1);
    if (members.length !== k) continue;
    subsets++;
    if (members.some((i) => i < c)) passing++;
  }
  return passing / subsets;
}

Deno.test("pass@k is the fraction of subsets of k answers with at least one that passes", () => {
  for (let n = 1; n <= 9; n++) {
    for (let c = 0; c <= n; c++) {
      for (let k = 1; k <= n; k++) assertAlmostEquals(passAtK({ n, c, k }), passAtKByCounting({ n, c, k }), 1e-12, `${n} ${c} ${k}`);
    }
  }
  assertThrows(() => passAtK({ n: 4, c: 1, k: 5 }), RangeError, "pass@5 from 4");
  assertThrows(() => passAtK({ n: 4, c: 5, k: 1 }), RangeError, "5 of 4");
  assertEquals(passAtK({ n: 100_000, c: 1, k: 100_000 }), 1);
});

Deno.test("the most frequent answer counts, the first one of several; answers without text do not vote", () => {
  const of = (...answers: [string | undefined, number][]) => majorityAccuracy(answers.map(([answer, accuracy]) => ({ answer, accuracy })));
  assertEquals(of(["2", 1], ["3", 0], [" 3 ", 0]), 0);
  assertEquals(of(["2", 1], ["3", 0]), 1);
  assertEquals(of(["3", 0], ["2", 1]), 0);
  assertEquals(of([undefined, 0], [undefined, 0], [" ", 0], ["2", 1]), 1);
  assertEquals(of([undefined, 0.25], ["", 1]), 0.25);
});

Deno.test("statistics by hand: two problems, four answers each", () => {
  const { overall, groups } = statistics(recordsOf([[1, 0, 0, 1], [0, 0, 0, 1]]), { k: [1, 2] });
  assertEquals([overall.problems, overall.ungraded, overall.n, overall.reward], [2, 0, 4, 0.75]);
  const values = Object.entries(overall.estimates).map(([name, { value }]) => [name, value] as const);
  assertEquals(values.map(([name]) => name), ["accuracy", "avg@4", "pass@1", "pass@2", "maj@4"]);
  const expected = [0.5, 0.375, 0.375, (5 / 6 + 3 / 6) / 2, 0.5];
  values.forEach(([name, value], i) => assertAlmostEquals(value, expected[i]!, 1e-12, name));
  assertEquals(groups, []);
});

Deno.test("the interval of accuracy is Wilson's: 8 of 10", () => {
  const { overall } = statistics(recordsOf(Array.from({ length: 10 }, (_, p) => [p < 8 ? 1 : 0])));
  const { low, high, method } = overall.estimates["accuracy"]!;
  assertEquals(method, "wilson");
  assertAlmostEquals(low, 0.49016, 1e-4); // Newcombe, Statistics in Medicine 1998, gives the formula
  assertAlmostEquals(high, 0.94331, 1e-4);
});

Deno.test("the bootstrap draws problems: its interval is the normal one of their means, and the same for the same seed", () => {
  const random = new Random(11);
  const problems = Array.from({ length: 400 }, () => {
    const easy = random.next();
    return Array.from({ length: 4 }, () => random.next() < easy ? 1 : 0);
  });
  const records = recordsOf(problems), means = problems.map((answers) => answers.reduce<number>((a, b) => a + b, 0) / 4);
  const mean = means.reduce((a, b) => a + b, 0) / 400,
    deviation = Math.sqrt(means.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 400 / 400);
  const first = statistics(records, { seed: 3 }).overall.estimates["avg@4"]!;
  assertEquals(first.method, "bootstrap over problems");
  assertAlmostEquals(first.low, mean - 1.96 * deviation, 0.15 * deviation);
  assertAlmostEquals(first.high, mean + 1.96 * deviation, 0.15 * deviation);
  assertEquals(statistics(records, { seed: 3 }).overall.estimates["avg@4"], first);
  assertEquals(statistics(records, { seed: 4 }).overall.estimates["avg@4"]!.low === first.low, false);
});

Deno.test("the interval is not empty if all problems have the same value", () => {
  const { low, high, method } = statistics(recordsOf([[1, 1], [1, 1], [1, 1]])).overall.estimates["avg@2"]!;
  assertEquals([method, high], ["wilson over problems", 1]);
  assertAlmostEquals(low, 3 / (3 + 1.959964 ** 2), 1e-6);
});

Deno.test("groups are combinations of column values, in order, and cover all problems", () => {
  const fields = (p: number) => ({ subject: p % 2 ? "b" : "a", level: [10, 9, 9, 9][p], tags: ["x"] });
  const records = recordsOf([[1], [0], [1], [1]], fields);
  const { groups } = statistics(records, { by: ["subject", "level"] });
  assertEquals(groups.map(({ group, problems, estimates }) => [group.subject, group.level, problems, estimates["accuracy"]!.value]), [
    ["a", 9, 1, 1],
    ["a", 10, 1, 1],
    ["b", 9, 2, 0.5],
  ]);
  assertEquals(statistics(records, { by: ["tags"] }).groups.map(({ group }) => group), [{ tags: '["x"]' }]);
  assertThrows(
    () => statistics(records, { by: ["topic"] }),
    RangeError,
    'no record has a column "topic"; the columns are subject, level, tags',
  );
});

Deno.test("a problem with an answer of accuracy NaN is left out and counted", () => {
  const { overall, groups } = statistics(recordsOf([[1, NaN], [1, 0]], (p) => ({ p })), { by: ["p"] });
  assertEquals([overall.problems, overall.ungraded, overall.reward, overall.estimates["avg@2"]!.value], [1, 1, 1, 0.5]);
  assertEquals([groups[0]!.problems, groups[0]!.estimates], [0, {}]);
  const table = statisticsTable({ overall, groups }, ["p"]).split("\n");
  assertEquals(table[2]!.split(/\s{2,}/), ["0", "0", "1", "-", "-", "-", "-"]);
});

Deno.test("records in any order give the same; uneven and no records are refused", () => {
  const records = recordsOf([[0, 1, 1], [1, 0, 0]]), options = { k: [2] };
  const values = (all: readonly EvaluationRecord[]) => Object.values(statistics(all, options).overall.estimates).map(({ value }) => value);
  assertEquals(values(records.toReversed()), values(records));
  assertThrows(() => statistics(records.slice(1)), RangeError, "problem p1 has 3 answers, the first 2");
  assertThrows(() => statistics([]), RangeError, "no records");
});

/** A pool of graders: an answer is right if the response equals the truth. */
const pool = {
  grade: (inputs: readonly RewardInput[]) =>
    Promise.resolve(inputs.map(({ response, truth }) => {
      const accuracy = response === truth ? 1 : 0;
      return { overall: accuracy / 2, parts: { accuracy } };
    })),
};

Deno.test("evaluate asks in batches, with the ids as keys, and keeps prompt, response and truth", async () => {
  const calls: (readonly string[])[] = [], told: number[] = [];
  const generate: Generate<number> = (prompts, { keys, n, temperature, topP, maxTokens, seed }) => {
    calls.push(keys);
    assertEquals([n, temperature, topP, maxTokens, seed], [2, 1, 0.9, 7, 5]);
    return Promise.resolve(prompts.map((x) => [0, 1].map((add) => ({ text: `${x + add}`, tokens: 1, finish: "stop" as const }))));
  };
  const sample = {
    messages: [{
      role: "user" as const,
      content: [{ type: "image" as const, image: new Uint8Array() }, { type: "text" as const, text: "How many?" }],
    }],
  };
  const questions = ["a", "b", "c"].map((id, i) => questionOf({ ...sample, id, truth: `${i}`, fields: { level: i } }, i === 2 ? 1 : i));
  const found = await evaluate({
    questions,
    generate,
    pool,
    n: 2,
    topP: 0.9,
    maxTokens: 7,
    seed: 5,
    batch: 2,
    k: [1, 2],
    onBatch: (p) => told.push(p.length),
  });
  assertEquals([calls, told], [[["a", "b"], ["c"]], [4, 2]]);
  assertEquals(found.predictions[5], {
    id: "c",
    sample: 1,
    prompt: "<image>How many?",
    response: "2",
    answer: "2",
    truth: "2",
    accuracy: 1,
    reward: 0.5,
    fields: { level: 2 },
    finish: "stop",
    tokens: 1,
  });
  assertEquals(Object.values(found.overall.estimates).map(({ value }) => value), [2 / 3, 0.5, 0.5, 1, 2 / 3]);
});

Deno.test("evaluate refuses invalid options before it generates", async () => {
  const generate: Generate<number> = () => Promise.reject(new Error("asked"));
  const questions = [{ id: "a", prompt: 1, input: { truth: "1" } }, { id: "a", prompt: 2, input: { truth: "1" } }];
  await assertRejects(() => evaluate({ questions, generate, pool, n: 2, temperature: 0 }), RangeError, "all 2 answers would be the same");
  await assertRejects(() => evaluate({ questions, generate, pool, n: 2, k: [4] }), RangeError, "pass@4");
  await assertRejects(() => evaluate({ questions, generate, pool, by: ["level"] }), RangeError, 'no record has a column "level"');
  await assertRejects(() => evaluate({ questions, generate, pool }), RangeError, "a comes twice");
  await assertRejects(() => evaluate({ questions: [], generate, pool }), RangeError, "no records");
  await assertRejects(() => gradeAnswers(pool, { questions, answers: [] }), RangeError, "0 lists of answers to 2 questions");
});

Deno.test("without an accuracy part, accuracy is the reward clamped to [0, 1]; NaN stays", async () => {
  const rewards = [-2, 0.5, 3, NaN], own = { grade: () => Promise.resolve(rewards.map((overall) => ({ overall, parts: {} }))) };
  const answers = [rewards.map(() => ({ text: "The answer is 7.", tokens: 5, finish: "aborted" as const }))];
  const graded = await gradeAnswers(own, { questions: [{ id: "a", prompt: 1, input: { truth: "7" } }], answers });
  assertEquals(graded.map(({ accuracy, reward, answer, finish }) => [accuracy, reward, answer, finish]), [
    [0, -2, "7", "aborted"],
    [0.5, 0.5, "7", "aborted"],
    [1, 3, "7", "aborted"],
    [NaN, NaN, "7", "aborted"],
  ]);
});

Deno.test("messages as text show the positions of pictures", () => {
  const content = [{ type: "image" as const, image: new Uint8Array() }, { type: "text" as const, text: " what?" }];
  assertEquals(messagesText([{ role: "system", content: "Be short." }, { role: "user", content }]), "Be short.\n<image> what?");
});
