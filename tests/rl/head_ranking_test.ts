// Rules that rank attention heads, on made-up answers.
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { HEAD_RULES, headAreas, rankHeads } from "../../rl/atrl/head_ranking.ts";
import { bimodality } from "../../rl/atrl/report.ts";
import { rocArea } from "../../rl/credit/class_report.ts";
import { Random } from "../../tensor/random.ts";

const SIZES = { layers: 2, heads: 3 };

/** Answers of 40 tokens, of which tokens 7, 19 and 31 are readings, and what each head does. */
function made(seed: number) {
  const random = new Random(seed), T = 40, width = 6, answers = [];
  for (let i = 0; i < 4; i++) {
    const share = new Float32Array(T * width), peak = new Float32Array(T * width), classes = new Uint8Array(T);
    for (let t = 0; t < T; t++) {
      const isReading = [7, 19, 31].includes(t), noise = () => 0.02 * random.next();
      classes[t] = isReading ? 0 : 2 + t % 2;
      const rows = [
        [0.5, 0.02], // 0.0: always the whole picture
        [0.001 + (isReading ? 0.001 : 0), 0.0005], // 0.1: hardly ever the picture
        [isReading ? 0.1 : 0.3, 0.05], // 0.2: looks away at readings
        [isReading ? 0.9 : 0.05, isReading ? 0.85 : 0.02], // 1.0: reads one place
        [0.2 + 0.2 * random.next(), 0.03], // 1.1: varies at random
        [0, 0], // 1.2: never the picture
      ];
      rows.forEach(([s, p], head) => {
        share[t * width + head] = s! + (head === 5 ? 0 : 0.001 * noise());
        peak[t * width + head] = p!;
      });
    }
    answers.push({ share, peak, classes });
  }
  return answers;
}

Deno.test("every rule ranks the head first that reads one place, and the heads in full", () => {
  const answers = made(1);
  for (const rule of HEAD_RULES) {
    const ranked = rankHeads(answers, { ...SIZES, rule });
    assertEquals([ranked[0]!.layer, ranked[0]!.head], [1, 0], rule);
    assertEquals(new Set(ranked.map(({ layer, head }) => 3 * layer + head)).size, 6, rule);
    assert(ranked.every(({ score }, i) => i === 0 || score <= ranked[i - 1]!.score), rule);
    assertEquals(rankHeads(answers, { ...SIZES, rule }), ranked, rule);
  }
});

Deno.test("the numbers of the rules are their definitions", () => {
  const answers = made(2), width = 6, at = (of: Float32Array, head: number) => Array.from({ length: 40 }, (_, t) => of[t * width + head]!);
  const of = (rule: "spread" | "bimodality" | "sharpness", head: number) =>
    rankHeads(answers, { ...SIZES, rule }).find((one) => 3 * one.layer + one.head === head)!.score;
  const mean = (xs: number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
  for (const head of [0, 3, 4]) {
    const spreads = answers.map(({ share }) => {
      const xs = at(share, head), m = mean(xs);
      return Math.sqrt(mean(xs.map((x) => (x - m) ** 2)));
    });
    assertAlmostEquals(of("spread", head), mean(spreads), 1e-12);
    assertAlmostEquals(of("bimodality", head), bimodality(answers.flatMap(({ share }) => at(share, head))), 1e-12);
  }
  // Of 40 tokens the six with the highest shares: three readings with 0.85, three others with 0.02.
  assertAlmostEquals(of("sharpness", 3), (3 * 0.85 + 3 * 0.02) / 6, 1e-6);
  assertEquals(of("bimodality", 5), -Infinity); // all shares are equal
});

Deno.test("areas by head are those within answers, and NaN where no answer has readings and others", () => {
  const answers = made(3), areas = headAreas(answers, SIZES), width = 6;
  assertEquals(areas.map(({ layer, head }) => 3 * layer + head), [0, 1, 2, 3, 4, 5]);
  assertEquals([areas[2]!.auc, areas[3]!.auc, areas[5]!.auc], [0, 1, 0.5]);
  const within = answers.map(({ share, classes }) =>
    rocArea(Array.from({ length: 40 }, (_, t) => share[t * width + 4]!), Array.from(classes, (k) => Number(k === 0)))
  );
  assertAlmostEquals(areas[4]!.auc, within.reduce((a, b) => a + b, 0) / 4, 1e-12);
  assert(headAreas([{ share: new Float32Array(12), classes: [2, 3] }], SIZES).every(({ auc }) => Number.isNaN(auc)));
});
