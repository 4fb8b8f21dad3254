import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { DynamicSampler, type DynamicSamplerState } from "../../rl/sampling.ts";

const good = (group: string) => ({ group, accuracies: [1, 0] });
const right = (group: string) => ({ group, accuracies: [1, 1, 1] });
const wrong = (group: string) => ({ group, accuracies: [0, 0] });

Deno.test("groups strictly between the bounds are kept, with the reason for the others", () => {
  const sampler = new DynamicSampler<string>(9, { filterLow: 0.25, filterHigh: 0.75 });
  const at = (...accuracies: number[]) => ({ group: accuracies.join(), accuracies });
  const groups = [at(1, 0), at(1, 0, 0, 0), at(1, 1, 1, 0), at(NaN, NaN), at(), at(NaN, 1, 0), at(NaN, 1)];
  assertEquals(sampler.add(groups), ["kept", "allWrong", "allRight", "notGraded", "notGraded", "kept", "allRight"]);
  assertEquals(sampler.state.surplus, ["1,0", "NaN,1,0"]);
});

Deno.test("surplus groups are used first in the next step, in order", () => {
  const sampler = new DynamicSampler<string>(2);
  sampler.add([good("a"), wrong("x"), good("b"), good("c")]);
  const first = sampler.take();
  assertEquals(first, { groups: ["a", "b"], tries: 1, counts: { kept: 3, allWrong: 1, allRight: 0, notGraded: 0 } });
  assertEquals(sampler.needs, 1);
  assertThrows(() => sampler.take(), RangeError, "1 are missing");
  sampler.add([right("y"), good("d"), good("e"), good("f")]);
  assertEquals(sampler.take().groups, ["c", "d"]);
  assertEquals([sampler.needs, sampler.take().groups, sampler.needs], [0, ["e", "f"], 2]);
});

Deno.test("sampling stops after maxTries batches with an error that counts the groups, and keeps the useful ones", () => {
  const sampler = new DynamicSampler<string>(3, { maxTries: 2 });
  sampler.add([good("a"), wrong("x")]);
  const error = assertThrows(() => sampler.add([wrong("y"), right("z"), { group: "n", accuracies: [NaN] }]), KedgeError);
  assertEquals(error.code, "BadData");
  const words =
    "2 batches gave 1. Of 5 groups seen, 1 were kept, 2 had a mean accuracy of 0.01 or less, 1 of 0.99 or more, 1 were not graded";
  assertEquals(error.message.includes(words), true, error.message);
  assertEquals(error.details, { size: 3, have: 1, tries: 2, kept: 1, allWrong: 2, allRight: 1, notGraded: 1 });
  assertEquals(sampler.state.surplus, ["a"]);
});

Deno.test("filling the step in the last try is not a failure; -1 has no limit; tries are counted per step", () => {
  const last = new DynamicSampler<string>(1, { maxTries: 2 });
  for (let step = 0; step < 3; step++) {
    last.add([wrong("x")]);
    last.add([good("a")]);
    assertEquals(last.take().tries, 2);
  }
  const patient = new DynamicSampler<string>(1, { maxTries: -1 });
  for (let i = 0; i < 100; i++) patient.add([wrong("x")]);
  assertEquals(patient.needs, 1);
});

Deno.test("a sampler restored from its JSON continues like the first one", () => {
  const sampler = new DynamicSampler<{ id: number }>(2, { maxTries: 3 });
  sampler.add([{ group: { id: 1 }, accuracies: [1, 0] }, { group: { id: 2 }, accuracies: [1, 1] }]);
  const state = JSON.parse(JSON.stringify(sampler.state)) as DynamicSamplerState<{ id: number }>;
  const restored = new DynamicSampler<{ id: number }>(2, { maxTries: 3, state });
  for (const one of [sampler, restored]) one.add([{ group: { id: 3 }, accuracies: [0, 1] }]);
  assertEquals(restored.take(), sampler.take());
});

Deno.test("invalid arguments are refused", () => {
  assertThrows(() => new DynamicSampler(0), RangeError, "0 groups");
  assertThrows(() => new DynamicSampler(1, { filterLow: 0.5, filterHigh: 0.5 }), RangeError, "between 0.5 and 0.5");
  assertThrows(() => new DynamicSampler(1, { maxTries: 0 }), RangeError, "0 times");
});
