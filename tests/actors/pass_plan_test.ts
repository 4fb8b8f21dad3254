import { assert, assertEquals } from "@std/assert";
import { Learner, type LearnerOptions, PLAIN_LEARNER } from "../../actors/policy/learner.ts";
import { PassPlanner } from "../../actors/policy/pass_plan.ts";
import type { Device } from "../../ffi/device.ts";
import { passMemory } from "../../model/activation_memory.ts";
import { presetConfig } from "../../model/config/presets.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { Prompt } from "../../model/prompt.ts";
import { openDevice } from "../../tensor/mod.ts";
import { CPU_LOGITS } from "../../tensor/ops/projection.ts";
import { Tensor } from "../../tensor/tensor.ts";

const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
const config = presetConfig("tiny", { tokens, vocabSize: 95 }), { text: { layers }, vision: { depth } } = config;
const responses = [Int32Array.of(1, 2, 3, 4, 5), Int32Array.of(7, 8, 94)];
const pixels = { frames: Uint8Array.from({ length: 56 * 56 * 3 }, (_, i) => i % 251), count: 1, mean: [0, 0, 0], std: [1, 1, 1] } as const;
/** A prompt with a picture of 4 merged tokens. */
const prompt: Prompt = {
  tokens: Int32Array.of(92, 90, 90, 90, 90, 93, 5, 6),
  visuals: [{ kind: "image", grid: { t: 1, h: 4, w: 4 }, pixels }],
};

/** The device, which says that so many bytes are there in all, and free. */
function withMemory(device: Device, bytes: () => number): Device {
  const memory = () => ({ ...device.memory(), used: 0, budget: bytes(), free: bytes() });
  return new Proxy(device, {
    get(target, name) {
      const value = name === "memory" ? memory : Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const OPTIONS: LearnerOptions = { ...PLAIN_LEARNER, microTokens: 16, checkpointing: "auto", optimizer: { maxNorm: 1 } };

/** The bits of the weights after two updates on a device of so much memory, and what the micro-batches kept. */
function trained(plain: Device, bytes: number): { bits: string; kept: string[] } {
  const device = withMemory(plain, () => bytes), kept: string[] = [];
  using model = VisionLanguageModel.initialise(config, { device, dtype: "f32", seed: 3 });
  const logProbs = model.logProbs.bind(model);
  model.logProbs = (tape, batch, options) => {
    kept.push(JSON.stringify(options!.checkpointing));
    return logProbs(tape, batch, options);
  };
  using learner = new Learner(model, OPTIONS);
  const logprobs = responses.map(({ length }) => new Float32Array(length).fill(-4)), counts = [true, true];
  const groups = [1, 2].map(() => ({ prompt, responses, logprobs, counts }));
  using advantages = Tensor.from(device, Float32Array.from({ length: 16 }, (_, i) => Math.sin(i)));
  const inputs = { advantages, klCoefficient: 0, temperature: 1, entropyCoefficient: 0, lr: 1e-3 };
  for (let step = 0; step < 2; step++) {
    learner.update(groups, inputs);
    assert(model.trained().every(({ parameter: { grad } }) => grad === undefined));
  }
  const bits = model.trained().map(({ parameter: { tensor } }) => new Uint32Array(tensor.toFloats().buffer).join());
  return { bits: bits.join(), kept };
}

const less = "with less memory a learner recomputes more blocks, and gives the same weights to the bit";
Deno.test({ name: less, sanitizeResources: false }, () => { // a loaded library stays
  using device = openDevice("cpu");
  const much = trained(device, 2 ** 40), none = trained(device, 0);
  assertEquals(much.kept, Array(4).fill(JSON.stringify({ text: layers, vision: depth })));
  assertEquals(none.kept, Array(4).fill('"full"'));
  assertEquals(none.bits, much.bits);
});

Deno.test("the memory of gradients is free after a step", () => {
  using device = openDevice("cpu");
  using model = VisionLanguageModel.initialise(config, { device, dtype: "f32", seed: 3 });
  using learner = new Learner(model, OPTIONS);
  const elements = model.trained().reduce((sum, { parameter: { tensor } }) => sum + tensor.size, 0);
  learner.supervise([{ prompt, response: responses[0]! }], 0); // the workspace is there from now on
  const before = device.memory().used;
  learner.supervise([{ prompt, response: responses[0]! }], 1e-3);
  assert(Math.abs(device.memory().used - before) < elements, `${device.memory().used - before} bytes more`);
  device.resetPeak();
  learner.supervise([{ prompt, response: responses[0]! }], 1e-3);
  assert(device.memory().peak - before > 4 * elements, "they are there within a step");
  assert(model.trained().every(({ parameter: { grad } }) => grad === undefined));
});

Deno.test("a plan keeps what has room beside the gradients in 0.95 of what is free", () => {
  using plain = openDevice("cpu");
  let bytes = 0;
  const device = withMemory(plain, () => bytes);
  using model = VisionLanguageModel.initialise(config, { device, dtype: "f32", seed: 3 });
  using batch = PackedBatch.pack(model, [{ prompt, responses }]);
  const planner = new PassPlanner(model, "auto"), options = { dtype: "f32", tower: true, logits: CPU_LOGITS, reference: false } as const;
  const gradients = 4 * model.trained().reduce((sum, { parameter: { tensor } }) => sum + tensor.size, 0);
  for (const kept of [{ text: 1, vision: 0 }, { text: layers, vision: 0 }, { text: layers, vision: depth }]) {
    const sizes = { rows: batch.rows, targets: batch.count, patches: 16 };
    bytes = Math.ceil((passMemory(config, sizes, { ...options, checkpointing: kept }).peak + gradients + 1) / 0.95);
    planner.begin();
    assertEquals(planner.plan(batch), { checkpointing: kept });
    // Lanes hold sums beside the gradient that they compute.
    bytes += Math.ceil(2 * gradients / 0.95);
    planner.begin(3);
    assertEquals(planner.plan(batch), { checkpointing: kept });
  }
  assertEquals(new PassPlanner(model, "blocks").plan(batch), { checkpointing: "blocks" });
});
