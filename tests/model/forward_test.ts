import { familyOf } from "../../model/families.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { Tape } from "../../tensor/tape.ts";
import { assertEquals } from "@std/assert";
import { assertNear, Golden, modelTest } from "./golden.ts";

/**
 * The golden logits of Qwen2.5-VL's `tied` and `untied` are float32 themselves, of weights so large that rounding grows: the implementation that made them gives,
 * in float64, logits that differ by 0.4e-5 to 3.6e-5 (relative norm, by case) from its float32 ones, and by 0.5e-5 to 1.7e-5 from those of this project.
 * Compiled for AVX-512 the emulation differs by 4.3e-5 from them.
 */
const ROUNDED_LOGITS = 5e-5;

/**
 * The tolerance of bf16 against f32: a few successive roundings of 2^-9. The errors of `tied` and `untied` grow too large; they are only
 * for f32.
 */
const BF16 = 0.04;

for (const golden of Golden.all()) {
  const where = golden.name === "mixed" ? { emulated: true } : { dtypes: ["f32"] as const };
  Deno.test(`position ids are the golden ones [${golden.title}]`, () => {
    for (const each of golden.all) {
      const { axes, next } = familyOf(golden.config).positions(each.prompt, golden.config);
      const tail = Array.from(each.response, (_, i) => next + i);
      assertEquals(axes.flatMap((axis) => [...axis, ...tail]), [...each.ints("position_ids")], each.name);
    }
  });

  modelTest(`visual embeddings and features are the golden ones, ${golden.title}`, ({ device, dtype, tolerance }) => {
    using model = golden.model(device, dtype);
    for (const each of golden.cases.filter(({ visuals }) => visuals.length > 0)) {
      using tape = new Tape(device, { record: false });
      const [embeddings, ...added] = model.visualFeatures(tape, each.visuals);
      const allowed = tolerance({ f32: 1e-5, bf16: BF16 });
      assertNear(embeddings.tensor.toFloats(), each.visualEmbeds, { what: each.name, tolerance: allowed });
      assertEquals(added.length, golden.config.vision.deepstackBlocks?.length ?? 0);
      for (const [i, { tensor }] of added.entries()) {
        assertNear(tensor.toFloats(), each.deepstack(i), { what: `${each.name}, feature ${i}`, tolerance: allowed });
      }
    }
  }, where);

  modelTest(`logits are the golden ones, ${golden.title}`, ({ device, dtype, tolerance }) => {
    using model = golden.model(device, dtype);
    for (const each of golden.cases) {
      using tape = new Tape(device, { record: false });
      using batch = PackedBatch.pack(model, [{ prompt: each.prompt, responses: [each.response] }], { closing: true });
      const logits = model.logits(tape, model.hidden(tape, batch));
      assertNear(logits.tensor.toFloats(), each.floats("logits"), {
        what: each.name,
        tolerance: tolerance({ f32: golden.rounded ? ROUNDED_LOGITS : 1e-5, bf16: BF16 }),
      });
    }
  }, where);

  modelTest(`log-probs and entropies are the golden ones, ${golden.title}`, ({ device, dtype, tolerance }) => {
    using model = golden.model(device, dtype);
    for (const each of golden.cases) {
      using tape = new Tape(device, { record: false });
      using batch = PackedBatch.pack(model, [{ prompt: each.prompt, responses: [each.response] }]);
      const { logprob, entropy } = model.logProbs(tape, batch);
      assertNear(logprob.tensor.toFloats(), each.floats("response_logprobs"), {
        what: `${each.name} log-probs`,
        tolerance: tolerance({ f32: 1e-5, bf16: BF16 }),
      });
      assertNear(entropy.tensor.toFloats(), each.floats("entropy"), {
        what: `${each.name} entropy`,
        tolerance: tolerance({ f32: 1e-5, bf16: BF16 }),
      });
    }
  }, where);
}
