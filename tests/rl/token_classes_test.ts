import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { detectAtrl } from "../../rl/atrl/detect.ts";
import { ATRL_PUBLISHED, atrlOptions } from "../../rl/atrl/options.ts";
import { plainWeights } from "../../rl/credit/plain_weights.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { type ClassFunction, classIndices, type TokenClass } from "../../rl/credit/token_classes.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { deviceTest } from "../tensor/device_test_case.ts";

const NAMES = "reading, arithmetic, random, fixed";

Deno.test("oracle weights by hand", () => {
  const response = { connectivity: [0.1, 0.2, 0.3, 0.4], cluster: [], visual: true, key: { prompt: 1, sample: 0 } };
  const weights = (
    classes: number[],
    options: Parameters<typeof atrlOptions>[0] = {},
  ) => [...plainWeights({ ...response, classes }, atrlOptions({ mode: "oracle", ...options }))];
  assertEquals(weights([3, 0, 2, 1], { normalise: "none" }), [0.2, 1, 0.2, 0.2]);
  weights([3, 0, 2, 1]).forEach((w, t) => assertAlmostEquals(w, (t === 1 ? 1 : 0.2) / 0.4, 1e-15));
  assertEquals(weights([0, 1, 0, 3], { wMin: 0, wMax: 3 }), [2, 0, 2, 0]);
  assertEquals(weights([0, 0, 0, 0]), [1, 1, 1, 1]);
  assertEquals(weights([3, 1, 2, 3], { normalise: "none" }), [1, 1, 1, 1]); // no reading
  assertEquals([...plainWeights({ ...response, visual: false, classes: [0, 1, 2, 3] }, atrlOptions({ mode: "oracle" }))], [1, 1, 1, 1]);
  assertThrows(() => plainWeights(response, atrlOptions({ mode: "oracle" })), RangeError, "classes of the tokens are missing");
});

deviceTest(
  "oracle weights of packed responses are those of the definition, and anchors stay those of the connectivity",
  (device, random) => {
    const lengths = [0, 1, 5, 40, 12], visual = [true, true, true, true, false], total = 58;
    using responses = Responses.of(device, lengths);
    const numbers = Float32Array.from({ length: total }, () => random.next()),
      classes = Uint8Array.from(numbers, () => random.integer(0, 4));
    using connectivity = Tensor.from(device, numbers);
    const options = {
      ...ATRL_PUBLISHED,
      mode: "oracle",
      wMin: 0.3,
      wMax: 2,
      normalise: random.next() < 0.5 ? "none" : "mean-one",
    } as const;
    using credit = detectAtrl(responses, { connectivity, visual, classes }, options);
    using off = detectAtrl(responses, { connectivity, visual }, { ...ATRL_PUBLISHED, mode: "off" });
    assertEquals(credit.flags.toArray(), off.flags.toArray());
    const weights = credit.weights.toFloats();
    for (const [i, length] of lengths.entries()) {
      const [from, to] = [responses.offsets[i]!, responses.offsets[i + 1]!], key = { prompt: i, sample: 0 };
      const response = {
        connectivity: numbers.subarray(from, to),
        cluster: [],
        classes: classes.subarray(from, to),
        visual: visual[i]!,
        key,
      };
      assertEquals(
        weights.subarray(from, to),
        Float32Array.from(plainWeights(response, atrlOptions(options))),
        `response ${i} of ${length}`,
      );
    }
    assert(weights.some((w) => w !== 1));
    assertThrows(() => detectAtrl(responses, { connectivity, visual }, options), RangeError, "classes are missing");
    assertThrows(() => detectAtrl(responses, { connectivity, visual, classes: [0] }, options), RangeError, "classes has 1 entries");
  },
);

Deno.test("a class function that gives anything but a class for each token is refused by name", () => {
  const answer = { tokens: ["a", "b"], text: "ab", truth: "1", fields: {} },
    about = { source: "file:///c.ts", key: { prompt: 3, sample: 1 } };
  const of = (value: unknown) => () => classIndices(answer, (() => value) as ClassFunction, about);
  assertEquals([...of(["random", "reading"])()], [2, 0]);
  const start = "Cannot use the classes of file:///c.ts for sample 1 of prompt 3: it gave ";
  assertThrows(of(["reading"]), TypeError, `${start}1 classes for 2 tokens`);
  assertThrows(of("reading"), TypeError, `${start}string, not an array of 2 classes`);
  assertThrows(of(Promise.resolve([])), TypeError, "may not be async");
  assertThrows(of(["reading", "filler" as TokenClass]), TypeError, `${start}"filler" as the class of token 1, not one of ${NAMES}`);
  assertThrows(of(["reading", 0]), TypeError, `${start}0 as the class of token 1`);
});
