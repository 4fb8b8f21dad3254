import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import type { Completion, GenerationEvent } from "../../model/engine/completion.ts";
import type { GenerateOptions } from "../../model/engine/engine.ts";
import type { Request } from "../../model/engine/request.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { Prompt } from "../../model/prompt.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Random } from "../ops/harness.ts";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  engineTest,
  IMAGE,
  LITTLE_FAMILIES,
  littleEngine,
  type LittleFamily,
  littleModel,
  picturePrompt,
  plain,
  textPrompt,
  VIDEO,
  videoPrompt,
  VISION_END,
  VISION_START,
  VOCAB,
} from "./engine_fixture.ts";

const SUPPRESSED = [IMAGE, VIDEO, VISION_START, VISION_END];

function mixedPrompts(random: Random, family: LittleFamily = "qwen2_5_vl"): Prompt[] {
  return [
    videoPrompt(random, { grid: { t: 3, h: 4, w: 6 }, family }),
    textPrompt(random, 1),
    textPrompt(random, 70),
    picturePrompt(random, { grids: [[4, 6]] }),
    picturePrompt(random, { grids: [[8, 8], [2, 4]], before: 0, after: 30 }),
    textPrompt(random, 17),
    picturePrompt(random, { grids: [[2, 2]], before: 40, after: 0 }),
  ];
}

/** Logits of the rows that predict a completion's tokens, by the training forward. */
function forwardLogits(model: VisionLanguageModel, prompt: Prompt, tokens: Int32Array<ArrayBuffer>): Float32Array[] {
  using tape = new Tape(model.device, { record: false });
  using batch = PackedBatch.pack(model, [{ prompt, responses: [tokens] }]);
  const all = model.logits(tape, model.hidden(tape, batch)).tensor.toFloats();
  const first = prompt.tokens.length - 1;
  return Array.from(tokens, (_, t) => all.slice((first + t) * VOCAB, (first + t + 1) * VOCAB));
}

engineTest("greedy tokens are the argmax of the full forward", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const prompts = mixedPrompts(random);
  const completions = await engine.generate(prompts, { temperature: 0, maxTokens: 20, stop: [], suppress: [] });
  for (const [i, prompt] of prompts.entries()) {
    const { tokens } = completions[i]![0]!;
    for (const [t, logits] of forwardLogits(model, prompt, tokens).entries()) {
      const best = Math.max(...logits);
      // Two logits may be swapped if they are nearer than the difference of the two forwards.
      if (!(logits[tokens[t]!]! >= best - 1e-4)) {
        throw new Error(`token ${t} of prompt ${i} is ${tokens[t]}, the argmax ${logits.indexOf(best)}`);
      }
    }
  }
}, { dtypes: ["f32"] });

for (const family of LITTLE_FAMILIES) {
  engineTest(`recorded log-probs and entropies are those of the training forward, ${family}`, async ({ device, dtype, random }) => {
    using model = littleModel(device, random, dtype, family);
    using engine = littleEngine(model, { prefillTokens: 50 });
    const prompts = mixedPrompts(random, family);
    const tolerance = dtype === "f32" ? 1e-5 : 0.1;
    for (const [temperature, suppress] of [[1, undefined], [0.6, [5, 6]], [0, []]] as const) {
      // deno-lint-ignore no-await-in-loop
      const completions = await engine.generate(prompts, {
        n: 3,
        temperature,
        maxTokens: 15,
        stop: [],
        topP: 0.9,
        ...(suppress && { suppress }),
      });
      using batch = PackedBatch.pack(
        model,
        prompts.map((prompt, i) => ({ prompt, responses: completions[i]!.map(({ tokens }) => tokens) })),
      );
      const mask = new Uint8Array(VOCAB);
      for (const token of suppress ?? SUPPRESSED) mask[token] = 1;
      using marks = Tensor.from(device, mask);
      using tape = new Tape(device, { record: false });
      const { logprob, entropy } = model.logProbs(tape, batch, { temperature: temperature || 1, suppress: marks });
      const all = completions.flat();
      assertNear(all.flatMap(({ logprobs }) => [...logprobs]), logprob.tensor.toFloats(), { what: "log-probs", tolerance });
      assertNear(all.flatMap(({ entropies }) => [...entropies]), entropy.tensor.toFloats(), { what: "entropies", tolerance });
      const filtered = all.flatMap(({ filteredLogprobs }) => [...filteredLogprobs]),
        plainOnes = all.flatMap(({ logprobs }) => [...logprobs]);
      assertEquals(filtered.every((value, i) => value >= plainOnes[i]! - 1e-6 && value <= 1e-6), true);
    }
  });
}

function assertNear(
  actual: readonly number[],
  expected: ArrayLike<number>,
  { what, tolerance }: { what: string; tolerance: number },
): void {
  assertEquals(actual.length, expected.length);
  for (const [i, value] of actual.entries()) {
    if (!(Math.abs(value - expected[i]!) <= tolerance * Math.max(1, Math.abs(expected[i]!)))) {
      throw new Error(`${what}[${i}]: ${value}, expected ${expected[i]}`);
    }
  }
}

for (const family of ["qwen2_5_vl", "qwen3_vl"] as const) {
  engineTest(
    `a sequence has the same bits whatever the order, the neighbours, the limits and the threads, ${family}`,
    async ({ device, dtype, random }) => {
      using model = littleModel(device, random, dtype, family);
      const prompts = mixedPrompts(random, family);
      const options: GenerateOptions[] = [
        { n: 3, seed: 1, maxTokens: 12, connectivity: true },
        { n: 2, seed: 2n ** 63n, maxTokens: 30, temperature: 0.7, topK: 20 },
        {
          n: 1,
          seed: 3,
          maxTokens: 9,
          topP: 0.8,
          suppress: [1, 2, 3],
          connectivity: { row: "self", sinkRenorm: "row", layers: "last-half" },
        },
        { n: 4, seed: 4, maxTokens: 5, minP: 0.2, suppress: [], connectivity: { profileRegions: 5 } },
      ];
      const requests: Request[] = options.flatMap((option) => prompts.map((prompt) => ({ prompt, ...option })));
      const run = async (order: readonly number[], limits: Parameters<typeof littleEngine>[1]) => {
        using engine = littleEngine(model, { deterministic: true, ...limits });
        const tickets = order.map((i) => ({ i, ticket: engine.submit(requests[i]!) }));
        while (engine.step());
        const results: Completion[][] = new Array(requests.length);
        await Promise.all(tickets.map(async ({ i, ticket }) => results[i] = await ticket.result));
        return plain(results);
      };
      const order = requests.map((_, i) => i);
      const reference = await run(order, {});
      assertEquals(await run(order.toReversed(), { maxSequences: 3, prefillTokens: 7, packed: false }), reference);
      const threads = device instanceof CpuDevice ? device.threads : 1;
      if (device instanceof CpuDevice) device.threads = threads === 1 ? 3 : 1;
      const shuffled = order.toSorted(() => random.next() - 0.5);
      assertEquals(await run(shuffled, { maxSequences: 40, prefillTokens: 200, cacheTokens: 150 }), reference);
      if (device instanceof CpuDevice) device.threads = threads;
    },
  );
}

engineTest("a request in the middle of others changes none of their tokens, and shares their steps", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { deterministic: true });
  const prompts = mixedPrompts(random), options = { n: 2, maxTokens: 25, stop: [] };
  const alone = plain(await engine.generate(prompts, options));
  const { steps } = engine.stats;
  let chat: Promise<Completion[][]> | undefined;
  const seen: GenerationEvent[] = [];
  for await (const event of engine.stream(prompts, options)) {
    seen.push(event);
    if (seen.length === 40) chat = engine.generate([textPrompt(random, 30)], { maxTokens: 3, stop: [] });
  }
  const together = prompts.map(() => [] as Completion[]);
  for (const event of seen) if (event.type === "end") together[event.prompt]![event.sample] = event.completion;
  assertEquals(plain(together), alone);
  assertEquals((await chat!)[0]![0]!.tokens.length, 3);
  assertEquals(engine.stats.steps - steps <= steps + 3, true);
});

engineTest("a stream yields each token once, in order, and the completions of generate", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { deterministic: true });
  const prompts = mixedPrompts(random), options = { n: 3, maxTokens: 15, seed: 9, connectivity: { row: "self" as const } };
  const expected = plain(await engine.generate(prompts, options));
  const tokens = prompts.map(() => Array.from({ length: 3 }, () => [] as number[]));
  const ends = prompts.map(() => [] as Completion[]);
  for await (const event of engine.stream(prompts, options)) {
    if (event.type === "end") {
      assertEquals(ends[event.prompt]![event.sample], undefined);
      ends[event.prompt]![event.sample] = event.completion;
      continue;
    }
    assertEquals([event.index, ends[event.prompt]![event.sample]], [tokens[event.prompt]![event.sample]!.length, undefined]);
    tokens[event.prompt]![event.sample]!.push(event.token);
  }
  assertEquals(plain(ends), expected);
  assertEquals(tokens, expected.map((samples) => samples.map((each) => each.tokens)));
});

engineTest("the samples of a prompt are read once, together or one after the other", async ({ device, random }) => {
  using model = littleModel(device, random);
  const prompt = picturePrompt(random, { grids: [[4, 4]], after: 20 });
  for (const maxSequences of [16, 3]) {
    using engine = littleEngine(model, { maxSequences });
    // deno-lint-ignore no-await-in-loop
    const [samples] = await engine.generate([prompt], { n: 16, maxTokens: 4, stop: [] });
    const { prefilledTokens, encodedPrompts, drawnTokens, decodedRows, peakSequences } = engine.stats;
    assertEquals([prefilledTokens, encodedPrompts, drawnTokens, decodedRows], [prompt.tokens.length, 1, 64, 48]);
    assertEquals([samples!.length, peakSequences], [16, maxSequences]);
    assertEquals(new Set(samples!.map(({ tokens }) => tokens.join())).size > 1, true);
  }
});

engineTest("a signal stops a call within a step, and the others continue", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { maxSequences: 4 });
  const prompts = [textPrompt(random, 8), textPrompt(random, 5), textPrompt(random, 6)];
  const other = engine.generate([textPrompt(random, 4)], { maxTokens: 60, stop: [] });
  const controller = new AbortController();
  let steps = 0;
  const ends: Completion[] = [];
  for await (const event of engine.stream(prompts, { n: 2, maxTokens: 50, stop: [], signal: controller.signal })) {
    if (event.type === "end") ends.push(event.completion);
    else if (event.index === 10 && steps === 0) {
      controller.abort();
      steps = engine.stats.steps;
    }
  }
  assertEquals(ends.map(({ finish }) => finish), new Array(6).fill("aborted"));
  assertEquals(ends.map(({ tokens }) => tokens.length).sort((a, b) => a - b), [0, 0, 0, 11, 11, 11]);
  assertEquals(engine.stats.steps - steps <= 1, true);
  assertEquals((await other)[0]![0]!.tokens.length, 60);
  const [[early]] = await engine.generate(prompts.slice(1, 2), { signal: AbortSignal.abort() }) as unknown as [[Completion]];
  assertEquals([early.finish, early.tokens.length], ["aborted", 0]);
});

engineTest("leaving a stream's loop cancels the rest", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  for await (const event of engine.stream([textPrompt(random, 8)], { n: 4, maxTokens: 1000, stop: [] })) {
    if (event.type === "token" && event.index === 3) break;
  }
  assertEquals(engine.step(), false);
  engine.release();
});

for (const [family, count] of [["qwen2_5_vl", 500], ["qwen3_vl", 100]] as const) {
  engineTest(
    `${count} requests of any length run within the bound and leave nothing behind, ${family}`,
    async ({ device: shared, random }) => {
      // A separate device has a separate workspace, so that its growth is counted.
      using own = shared.kind === "cpu" ? CpuDevice.open({ threads: 2 }) : undefined;
      const device = own ?? shared;
      using model = littleModel(device, random, "f32", family);
      const requests = Array.from({ length: count }, (_, i): Request => {
        const picture = random.next() < 0.15;
        const prompt = picture
          ? picturePrompt(random, {
            grids: Array.from({ length: random.integer(1, 3) }, () => [2 * random.integer(1, 6), 2 * random.integer(1, 6)] as const),
          })
          : textPrompt(random, random.integer(1, random.next() < 0.1 ? 150 : 30));
        const connectivity = random.next() < 0.2;
        return {
          prompt,
          n: random.integer(1, 5),
          maxTokens: random.integer(1, 12),
          topK: random.integer(0, 3) * 20,
          key: `${i}`,
          connectivity,
        };
      });
      const least = requests.reduce((most, request) => {
        using probe = littleEngine(model, { memoryBytes: 1, packed: false });
        const { details } = assertThrows(() => probe.submit(request), KedgeError) as KedgeError;
        return Math.max(most, details.asked as number);
      }, 0);
      const memoryBytes = least + 60_000;
      device.synchronize();
      device.resetPeak();
      const before = device.memory();
      {
        using engine = littleEngine(model, { memoryBytes, packed: false });
        const results = requests.map((request) => engine.submit(request));
        while (engine.step());
        const completions = await Promise.all(results.map(({ result }) => result));
        for (const [i, samples] of completions.entries()) {
          assertEquals(samples.length, requests[i]!.n);
          for (const { tokens, finish } of samples) {
            assertEquals(tokens.length === requests[i]!.maxTokens || finish === "stop", true);
            assertEquals(finish === "stop" || finish === "length", true);
          }
        }
        const { peak } = device.memory();
        if (!(peak - before.used <= memoryBytes)) throw new Error(`${peak - before.used} bytes were used, the bound is ${memoryBytes}`);
        if (!(engine.stats.peakSequences > 4)) throw new Error(`only ${engine.stats.peakSequences} sequences ran at once`);
        assertEquals(engine.limits.memoryBytes, memoryBytes);
        engine.release();
        device.synchronize();
        const { allocations } = device.memory();
        if (!(allocations <= before.allocations + 1)) throw new Error(`${allocations - before.allocations} allocations were left`);
        const [again] = await engine.generate([requests[0]!.prompt], { maxTokens: 2, stop: [] });
        assertEquals(again![0]!.tokens.length, 2);
      }
    },
    { dtypes: ["f32"] },
  );
}

engineTest("limits that the engine reports divide the memory in the same way", ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  using same = littleEngine(model, engine.limits);
  assertEquals(same.limits, engine.limits);
  assertEquals(engine.limits.cacheTokens > 0, true);
});

engineTest("the cache grows for waiting sequences, and stays while sequences run", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const few = [textPrompt(random, 5)], many = Array.from({ length: 20 }, () => textPrompt(random, 300));
  await engine.generate(few, { maxTokens: 3, stop: [] });
  assertEquals(engine.limits.cacheTokens, 4096);
  const under = engine.submit({ prompt: few[0]!, maxTokens: 30, stop: [] });
  engine.step();
  const rest = many.map((prompt) => engine.submit({ prompt, maxTokens: 3, stop: [] }));
  while (engine.step());
  assertEquals([under.done, engine.limits.cacheTokens], [true, 4096]);
  const again = await engine.generate(many, { maxTokens: 3, stop: [] });
  assertEquals(plain(again), plain(await Promise.all(rest.map(({ result }) => result))));
  assertEquals(engine.limits.cacheTokens, 2 * 20 * 302);
}, { dtypes: ["f32"] });

engineTest("memory that was divided for small pictures is divided again for a large one", async ({ device, random }) => {
  using model = littleModel(device, random);
  const small = picturePrompt(random, { grids: [[2, 2]] }), large = picturePrompt(random, { grids: [[20, 20]] });
  using probe = littleEngine(model, { memoryBytes: 1 });
  const { details } = assertThrows(() => probe.submit({ prompt: large, maxTokens: 20 }), KedgeError) as KedgeError;
  using engine = littleEngine(model, { memoryBytes: (details.asked as number) + 5000, packed: false });
  await engine.generate([small], { maxTokens: 5, stop: [] });
  const before = engine.limits;
  const completions = await engine.generate([small, large, small], { n: 2, maxTokens: 20, stop: [] });
  assertEquals(completions.flat().map(({ tokens }) => tokens.length), new Array(6).fill(20));
  assertEquals(engine.limits.promptBytes > before.promptBytes && engine.limits.cacheTokens < before.cacheTokens, true);
});

engineTest("a bad picture ends only its own call", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const good = picturePrompt(random, { grids: [[4, 4]] }), bad = picturePrompt(random, { grids: [[4, 4]] });
  const broken = { ...bad, visuals: [{ ...bad.visuals[0]!, pixels: { patches: new Float32Array(7) } }] };
  const first = engine.generate([good], { maxTokens: 5, stop: [] });
  const second = assertRejects(() => engine.generate([good, broken, good], { maxTokens: 500, stop: [] }), RangeError, "visual 0");
  assertEquals((await first)[0]![0]!.tokens.length, 5);
  await second;
  assertEquals(engine.step(), false);
});

engineTest("an error inside a step ends the current calls, and the engine still works", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { maxSequences: 2, capture: false });
  const prompt = textPrompt(random, 6);
  const first = engine.submit({ prompt, n: 2, maxTokens: 20, stop: [] }), waiting = engine.submit({ prompt, maxTokens: 4, stop: [] });
  for (let i = 0; i < 5; i++) engine.step();
  const ops = device.ops as { sample: unknown }, { sample } = ops;
  try {
    ops.sample = () => {
      throw new KedgeError("Device", "Cannot sample: the test broke it");
    };
    assertEquals(engine.step(), true);
  } finally {
    ops.sample = sample;
  }
  await assertRejects(() => first.result, KedgeError, "the test broke it");
  while (engine.step());
  assertEquals((await waiting.result)[0]!.tokens.length, 4);
  const thrower = engine.submit({
    prompt,
    maxTokens: 20,
    onToken: () => {
      throw new TypeError("the listener's own");
    },
  });
  while (engine.step());
  await assertRejects(() => thrower.result, TypeError, "the listener's own");
  engine.release();
});

engineTest("weights that hold a NaN are an error, not a token", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  model.parameters.norm!.tensor.fill(NaN);
  const error = await assertRejects(() => engine.generate([textPrompt(random, 4)]), KedgeError, "NaN") as KedgeError;
  assertEquals(error.code, "Diverged");
}, { dtypes: ["f32"] });

engineTest("too little memory on the device is an error that leaves no allocations", async ({ device, random }) => {
  if (!(device instanceof CpuDevice)) throw new Error("for the CPU");
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const { used, budget } = device.memory();
  device.setBudget(used + 100_000);
  try {
    await assertRejects(() => engine.generate([textPrompt(random, 4)]), KedgeError, "Cannot allocate");
    assertEquals(device.memory().used, used);
  } finally {
    device.setBudget(budget);
  }
  assertEquals((await engine.generate([textPrompt(random, 4)], { maxTokens: 3, stop: [] })).flat()[0]!.tokens.length, 3);
}, { cpuOnly: true });

engineTest("new weights are used at once, and are refused while sequences run", async ({ device, random }) => {
  using model = littleModel(device, random);
  using other = littleModel(device, random);
  const prompt = textPrompt(random, 6), options = { maxTokens: 10, stop: [], temperature: 0 };
  for (const packed of [true, false]) {
    using engine = littleEngine(model, { packed });
    using reference = littleEngine(other, { packed: false });
    // deno-lint-ignore no-await-in-loop
    await engine.generate([prompt], options);
    const swap = () => {
      for (const [name, { tensor }] of Object.entries(model.parameters)) {
        using mine = tensor.copy();
        tensor.copyFrom(other.parameters[name]!.tensor);
        other.parameters[name]!.tensor.copyFrom(mine);
      }
    };
    swap();
    // deno-lint-ignore no-await-in-loop
    const after = plain(await engine.generate([prompt], options));
    swap();
    // deno-lint-ignore no-await-in-loop
    assertEquals(after, plain(await reference.generate([prompt], options)));
    const ticket = engine.submit({ prompt, ...options });
    engine.step();
    assertThrows(() => engine.release(), RangeError, "1 sequences are under way");
    swap();
    engine.step();
    // deno-lint-ignore no-await-in-loop
    await assertRejects(() => ticket.result, RangeError, "the weights were changed");
    swap();
  }
});

engineTest("if there are too many masks, they wait for one another", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model);
  const prompt = textPrompt(random, 6);
  const tickets = Array.from({ length: 14 }, (_, i) => engine.submit({ prompt, maxTokens: 6, stop: [], suppress: [i] }));
  while (engine.step());
  for (const [i, { result }] of tickets.entries()) {
    // deno-lint-ignore no-await-in-loop
    const [{ tokens }] = await result as [Completion];
    assertEquals([tokens.length, tokens.includes(i)], [6, false]);
  }
});

engineTest("an engine that is disposed of ends its calls with an error", async ({ device, random }) => {
  using model = littleModel(device, random);
  const engine = littleEngine(model);
  const ticket = engine.submit({ prompt: textPrompt(random, 4), maxTokens: 30 });
  engine.step();
  engine[Symbol.dispose]();
  engine[Symbol.dispose]();
  await assertRejects(() => ticket.result, RangeError, "disposed");
  assertThrows(() => engine.step(), RangeError, "disposed");
});

engineTest("equal prompts get equal answers under one key, and different ones under different keys", async ({ device, random }) => {
  using model = littleModel(device, random);
  using engine = littleEngine(model, { deterministic: true });
  const prompt = picturePrompt(random, { grids: [[4, 4]] });
  const copy = { tokens: prompt.tokens.slice(), visuals: prompt.visuals };
  const options = { maxTokens: 12, stop: [] };
  const [a, b] = plain(await engine.generate([prompt, copy], options));
  const [c, d] = plain(await engine.generate([prompt, copy], { ...options, keys: ["row 1", "row 2"] }));
  const [e] = plain(await engine.generate([prompt], { ...options, seed: 1 }));
  assertEquals(a, b);
  assertEquals(new Set([a, c, d, e].map((each) => each![0]!.tokens.join())).size, 4);
});
