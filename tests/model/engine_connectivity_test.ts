import { ConnectivityAccumulator, type ConnectivityOptions, promptSinks } from "../../model/connectivity.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { type MeasuredRow, measuresOwnRow } from "../../model/measured_row.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { Prompt } from "../../model/prompt.ts";
import type { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { assertEquals } from "@std/assert";
import { engineTest, littleEngine, type LittleFamily, littleModel, picturePrompt, textPrompt, videoPrompt } from "./engine_fixture.ts";
import { assertNear } from "./golden.ts";

const OPTIONS: Readonly<Record<string, ConnectivityOptions>> = {
  "the default": {},
  "row self": { row: "self", sinkTokens: 2 },
  "renorm row, last half of the layers": { sinkRenorm: "row", layers: "last-half", profileRegions: 7 },
  "row both": { row: "both" },
  "visual sinks, row both, renorm row": { visualSinkFactor: 1.1, row: "both", sinkRenorm: "row" },
  "some heads": { heads: [[0, 1], [1, 0], [1, 2]] },
  "heads of one layer, renorm row, row self": { heads: [[0, 0], [1, 3], [1, 1]], layers: [1], sinkRenorm: "row", row: "self" },
  "visual sinks": { visualSinkFactor: 1.3 },
  "visual sinks, row self, renorm row, one layer": { visualSinkFactor: 1.1, row: "self", sinkRenorm: "row", layers: [1], sinkTokens: 0 },
};

/** Each choice of options with Qwen2.5-VL, and some with the families whose placeholders and tower differ. */
const RUNS: readonly (readonly [LittleFamily, string])[] = [
  ...Object.keys(OPTIONS).map((name) => ["qwen2_5_vl", name] as const),
  ...["the default", "visual sinks"].map((name) => ["qwen3_vl", name] as const),
];

for (const [family, name] of RUNS) {
  const options = OPTIONS[name]!;
  engineTest(`connectivity while decoding is that of the training forward: ${name}, ${family}`, async ({ device, dtype, random }) => {
    using model = littleModel(device, random, dtype, family);
    using engine = littleEngine(model, { prefillTokens: 50 });
    const prompts = drawPrompts({ random, model, family, factor: options.visualSinkFactor ?? 0 });
    const completions = await engine.generate(prompts, { n: 2, maxTokens: 7, stop: [], connectivity: options });
    const groups = prompts.map((prompt, i) => ({ prompt, responses: completions[i]!.map(({ tokens }) => tokens) }));
    using batch = PackedBatch.pack(model, groups, { closing: measuresOwnRow(options.row) });
    using connectivity = ConnectivityAccumulator.create(model, batch, options);
    {
      using tape = new Tape(device, { record: false });
      model.logProbs(tape, batch, { connectivity });
    }
    const tolerance = dtype === "f32" ? 1e-5 : 0.05;
    for (const [i, expected] of connectivity.results().entries()) {
      const completion = completions.flat()[i]!, { group } = batch.responses[i]!;
      assertNear(completion.connectivity!, expected.connectivity, { what: `connectivity ${i}`, tolerance });
      assertNear(completion.profile!, expected.profile, { what: `profile ${i}`, tolerance });
      assertEquals(completion.regions, connectivity.maps[group]);
      assertEquals(completion.connectivity!.some((c) => c > 0), expected.regions > 0);
    }
  }, { dtypes: name.includes("sinks") ? ["f32"] : ["f32", "bf16"] });
}

/** Draws prompts. With a factor for visual sinks, it draws until the two long pictures have some, which random pixels seldom lack. */
function drawPrompts(
  { random, model, family, factor }: { random: Random; model: VisionLanguageModel; family: LittleFamily; factor: number },
): Prompt[] {
  for (let draw = 0; draw < 100; draw++) {
    const prompts = [
      picturePrompt(random, { grids: [[16, 18]], after: 25 }),
      textPrompt(random, 12),
      picturePrompt(random, { grids: [[4, 4], [6, 2]] }),
      picturePrompt(random, { grids: [[20, 16], [2, 2]], before: 0, after: 12 }),
      picturePrompt(random, { grids: [[4, 4]], after: 0 }),
      videoPrompt(random, { grid: { t: 3, h: 4, w: 6 }, family }),
    ];
    const sinks = promptSinks(model, prompts, factor);
    if (factor === 0 || (sinks[0]!.length > 0 && sinks[3]!.length > 0)) return prompts;
  }
  throw new Error("100 draws of prompts have no visual sinks: the test would see none");
}

engineTest("a sequence cut off before its last row was seen has no connectivity there", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const prompt = picturePrompt(random, { grids: [[4, 4]] });
  for (const row of ["self", "both"] as const) {
    let drawn = 0;
    const ticket = engine.submit({ prompt, maxTokens: 30, stop: [], connectivity: { row }, onToken: () => drawn++ });
    while (drawn < 4) engine.step();
    ticket.abort();
    // deno-lint-ignore no-await-in-loop -- one engine
    const [completion] = await ticket.result;
    assertEquals(completion!.tokens.length, 4);
    assertEquals([...completion!.connectivity!].map(Number.isNaN), [false, false, false, true]);
    const { regions } = completion!.regions!;
    assertEquals(Array.from(completion!.profile!, Number.isNaN), Array.from({ length: 4 * regions }, (_, i) => i >= 3 * regions));
  }
});

engineTest("row both is the mean of the other two", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { deterministic: true });
  const prompt = picturePrompt(random, { grids: [[4, 6]] });
  const run = async (row: MeasuredRow) => (await engine.generate([prompt], { maxTokens: 9, stop: [], connectivity: { row } }))[0]![0]!;
  const [predict, self, both] = await Promise.all([run("predict"), run("self"), run("both")]);
  for (const part of ["connectivity", "profile"] as const) {
    assertNear(both[part]!, predict[part]!.map((x, i) => (x + self[part]![i]!) / 2), { what: part, tolerance: 1e-7 });
  }
  assertEquals(predict.connectivity!.slice(1), self.connectivity!.slice(0, -1));
});

engineTest("requests with and without connectivity get the same answers", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { deterministic: true });
  const prompt = picturePrompt(random, { grids: [[4, 4]] });
  const run = async (connectivity: ConnectivityOptions | boolean) =>
    (await engine.generate([prompt], { maxTokens: 20, stop: [], connectivity })).flat()[0]!;
  const [a, b, c] = await Promise.all([run(false), run(true), run({ row: "self", layers: [0] })]);
  assertEquals([a.connectivity, b.connectivity!.length, c.connectivity!.length], [undefined, 20, 20]);
  assertEquals([[...b.tokens], [...b.logprobs]], [[...a.tokens], [...a.logprobs]]);
  assertEquals([[...c.tokens], [...c.logprobs]], [[...a.tokens], [...a.logprobs]]);
});
