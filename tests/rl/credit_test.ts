import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { Responses } from "../../rl/credit/responses.ts";
import { checkCredit, type CreditMethod } from "../../rl/credit/credit.ts";
import { patchBlackening } from "../../rl/credit/blacken.ts";
import { sensitivity, trajectoryWeights, vppoCredit } from "../../rl/credit/vppo.ts";
import { uniformCredit } from "../../rl/credit/weight_credit.ts";
import { Random } from "../../tensor/random.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { deviceTest } from "../tensor/device_test_case.ts";

deviceTest("uniform credit leaves the advantages alone, inside the mask", (device) => {
  using responses = Responses.of(device, [2, 0, 3]);
  using credit = uniformCredit(responses);
  using advantage = Tensor.from(device, [1.5, 9, -2]);
  using mask = Tensor.from(device, Uint8Array.of(1, 1, 0, 1, 1));
  using out = credit.advantages(advantage, { mask });
  assertEquals([...out.toArray()].map(Number), [1.5, 1.5, 0, -2, -2]);
  assertEquals(credit.report(), {});
});

deviceTest("VPPO keeps the most sensitive tokens of each response and scales responses to a mean of 1", (device, random) => {
  const lengths = [5, 10, 0, 3];
  using responses = Responses.of(device, lengths);
  const s = Float64Array.from({ length: 18 }, () => random.next());
  using credit = vppoCredit(responses, { sensitivity: s }, { topFraction: 0.4, scalingMin: 0.9 });
  const weights = Array.from(credit.weights.toArray(), Number);
  const means = lengths.map((n, i) =>
    s.subarray(responses.offsets[i], responses.offsets[i + 1]).reduce((a, b) => a + b, 0) / Math.max(1, n)
  );
  const alpha = trajectoryWeights(means, { present: lengths.map((n) => n > 0), scalingMin: 0.9 });
  assertAlmostEquals((alpha[0]! + alpha[1]! + alpha[3]!) / 3, 1, 1e-6);
  assertAlmostEquals(Math.min(...alpha), 0.9, 1e-12);
  lengths.forEach((n, i) => {
    const own = weights.slice(responses.offsets[i], responses.offsets[i + 1]), kept = own.filter((w) => w > 0);
    assertEquals(kept.length, [2, 4, 0, 2][i]);
    for (const w of kept) assertAlmostEquals(w, alpha[i]!, 1e-6);
    const values = [...s.subarray(responses.offsets[i], responses.offsets[i + 1])];
    const least = Math.min(...values.filter((_, t) => own[t]! > 0)), most = Math.max(...values.filter((_, t) => own[t] === 0));
    if (n > 0) assert(least >= most);
  });
  assertEquals(credit.report()["vppo/token_fraction"], 8 / 18);
});

deviceTest("VPPO without a picture, with equal responses, and outside the mask", (device) => {
  using responses = Responses.of(device, [3, 3]);
  using dark = vppoCredit(responses, { sensitivity: new Float64Array(6) });
  assertEquals([...dark.weights.toArray()].map(Number), [1, 1, 1, 1, 1, 1]);
  using masked = vppoCredit(responses, { sensitivity: [9, 1, 2, 9, 2, 1], mask: [0, 1, 1, 0, 1, 1] }, { topFraction: 0.5 });
  assertEquals([...masked.weights.toArray()].map(Number), [0, 0, 1, 0, 1, 0]);
  assertThrows(() => vppoCredit(responses, { sensitivity: [1] }), RangeError, "sensitivity");
  assertThrows(() => vppoCredit(responses, { sensitivity: new Float64Array(6) }, { topFraction: 0 }), RangeError, "topFraction");
});

Deno.test("trajectory weights by hand: two responses", () => {
  // n = 0 and 1, mean 1/2: alpha = 0.8 and 0.8 + 0.2 / 0.5.
  const [a, b] = trajectoryWeights([0.1, 0.3], { present: [true, true], scalingMin: 0.8 });
  assertAlmostEquals(a!, 0.8, 1e-7);
  assertAlmostEquals(b!, 1.2, 1e-7);
  assertEquals(trajectoryWeights([0.1], { present: [true], scalingMin: 0.8 }), [1]);
  assertEquals(trajectoryWeights([0.1, 0.1 + 1e-7], { present: [true, true], scalingMin: 0.8 }), [1, 1]);
});

Deno.test("sensitivity is exact for small differences and bounded for large ones", () => {
  const [small, none, wide, far] = sensitivity([0, -1, 0, -100], [1e-9, -1, -50, 0]);
  assertAlmostEquals(small! / 5e-19, 1, 1e-6);
  assertEquals([none, wide, far], [0, 10, 10]);
});

Deno.test("blackened patches are whole, about half of them, and the same for a seed", () => {
  const shape = [2, 30, 45, 3] as const, frames = Uint8Array.from({ length: 2 * 30 * 45 * 3 }, (_, i) => 1 + i % 200);
  const out = patchBlackening(frames, { shape, seed: 4 });
  assertEquals(out, patchBlackening(frames, { shape, seed: 4 }));
  assert(out.some((x, i) => x !== patchBlackening(frames, { shape, seed: 5 })[i]));
  let black = 0, patches = 0;
  for (let f = 0; f < 2; f++) {
    for (let y = 0; y < 30; y += 14) {
      for (let x = 0; x < 45; x += 14) {
        const inside: boolean[] = [];
        for (let r = y; r < Math.min(30, y + 14); r++) {
          for (let c = 3 * x; c < 3 * Math.min(45, x + 14); c++) {
            const i = (f * 30 + r) * 135 + c;
            assert(out[i] === 0 || out[i] === frames[i]);
            inside.push(out[i] === 0);
          }
        }
        assert(inside.every((b) => b === inside[0]), "a patch is black or untouched");
        black += inside[0] ? 1 : 0;
        patches++;
      }
    }
  }
  assertEquals(patches, 24);
  assert(black > 3 && black < 21, `${black} of ${patches}`);
  const random = new Random(1);
  assertEquals(patchBlackening(frames, { shape, seed: random.bits(), probability: 0 }), frames);
  assertEquals(patchBlackening(frames, { shape, seed: 1, probability: 1 }).every((x) => x === 0), true);
  assertThrows(() => patchBlackening(frames, { shape: [1, 30, 45, 3], seed: 1 }), RangeError);
});

Deno.test("credit by token under the loss gspo is an error that names gspo_token", () => {
  for (const method of ["atrl", "vppo"] as const) {
    assertThrows(() => checkCredit(method, "gspo"), RangeError, "gspo_token");
    checkCredit(method, "gspo_token");
    checkCredit(method, "ppo");
  }
  checkCredit("none", "gspo");
  assertThrows(() => checkCredit("luck" as CreditMethod, "ppo"), RangeError, "atrl, vppo, none");
});
