// Scores of tokens other than the plain connectivity, and what is made from them.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type AtrlInputs, detectAtrl } from "../../rl/atrl/detect.ts";
import { ATRL_MODES, ATRL_PUBLISHED, ATRL_SCORES, type AtrlOptions, atrlOptions } from "../../rl/atrl/options.ts";
import { tokenScore } from "../../rl/atrl/score.ts";
import { plainScore } from "../../rl/credit/plain_score.ts";
import { Responses } from "../../rl/credit/responses.ts";
import type { Device } from "../../ffi/device.ts";
import type { Random } from "../../tensor/random.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { deviceTest } from "../tensor/device_test_case.ts";
import { gaze } from "./gaze.ts";

const LENGTHS = [0, 1, 17, 64], REGIONS = 16;

interface Held extends AtrlInputs {
  connectivity: Tensor;
  profile: Tensor;
  entropy: Tensor;
  visible: { visual: number; other: number }[];
}

/** Packed responses in tensors, which belong to the stack. */
function packed(device: Device, random: Random, stack: DisposableStack): { responses: Responses; inputs: Held } {
  const all = LENGTHS.map((tokens) => gaze(random, { tokens, regions: REGIONS }));
  const up = (values: ArrayLike<number>, shape?: number[]) =>
    stack.use(Tensor.from(device, Float32Array.from(values), shape ? { shape } : {}));
  const responses = stack.use(Responses.of(device, LENGTHS));
  return {
    responses,
    inputs: {
      connectivity: up(all.flatMap(({ connectivity }) => [...connectivity])),
      profile: up(all.flatMap(({ profile }) => [...profile]), [responses.tokens, REGIONS]),
      entropy: up(Array.from({ length: responses.tokens }, (_, t) => t % 9 === 0 ? -1e-7 : 3 * random.next())),
      visual: LENGTHS.map(() => true),
      visible: LENGTHS.map((_, i) => ({ visual: i === 2 ? 0 : random.integer(1, 300), other: random.integer(0, 90) })),
    },
  };
}

Deno.test("scores are the definition's numbers, written out for each", () => {
  const response = {
    connectivity: [0.75, 0.5, 0.5],
    profile: [0.25, 0.75, 0, 0.5, 0.5, 0.25], // its mean is 0.25, 0.5
    regions: 2,
    entropy: [2, 0.5, -1e-8],
    visible: { visual: 6, other: 2 },
  };
  const of = (score: AtrlOptions["score"], debias: AtrlOptions["debias"] = "none") => [...plainScore(response, { score, debias })];
  assertEquals(of("connectivity"), [0.75, 0.5, 0.5]);
  assertEquals(of("peak"), [0.25, 0, 0.25]);
  assertEquals(of("entropy"), [2, 0.5, 0]);
  assertEquals(of("connectivity-entropy"), [1.5, 0.25, 0]);
  assertEquals(of("peak-entropy"), [0.5, 0, 0]);
  // a tenth of the mean of 0.25 and 0.5 is 0.0375
  assertEquals(
    of("peak-scaled").map((s) => s.toFixed(12)),
    [0.25 / Math.sqrt(0.5375), 0, 0.25 / Math.sqrt(0.2875)].map((s) => s.toFixed(12)),
  );
  // Nobody attends to the first region.
  assertEquals([...plainScore({ connectivity: [0, 1], profile: [0, 0, 0, 1], regions: 2 }, { score: "peak-scaled", debias: "none" })], [
    0,
    0.5 / Math.sqrt(0.5 + 0.5 / 2 / 10),
  ]);
  assertEquals([...plainScore({ connectivity: [0, 0], profile: [0, 0], regions: 1 }, { score: "peak-scaled", debias: "none" })], [0, 0]);
  assertEquals(of("peak", "position"), [0.25 / (6 / 8), 0, 0.25 / (6 / 10)]);
  assertEquals([...plainScore({ ...response, visible: { visual: 0, other: 2 } }, { score: "peak", debias: "position" })], of("peak"));
  assertEquals([...plainScore({ connectivity: [0.5], regions: 0 }, { score: "peak", debias: "none" })], [0]);
  assertEquals([...plainScore({ connectivity: [0.5, 0.5], profile: [0.1, NaN, NaN, 0.1].map(Math.fround), regions: 1 + 1 }, {
    score: "peak",
    debias: "none",
  })], [NaN, NaN]);
});

deviceTest(
  "anchors, clusters and weights come from the score as they come from the connectivity, and the report keeps the connectivity",
  (device, random) => {
    using stack = new DisposableStack();
    const { responses, inputs } = packed(device, random, stack),
      numbers = (tensor: Tensor | undefined) => Array.from(tensor!.toArray(), Number);
    for (const score of ATRL_SCORES) {
      for (const debias of ["none", "position"] as const) {
        for (const mode of ["soft", "hard", "low"] as const) {
          const what = `${score}, ${debias}, ${mode}`;
          using credit = detectAtrl(responses, inputs, { score, debias, mode, own: 0.3 });
          const wanted = LENGTHS.flatMap((_, i) => {
            const [from, to] = [responses.offsets[i]!, responses.offsets[i + 1]!];
            const part = (tensor: Tensor, width = 1) => tensor.toFloats().subarray(from * width, to * width);
            const { connectivity, profile, entropy, visible } = inputs;
            return [...plainScore({
              connectivity: part(connectivity),
              profile: part(profile, REGIONS),
              regions: REGIONS,
              entropy: part(entropy),
              visible: visible[i],
            }, { score, debias })];
          });
          assertEquals(numbers(credit.scores), wanted.map(Math.fround), what);
          using same = detectAtrl(responses, { ...inputs, connectivity: credit.scores }, { score: "connectivity", mode, own: 0.3 });
          assertEquals(numbers(credit.weights), numbers(same.weights), what);
          assertEquals(numbers(credit.flags), numbers(same.flags), what);
          if (mode === "soft") assertEquals(numbers(credit.clusters!.cluster), numbers(same.clusters!.cluster), what);
          using plain = detectAtrl(responses, inputs, { ...ATRL_PUBLISHED, mode });
          assertEquals(credit.report()["atrl/bimodality"], plain.report()["atrl/bimodality"], what);
        }
      }
    }
  },
);

deviceTest("scores refuse what they need and do not get", (device, random) => {
  using stack = new DisposableStack();
  const { responses, inputs } = packed(device, random, stack), { connectivity, visual } = inputs;
  const fails = (options: Partial<AtrlOptions>, words: string) =>
    assertThrows(() => detectAtrl(responses, { connectivity, visual }, { method: "none", ...options }), RangeError, words);
  const needs =
    'by "peak": prompts have visual tokens, but there is no profile of what tokens look at; give one, or take score "connectivity"';
  for (const mode of ATRL_MODES) fails({ mode }, needs);
  fails({ score: "peak-entropy" }, "there is no profile");
  fails({ score: "entropy" }, "the entropy is missing");
  fails({ score: "connectivity", debias: "position" }, "visible has 0 entries");
  for (const counts of [{ visual: -1, other: 2 }, { visual: 4, other: 0.5 }, { visual: 4, other: NaN }, { visual: 2 ** 31, other: 0 }]) {
    const visible = LENGTHS.map(() => counts);
    assertThrows(() => detectAtrl(responses, { ...inputs, visible }, { debias: "position" }), RangeError, "response 0 sees");
  }
  assertThrows(() => atrlOptions({ score: "gaze" as "peak" }), RangeError, "score is gaze");
  using plain = tokenScore(responses, { connectivity }, atrlOptions(ATRL_PUBLISHED));
  assert(plain.address === connectivity.address);
});
