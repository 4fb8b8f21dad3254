import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { classReport, rocArea } from "../../rl/credit/class_report.ts";
import { TOKEN_CLASSES } from "../../rl/credit/token_classes.ts";
import { Random } from "../../tensor/random.ts";

/** The area under the ROC curve by its meaning: over all pairs of a token that is one and a token that is none. */
function pairs(scores: readonly number[], isOne: readonly boolean[]): number {
  let wins = 0, count = 0;
  for (const [i, one] of isOne.entries()) {
    for (const [j, other] of isOne.entries()) {
      if (!one || other) continue;
      count++;
      wins += scores[i]! > scores[j]! ? 1 : scores[i] === scores[j] ? 0.5 : 0;
    }
  }
  return wins / count;
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

Deno.test("the metrics by class are those of a plain recomputation, on made-up answers with ties", () => {
  const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed);
  for (let round = 0; round < 20; round++) {
    const lengths = [7, 0, 1, 40, 23], visual = [true, true, true, true, false], offsets = [0, 7, 7, 8, 48, 71];
    const draw = (of: () => number) => Array.from({ length: 71 }, of);
    const classes = draw(() => random.integer(0, 4)), coarse = () => random.integer(0, 6) / 8;
    const connectivity = draw(coarse), weights = draw(coarse), advantages = draw(() => random.integer(-3, 4));
    const flags = draw(() => random.integer(0, 4));
    const report = classReport({ offsets, classes, weights, connectivity, flags, advantages, visual });
    const all = Array.from({ length: 48 }, (_, t) => t), isReading = all.map((t) => classes[t] === 0), wanted: Record<string, number> = {};
    const total = all.reduce((sum, t) => sum + Math.abs(advantages[t]!), 0), anchors = all.filter((t) => flags[t]! % 2 === 1);
    for (const [k, name] of TOKEN_CLASSES.entries()) {
      const own = all.filter((t) => classes[t] === k);
      wanted[`classes/share_${name}`] = own.length / 48;
      wanted[`classes/weight_${name}`] = mean(own.map((t) => weights[t]!));
      wanted[`classes/connectivity_${name}`] = mean(own.map((t) => connectivity[t]!));
      wanted[`classes/advantage_share_${name}`] = own.reduce((sum, t) => sum + Math.abs(advantages[t]!), 0) / total;
    }
    wanted["classes/auc_connectivity"] = pairs(connectivity.slice(0, 48), isReading);
    wanted["classes/auc_weight"] = pairs(weights.slice(0, 48), isReading);
    wanted["classes/anchor_recall"] = anchors.filter((t) => classes[t] === 0).length / isReading.filter(Boolean).length;
    wanted["classes/anchor_precision"] = anchors.filter((t) => classes[t] === 0).length / anchors.length;
    const defined = Object.entries(wanted).filter(([, value]) => Number.isFinite(value));
    assertEquals(Object.keys(report).sort(), defined.map(([key]) => key).sort(), `seed ${seed}, ${lengths}`);
    for (const [key, value] of defined) assertAlmostEquals(report[key]!, value, 1e-12, `${key}, seed ${seed}`);
  }
});

Deno.test("the area under the curve: perfect, reversed, constant, not defined", () => {
  assertEquals(rocArea([3, 1, 2, 4], [1, 0, 0, 1]), 1);
  assertEquals(rocArea([3, 1, 2, 4], [0, 1, 1, 0]), 0);
  assertEquals(rocArea([5, 5, 5], [1, 0, 0]), 0.5);
  for (const [scores, isOne] of [[[1, 2], [1, 1]], [[1, 2], [0, 0]], [[1, NaN, 2], [1, 0, 0]], [[], []]] as const) {
    assert(Number.isNaN(rocArea(scores, isOne)));
  }
});

Deno.test("without flags the anchors are those by connectivity; without a reading or a picture its numbers are left out", () => {
  const given = { offsets: [0, 4, 8], classes: [0, 1, 2, 3, 3, 0, 0, 1], weights: new Array<number>(8).fill(1) };
  const connectivity = [0.9, 0.1, 0.2, 0.3, 0.6, 0.5, 0.4, 0.1];
  const report = classReport({ ...given, connectivity, anchorFraction: 250 }); // tokens 0 and 4
  assertEquals([report["classes/anchor_recall"], report["classes/anchor_precision"]], [1 / 3, 1 / 2]);
  assertEquals(report["classes/auc_weight"], 0.5);
  assertEquals(Object.keys(report).filter((key) => /advantage/.test(key)), []);
  const bare = classReport(given);
  assertEquals(Object.keys(bare).filter((key) => /connectivity|anchor/.test(key)), []);
  const none = classReport({ ...given, classes: new Array<number>(8).fill(3), connectivity });
  assertEquals(Object.keys(none).filter((key) => /reading|auc|recall/.test(key)), ["classes/share_reading"]);
  assertEquals([none["classes/share_reading"], none["classes/anchor_precision"]], [0, 0]);
  assertEquals(classReport({ ...given, connectivity, visual: [false, false] }), {});
});
