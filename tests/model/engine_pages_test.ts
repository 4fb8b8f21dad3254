import type { Completion } from "../../model/engine/completion.ts";
import type { EngineOptions } from "../../model/engine/engine.ts";
import type { EngineStats } from "../../model/engine/scheduler.ts";
import type { Request } from "../../model/engine/request.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import type { Random } from "../ops/harness.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { engineTest, littleEngine, littleModel, picturePrompt, plain, textPrompt } from "./engine_fixture.ts";

/** Requests of many kinds, whose answers may be long and are mostly not: they stop at one of some tokens. */
function mixedRequests(random: Random, count: number): Request[] {
  return Array.from({ length: count }, (_, i): Request => {
    const prompt = random.next() < 0.2
      ? picturePrompt(random, { grids: [[2 * random.integer(1, 5), 2 * random.integer(1, 5)]], after: random.integer(1, 40) })
      : textPrompt(random, random.integer(1, random.next() < 0.1 ? 120 : 30));
    const measured = random.next() < 0.3;
    return {
      prompt,
      n: random.integer(1, 4),
      maxTokens: random.next() < 0.3 ? random.integer(1, 20) : random.integer(100, 300),
      temperature: random.next() < 0.3 ? 0 : 1,
      topK: random.integer(0, 2) * 20,
      stop: [3, 17, 41],
      seed: random.integer(0, 1000),
      key: `${i}`,
      ...(measured && {
        connectivity: random.next() < 0.5 ? { row: "self" as const, visualSinkFactor: 1.5 } : { profileRegions: random.integer(1, 9) },
      }),
    };
  });
}

/**
 * Short answers, after which the engine expects short ones, and long ones that it then lets in together: where the cache is small, some of them must give way.
 */
function crowdedRequests(random: Random): Request[] {
  return [
    { prompt: textPrompt(random, 3), n: 16, maxTokens: 2, stop: [] },
    ...[0, 1].map((temperature): Request => ({ prompt: textPrompt(random, 20), n: 2, maxTokens: 180, temperature, stop: [] })),
  ];
}

/** Answers of an engine with these limits, in full. */
async function answers(model: VisionLanguageModel, requests: readonly Request[], options: EngineOptions) {
  using engine = littleEngine(model, { deterministic: true, maxSequences: 24, ...options });
  const tickets = requests.map((request) => engine.submit(request));
  while (engine.step());
  const completions: Completion[][] = await Promise.all(tickets.map(({ result }) => result));
  return { answers: plain(completions), stats: { ...engine.stats } as EngineStats };
}

const BITS_IN_PAGES = "500 requests have the same bits in pages, with preemptions, as with a full reservation, and hold less of the cache";

engineTest(BITS_IN_PAGES, async ({ device, random }) => {
  using model = littleModel(device, random);
  const requests = [...crowdedRequests(random), ...mixedRequests(random, device.kind === "cpu" ? 497 : 57)];
  // A page that holds any answer is a reservation of its full length.
  const reserved = await answers(model, requests, { pageTokens: 1024, cacheTokens: 24 * 400 });
  const paged = await answers(model, requests, { cacheTokens: 24 * 400 });
  assertEquals(paged.answers, reserved.answers);
  assertEquals([paged.stats.preemptions, reserved.stats.preemptions], [0, 0]);
  const [most, before] = [paged.stats.peakCacheTokens, reserved.stats.peakCacheTokens];
  assert(most < 0.8 * before, `pages held ${most} tokens, the reservation ${before}`);
  const tight = await answers(model, requests, { cacheTokens: 500 });
  assertEquals(tight.answers, reserved.answers);
  assert(tight.stats.preemptions > 0, "nothing was preempted");
  assert(tight.stats.peakCacheTokens <= 500);
}, { dtypes: ["f32"] });

engineTest("a sequence that gave up its place goes on with the same bits, greedy and sampled", async ({ device, dtype, random }) => {
  using model = littleModel(device, random, dtype);
  const prompt = picturePrompt(random, { grids: [[8, 8]], after: 30 });
  const long = [0, 1].flatMap((temperature): Request[] => [
    { prompt, n: 4, maxTokens: 200, temperature, stop: [], connectivity: { visualSinkFactor: 1.2 } },
    { prompt: textPrompt(random, 40), n: 3, maxTokens: 150, temperature, stop: [], connectivity: { row: "self" } },
    { prompt: textPrompt(random, 90), n: 2, maxTokens: 100, temperature, stop: [] },
  ]);
  const requests = [...crowdedRequests(random).slice(0, 1), ...long];
  const alone = await answers(model, requests, {});
  assertEquals(alone.stats.preemptions, 0);
  // Room for the longest alone, where its prompt and its answer lie well: prompts leave the memory too, and a sequence runs without others.
  const least = Math.max(...requests.map(({ prompt, maxTokens }) => prompt.tokens.length + maxTokens!));
  for (const [cacheTokens, pageTokens] of [[least, 64], [least + 70, 128], [3 * least, 64]] as const) {
    // deno-lint-ignore no-await-in-loop
    const tight = await answers(model, requests, { cacheTokens, pageTokens });
    assertEquals(tight.answers, alone.answers);
    assert(tight.stats.preemptions > 0, `nothing was preempted with ${cacheTokens} tokens`);
  }
});

engineTest(
  "answers are the same whether a step starts before the last one's tokens are read or after",
  async ({ device, dtype, random }) => {
    using model = littleModel(device, random, dtype);
    const requests = [...crowdedRequests(random), ...mixedRequests(random, 40)];
    const after = await answers(model, requests, { cacheTokens: 600, overlap: false });
    const { readLater } = device;
    let under = 0, most = 0;
    if (readLater) {
      device.readLater = (address, bytes) => {
        const read = readLater.call(device, address, bytes);
        most = Math.max(most, ++under);
        const take = (into: ArrayBufferView<ArrayBuffer>) => (under--, read.take(into));
        return { take, [Symbol.dispose]: () => (under--, read[Symbol.dispose]()) };
      };
    }
    try {
      const before = await answers(model, requests, { cacheTokens: 600 });
      assertEquals(before.answers, after.answers);
      assert(before.stats.preemptions > 0, "nothing was preempted");
      assertEquals([most, under], readLater ? [2, 0] : [0, 0]);
    } finally {
      if (readLater) delete device.readLater;
    }
  },
);

engineTest("sequences that wait after they gave up their places end with their call", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { cacheTokens: 320 });
  const ticket = engine.submit({ prompt: textPrompt(random, 20), n: 6, maxTokens: 250, stop: [], connectivity: true });
  while (engine.stats.preemptions === 0 && engine.step());
  assertEquals(engine.stats.preemptions > 0, true);
  const other = engine.submit({ prompt: textPrompt(random, 3), maxTokens: 5, stop: [] });
  assertThrows(() => engine.release(), RangeError, "under way");
  ticket.abort();
  while (engine.step());
  const completions = await ticket.result, lengths = completions.map(({ tokens }) => tokens.length);
  assertEquals(completions.map(({ finish }) => finish), new Array(6).fill("aborted"));
  assert(lengths.filter((length) => length > 0).length >= 2, `${lengths} tokens`);
  for (const { tokens, connectivity } of completions) assertEquals(connectivity!.length, tokens.length);
  assertEquals((await other.result)[0]!.tokens.length, 5);
  engine.release();
}, { dtypes: ["f32"] });

engineTest("an engine's page is a power of two", ({ device, random }) => {
  using model = littleModel(device, random);
  for (const pageTokens of [32, 96]) {
    assertThrows(() => littleEngine(model, { pageTokens }).limits, RangeError, `pageTokens is ${pageTokens}`);
  }
}, { dtypes: ["f32"] });
