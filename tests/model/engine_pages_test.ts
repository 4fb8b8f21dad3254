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
      maxTokens: random.integer(1, random.next() < 0.5 ? 20 : 150),
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
    ...[0, 1].map((temperature): Request => ({ prompt: textPrompt(random, 20), n: 5, maxTokens: 180, temperature, stop: [] })),
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

engineTest(
  "500 requests have the same bits in pages, with preemptions, as with a full reservation, and hold less of the cache",
  async ({ device, random }) => {
    using model = littleModel(device, random);
    const requests = [...crowdedRequests(random), ...mixedRequests(random, device.kind === "cpu" ? 497 : 57)];
    // A page that holds any answer is a reservation of its full length.
    const reserved = await answers(model, requests, { pageTokens: 1024, cacheTokens: 24 * 400 });
    const paged = await answers(model, requests, { cacheTokens: 24 * 400 });
    assertEquals(paged.answers, reserved.answers);
    assertEquals([paged.stats.preemptions, reserved.stats.preemptions], [0, 0]);
    const [most, before] = [paged.stats.peakCacheTokens, reserved.stats.peakCacheTokens];
    assert(most < 0.7 * before, `pages held ${most} tokens, the reservation ${before}`);
    const tight = await answers(model, requests, { cacheTokens: 500 });
    assertEquals(tight.answers, reserved.answers);
    assert(tight.stats.preemptions > 0, "nothing was preempted");
    assert(tight.stats.peakCacheTokens <= 500);
  },
  { dtypes: ["f32"] },
);

engineTest("an engine's page is a power of two", ({ device, random }) => {
  using model = littleModel(device, random);
  for (const pageTokens of [32, 96]) {
    assertThrows(() => littleEngine(model, { pageTokens }).limits, RangeError, `pageTokens is ${pageTokens}`);
  }
}, { dtypes: ["f32"] });
