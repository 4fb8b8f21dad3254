import { PackedBatch } from "../../model/packed_batch.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { dot } from "../../tensor/ops/mod.ts";
import { AdamW } from "../../tensor/optimizer.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assert, assertEquals } from "@std/assert";
import { assertNear, modelTest } from "./golden.ts";
import { PEFT_JOBS, PeftGolden, peftNumbers } from "./peft_golden.ts";

const goldens = PEFT_JOBS.map((job) => new PeftGolden(job));

function batchOf(model: VisionLanguageModel, { mixed }: PeftGolden): PackedBatch {
  const { prompt, response } = mixed.cases[0]!;
  return PackedBatch.pack(model, [{ prompt, responses: [response] }], { closing: true });
}

function logitsOf(model: VisionLanguageModel, golden: PeftGolden): Float32Array<ArrayBuffer> {
  using batch = batchOf(model, golden);
  using tape = new Tape(model.device, { record: false });
  return model.logits(tape, model.hidden(tape, batch)).tensor.toFloats();
}

/** Accumulates the gradients of the mean of -log p. */
function backward(model: VisionLanguageModel, golden: PeftGolden): void {
  using batch = batchOf(model, golden);
  using tape = new Tape(model.device);
  using weights = Tensor.full(model.device, [batch.count], { value: -1 / batch.count });
  tape.backward(dot(model.logProbs(tape, batch).logprob, tape.constant(weights)));
}

for (const golden of goldens) {
  modelTest(
    `an adapter of PEFT gives PEFT's logits, and the base's when it is switched off: ${golden.job}`,
    ({ device, dtype, tolerance }) => {
      using model = golden.model(device, dtype);
      const allowed = tolerance({ f32: 1e-5, bf16: 0.06 });
      assertNear(logitsOf(model, golden), golden.floats("logits"), { what: "logits", tolerance: allowed });
      assertNear(model.withoutAdapters(() => logitsOf(model, golden)), golden.floats("base_logits"), {
        what: "base logits",
        tolerance: allowed,
      });
    },
    { emulated: golden.job === "names" },
  );

  modelTest(`gradients of an adapter and a step of AdamW are PEFT's: ${golden.job}`, ({ device }) => {
    using model = golden.model(device);
    using optimizer = new AdamW(device, [{ parameters: model.trained().map(({ parameter }) => parameter) }], { weightDecay: 0.1 });
    backward(model, golden);
    const gradients = peftNumbers(model, ({ grad }) => grad!);
    assertEquals([...gradients.keys()].sort(), golden.keys("grad").sort());
    for (const [key, numbers] of gradients) assertNear(numbers, golden.floats(`grad.${key}`), { what: key, tolerance: 1e-5 });
    const trained = new Set(model.trained().map(({ parameter }) => parameter));
    for (const parameter of Object.values(model.parameters)) assert(trained.has(parameter) || parameter.grad === undefined, parameter.name);
    optimizer.step({ lr: 0.01 });
    for (const [key, numbers] of peftNumbers(model, ({ tensor }) => tensor)) {
      assertNear(numbers, golden.floats(`after.${key}`), { what: key, tolerance: 1e-5 });
    }
    assertNear(logitsOf(model, golden), golden.floats("logits_after"), { what: "logits after the step", tolerance: 1e-5 });
  }, { dtypes: ["f32"], emulated: golden.job === "decoder" });
}
