import { PackedBatch, type PackOptions } from "../../model/packed_batch.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { scale, sum } from "../../tensor/ops/mod.ts";
import { Tape } from "../../tensor/tape.ts";
import { assertEquals } from "@std/assert";
import { assertNear, Golden, modelTest } from "./golden.ts";
import type { Group } from "../../model/packed_batch.ts";

/**
 * The golden gradients of Qwen2.5-VL's `tied` and `untied` are float32 themselves, of weights so large that rounding grows: the implementation that made them gives, in
 * float64, gradients that differ by up to 5.9e-4 (relative norm, by tensor) from its float32 ones, and by up to 6.9e-4 from those of this project. The others are
 * float64, of models that float32 does justice to.
 */
const ROUNDED = 1e-3;

/** Adds the gradients of the mean negative log-prob of all response tokens. */
function backward(model: VisionLanguageModel, groups: readonly Group[], options: PackOptions = {}): void {
  using batch = PackedBatch.pack(model, groups, options);
  using tape = new Tape(model.device);
  tape.backward(scale(sum(model.logProbs(tape, batch).logprob), -1 / batch.count));
}

/** Gradients by the names of a model folder's tensors. */
function gradients(model: VisionLanguageModel): Map<string, Float32Array> {
  return new Map(
    parameterSpecs(model.config).flatMap(({ name, shape, parts }) => {
      const all = model.parameters[name]!.grad?.toFloats();
      if (!all) return [];
      const width = all.length / shape[0]!;
      let row = 0;
      return parts.map((part) => [part.key, all.subarray(row * width, (row += part.shape[0]!) * width)] as const);
    }),
  );
}

for (const golden of Golden.all()) {
  const cases = golden.cases.filter((some) => some.gradients.size > 0);
  if (golden.family === "qwen2_vl" && golden.name === "untied") continue; // nobody has kept these gradients
  const ignore = cases.length > 0 ? undefined : "the project has no copy of these gradients: they are in ../shared/golden";
  modelTest(`gradients are the golden ones, ${golden.title}`, ({ device, dtype, tolerance }) => {
    using model = golden.model(device, dtype);
    for (const each of cases) {
      for (const parameter of Object.values(model.parameters)) parameter.zeroGrad();
      backward(model, [{ prompt: each.prompt, responses: [each.response] }]);
      const actual = gradients(model), expected = each.gradients;
      assertEquals([...actual.keys()].toSorted(), [...expected.keys()].toSorted(), `${each.name}: which tensors have a gradient`);
      for (const [key, gradient] of actual) {
        assertNear(gradient, expected.get(key)!, {
          what: `${each.name} ${key}`,
          tolerance: tolerance({ f32: golden.rounded ? ROUNDED : 1e-4, bf16: 0.2 }),
        });
      }
    }
  }, { ignore, ...(golden.name === "mixed" ? { emulated: true } : { dtypes: ["f32"] }) });
}
