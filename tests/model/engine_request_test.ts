import { KedgeError } from "../../ffi/errors.ts";
import type { GenerateOptions } from "../../model/engine/engine.ts";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { engineTest, littleConfig, littleEngine, littleModel, picturePrompt, textPrompt, VOCAB } from "./engine_fixture.ts";

engineTest("invalid options are refused at once, by name", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const prompt = textPrompt(random, 5);
  const wrong: [GenerateOptions, string][] = [
    [{ n: 0 }, "n is 0"],
    [{ n: 1.5 }, "n is 1.5"],
    [{ maxTokens: 0 }, "maxTokens is 0"],
    [{ maxTokens: 1020 }, "1024 positions"],
    [{ temperature: -1 }, "temperature is -1"],
    [{ temperature: NaN }, "temperature is NaN"],
    [{ temperature: 1e-9 }, "temperature is 1e-9"],
    [{ topK: -1 }, "topK is -1"],
    [{ topP: 0 }, "topP is 0"],
    [{ topP: 1.1 }, "topP is 1.1"],
    [{ minP: 1 }, "minP is 1"],
    [{ minP: -0.1 }, "minP is -0.1"],
    [{ seed: -1 }, "Cannot seed with -1"],
    [{ seed: 2n ** 64n }, "Cannot seed"],
    [{ stop: [VOCAB] }, "stop token 97"],
    [{ stop: [[]] }, "empty"],
    [{ stop: ["end"] }, "decode"],
    [{ suppress: [-1] }, "suppressed token -1"],
    [{ suppress: Array.from({ length: VOCAB }, (_, i) => i) }, "all 97 tokens are suppressed"],
    [{ connectivity: { layers: [7] } }, "layers"],
    [{ connectivity: { profileRegions: 1000 } }, "profileRegions is 1000"],
    [{ connectivity: { visualSinkFactor: -1 } }, "visualSinkFactor"],
    [{ keys: [] }, "0 keys for 1 prompts"],
  ];
  const check = async ([options, words]: [GenerateOptions, string]) => {
    const error = await assertRejects(() => engine.generate([prompt], options), RangeError);
    assertEquals([(error as Error).message.includes(words), words], [true, words], (error as Error).message);
  };
  await Promise.all(wrong.map(check));
  assertThrows(() => engine.submit({ prompt: { tokens: new Int32Array(), visuals: [] } }), RangeError, "empty");
  assertThrows(() => engine.submit({ prompt: { tokens: Int32Array.of(1, VOCAB), visuals: [] } }), RangeError, "prompt token 1");
  const picture = picturePrompt(random, { grids: [[4, 4]] });
  assertThrows(() => engine.submit({ prompt: { ...picture, visuals: [] } }), KedgeError, "placeholder");
  assertEquals(engine.step(), false);
});

engineTest(
  "a request that can never fit is refused with the bytes that it needs, and fits where it has them",
  async ({ device, random }) => {
    using model = littleModel(device, random);
    const prompt = picturePrompt(random, { grids: [[8, 8]] });
    let asked = 0;
    {
      using engine = littleEngine(model, { memoryBytes: 1000 });
      const error = assertThrows(() => engine.submit({ prompt, maxTokens: 100 }), KedgeError, "memoryBytes is 1000") as KedgeError;
      assertEquals(error.code, "OutOfMemory");
      asked = error.details.asked as number;
    }
    {
      using engine = littleEngine(model, { memoryBytes: asked - 1 });
      assertThrows(() => engine.submit({ prompt, maxTokens: 100 }), KedgeError, `needs ${asked} bytes`);
    }
    {
      using engine = littleEngine(model, { memoryBytes: asked });
      const [samples] = await engine.generate([prompt], { maxTokens: 100, stop: [] });
      assertEquals(samples![0]!.tokens.length, 100);
    }
    using engine = littleEngine(model, { cacheTokens: 50 });
    assertThrows(() => engine.submit({ prompt: textPrompt(random, 40), maxTokens: 12 }), KedgeError, "cacheTokens 50");
    assertThrows(() => littleEngine(model, { maxSequences: 0 }).limits, RangeError, "maxSequences is 0");
  },
);

engineTest("a response ends with a stop token, with stop tokens in a row, or with a stop text", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { decode: (tokens) => tokens.map((token) => `<${token}>`).join("") });
  const prompt = textPrompt(random, 9);
  const run = async (options: GenerateOptions) => (await engine.generate([prompt], { maxTokens: 60, seed: 5, ...options }))[0]![0]!;
  const all = await run({ stop: [] });
  assertEquals([all.finish, all.tokens.length], ["length", 60]);
  const first = (place: number) => all.tokens.indexOf(all.tokens[place]!) + 1;
  const byToken = await run({ stop: [all.tokens[20]!] });
  assertEquals([byToken.finish, [...byToken.tokens]], ["stop", [...all.tokens.slice(0, first(20))]]);
  const pairs = Array.from(all.tokens.slice(0, -1), (token, i) => `${token},${all.tokens[i + 1]}`);
  const end = pairs.indexOf(pairs[30]!) + 2;
  const bySequence = await run({ stop: [[all.tokens[30]!, all.tokens[31]!]] });
  assertEquals([bySequence.finish, [...bySequence.tokens]], ["stop", [...all.tokens.slice(0, end)]]);
  const byText = await run({ stop: [`${all.tokens[30]}><${all.tokens[31]}>`] });
  assertEquals(byText.finish, "stop");
  assertEquals(byText.tokens.length <= end, true); // another number may end in the same digits
  assertEquals([...byText.tokens], [...all.tokens.slice(0, byText.tokens.length)]);
  const none = await run({ stop: [[all.tokens[59]!, all.tokens[59]!, 3, 4, 5, 6, 7]] });
  assertEquals([none.finish, [...none.tokens]], ["length", [...all.tokens]]);
  const eos = littleConfig().tokens.eos[0]!;
  const byDefault = await run({});
  const place = all.tokens.indexOf(eos);
  assertEquals(byDefault.tokens.length, place < 0 ? 60 : place + 1);
});

engineTest("suppressed tokens are never drawn, and their mask is part of the distribution", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const prompt = textPrompt(random, 7);
  const suppress = Array.from({ length: VOCAB }, (_, i) => i).filter((id) => id % 3 !== 1);
  const [samples] = await engine.generate([prompt], { n: 8, maxTokens: 20, stop: [], suppress });
  for (const { tokens } of samples!) assertEquals(tokens.every((id) => id % 3 === 1), true);
  const [only] = await engine.generate([prompt], {
    maxTokens: 5,
    stop: [],
    suppress: suppress.concat([4, 7]).concat(Array.from({ length: 29 }, (_, i) => 10 + 3 * i)),
  });
  assertEquals([...only![0]!.tokens], [1, 1, 1, 1, 1]);
  assertEquals([...only![0]!.logprobs], [0, 0, 0, 0, 0]);
  const [free] = await engine.generate([prompt], { n: 64, maxTokens: 40, stop: [] });
  for (const { tokens } of free!) assertEquals(tokens.some((id) => id >= 90 && id <= 93), false);
});
