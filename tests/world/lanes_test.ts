import { assertEquals, assertThrows } from "@std/assert";
import { lanesFor } from "../../actors/config/lanes.ts";
import { dealLanes } from "../../actors/policy/lanes.ts";
import { packAnswers, unpackAnswers } from "../../actors/trainer/answer_bytes.ts";
import { answersMessage, heldAnswers } from "../../actors/prompts.ts";
import { ActorMemory } from "../../actors/runtime/actor_memory.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { divide } from "../../tensor/collectives.ts";
import { openOwner } from "../../tensor/owner.ts";

// The library of the CPU stays loaded.
Deno.test.sanitizer({ ops: true, resources: false });

Deno.test("each thing goes to one rank, and no rank has more than an even share and the largest thing", () => {
  for (let trial = 0; trial < 200; trial++) {
    const ranks = 1 + Math.floor(Math.random() * 8),
      sizes = Array.from({ length: 1 + Math.floor(Math.random() * 40) }, () => Math.ceil(Math.random() * 1000));
    const owner = divide(sizes, ranks),
      held = Array.from({ length: ranks }, (_, k) => sizes.reduce((sum, size, i) => sum + (owner[i] === k ? size : 0), 0));
    const all = sizes.reduce((a, b) => a + b, 0);
    assertEquals(held.reduce((a, b) => a + b, 0), all);
    assertEquals(Math.max(...held) <= all / ranks + Math.max(...sizes), true, JSON.stringify({ sizes, ranks }));
  }
});

Deno.test("lanes hold every group once, in rising order, and lanes may be empty", () => {
  const sizes = [5, 1, 9, 3, 3].map((prompt) => ({ prompt, lengths: [2] }));
  assertEquals(dealLanes(sizes, 2).flat().sort(), [0, 1, 2, 3, 4]);
  assertEquals(dealLanes(sizes, 1), [[0, 1, 2, 3, 4]]);
  assertEquals(dealLanes(sizes.slice(0, 2), 4), [[0], [1], [], []]);
});

Deno.test("the lanes of a checkpoint hold, and ranks that cannot share them are refused", () => {
  assertEquals([
    lanesFor(1, { wanted: null, saved: undefined }),
    lanesFor(2, { wanted: null, saved: 8 }),
    lanesFor(3, { wanted: 6, saved: undefined }),
  ], [1, 8, 6]);
  assertThrows(() => lanesFor(2, { wanted: 4, saved: 8 }), KedgeError, "world.lanes was 8, now 4");
  assertThrows(() => lanesFor(4, { wanted: null, saved: 2 }), RangeError, "Cannot divide 2 lanes, with which the run began, among 4 ranks");
  assertThrows(() => lanesFor(1, { wanted: 6, saved: undefined }), RangeError, "each rank needs 1, 2, 4, 8");
});

Deno.test("answers that come from another rank are those that it had", () => {
  using device = CpuDevice.open({ threads: 1 });
  using memory = new ActorMemory(openOwner(device), { device: "cpu", threads: 1 });
  const completion = (tokens: number[], profile: number[] | undefined) => ({
    tokens: Int32Array.from(tokens),
    logprobs: Float32Array.from(tokens, (id) => -id / 3),
    entropies: Float32Array.from(tokens, () => NaN),
    finish: "stop" as const,
    connectivity: Float32Array.from(tokens, (id) => id / 7),
    ...(profile && { profile: Float32Array.from(profile), regions: { regions: 2, boxes: [], region: [0, 1, -1] } }),
  });
  const groups = [[completion([4, 5], [0.1, 0.2, 0.3, 0.4]), completion([6], [0.5, 0.6])], [completion([7, 8, 9], undefined)]];
  for (const group of groups) {
    // deno-lint-ignore no-explicit-any -- the fields that are read
    const handles = answersMessage(memory, group as any, (tensor) => tensor as any);
    // deno-lint-ignore no-explicit-any -- the tensors themselves
    using answers = heldAnswers(handles, (handle) => handle as any);
    const [again] = unpackAnswers(memory, packAnswers([{ answers, greedy: "7" }]));
    using other = again!.answers;
    assertEquals(again!.greedy, "7");
    for (const name of ["tokens", "logprobs", "entropies", "connectivity", "profile"] as const) {
      assertEquals(other[name]?.toArray(), answers[name]?.toArray(), name);
    }
    assertEquals([other.lengths, other.finish, other.regions, other.visible], [
      answers.lengths,
      answers.finish,
      answers.regions,
      answers.visible,
    ]);
  }
});
