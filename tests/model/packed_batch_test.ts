import { KedgeError } from "../../ffi/errors.ts";
import { type Group, PackedBatch, type PackOptions } from "../../model/packed_batch.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { dot } from "../../tensor/ops/mod.ts";
import type { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { assertNear, Golden, modelTest } from "./golden.ts";

const golden = Golden.open("mixed");
const { prompt } = golden.cases[0]!;
const ALLOWED = { f32: 1e-5, bf16: 0.04 };
const { vocabSize } = golden.config.text;

function answers(random: Random, lengths: readonly number[]): Int32Array<ArrayBuffer>[] {
  return lengths.map((length) => Int32Array.from({ length }, () => random.integer(0, vocabSize - 5)));
}

/** Log-probs and entropies of all response tokens, and the gradients of their sum with these weights. */
function run(
  model: VisionLanguageModel,
  groups: readonly Group[],
  { weights, ...options }: PackOptions & { weights: Float32Array<ArrayBuffer> },
): { logprob: Float32Array; entropy: Float32Array; gradients: Record<string, Float32Array> } {
  for (const parameter of Object.values(model.parameters)) parameter.zeroGrad();
  using batch = PackedBatch.pack(model, groups, options);
  using tape = new Tape(model.device);
  const { logprob, entropy } = model.logProbs(tape, batch);
  using factors = Tensor.from(model.device, weights);
  const result = { logprob: logprob.tensor.toFloats(), entropy: entropy.tensor.toFloats() };
  tape.backward(dot(logprob, tape.constant(factors)));
  const gradients = Object.entries(model.parameters).flatMap(([name, { grad }]) => grad ? [[name, grad.toFloats()] as const] : []);
  return { ...result, gradients: Object.fromEntries(gradients) };
}

modelTest(
  "responses that share a prompt have the log-probs and summed gradients of separate sequences",
  ({ device, dtype, random, tolerance }) => {
    using model = golden.model(device, dtype);
    const lengths = [4, 1, 6];
    const responses = answers(random, lengths);
    const short = { prompt: { tokens: Int32Array.of(3, 1, 4), visuals: [] }, responses: answers(random, [2, 1]) };
    const n = 4 + 1 + 6 + 2 + 1;
    const weights = Float32Array.from(random.normal(n));
    const packed = run(model, [{ prompt, responses }, short], { weights });
    const copied = run(model, [{ prompt, responses }, short], { weights, shared: false, closing: true });
    // Separate sequences, whose gradients are added up here in float64.
    const separate = { logprob: [] as number[], entropy: [] as number[], gradients: {} as Record<string, Float64Array> };
    for (const group of [{ prompt, responses }, short]) {
      for (const response of group.responses) {
        const start = separate.logprob.length;
        const one = run(model, [{ prompt: group.prompt, responses: [response] }], {
          weights: weights.slice(start, start + response.length),
        });
        separate.logprob.push(...one.logprob);
        separate.entropy.push(...one.entropy);
        for (const [name, gradient] of Object.entries(one.gradients)) {
          const sum = separate.gradients[name] ??= new Float64Array(gradient.length);
          for (const [i, x] of gradient.entries()) sum[i]! += x;
        }
      }
    }
    for (const [what, actual] of Object.entries({ shared: packed, copied })) {
      assertNear(actual.logprob, separate.logprob, { what: `${what}: log-probs`, tolerance: tolerance(ALLOWED) });
      assertNear(actual.entropy, separate.entropy, { what: `${what}: entropy`, tolerance: tolerance(ALLOWED) });
      assertEquals(Object.keys(actual.gradients).toSorted(), Object.keys(separate.gradients).toSorted());
      for (const [name, gradient] of Object.entries(actual.gradients)) {
        assertNear(gradient, separate.gradients[name]!, {
          what: `${what}: gradient of ${name}`,
          tolerance: tolerance({ f32: 1e-5, bf16: 0.2 }),
        });
      }
    }
  },
);

modelTest("each visual is embedded once, however many copies of its prompt there are", ({ device, random }) => {
  const group = { prompt, responses: answers(random, [2, 3]) };
  using shared = PackedBatch.pack({ device, config: golden.config }, [group, group]);
  using copied = PackedBatch.pack({ device, config: golden.config }, [group, group], { shared: false });
  assertEquals([shared.visuals.length, copied.visuals.length], [8, 8]);
  assertEquals(shared.visualSource, undefined);
  const tokens = copied.visualRows.size / 4;
  const once = Array.from({ length: tokens }, (_, i) => i);
  assertEquals([...copied.visualSource!.toArray()], [...once, ...once, ...once.map((i) => tokens + i), ...once.map((i) => tokens + i)]);
}, { dtypes: ["f32"] });

modelTest("rows, offsets and targets say which row predicts which token", ({ device }) => {
  const model = { device, config: golden.config };
  const groups = [
    { prompt: { tokens: Int32Array.of(1, 2), visuals: [] }, responses: [Int32Array.of(3), Int32Array.of(4, 5)] },
    { prompt: { tokens: Int32Array.of(6), visuals: [] }, responses: [] },
    { prompt: { tokens: Int32Array.of(7), visuals: [] }, responses: [Int32Array.of(8, 9)] },
  ];
  using batch = PackedBatch.pack(model, groups);
  assertEquals([...batch.tokens.toArray()], [1, 2, 4, 6, 7, 8]);
  assertEquals([...batch.target.toArray()], [3, 4, 5, 8, 9]);
  assertEquals([...batch.predictRows], [1, 1, 2, 4, 5]);
  assertEquals(batch.responses.map(({ group, offset, length, before }) => [group, offset, length, before]), [
    [0, 0, 1, 1],
    [0, 1, 2, 1],
    [2, 3, 2, 4],
  ]);
  using closing = PackedBatch.pack(model, groups, { closing: true });
  assertEquals([...closing.tokens.toArray()], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assertEquals([...closing.predictRows], [1, 1, 3, 6, 7]);
  assertEquals(closing.responses.map(({ start }) => start), [2, 3, 7]);
}, { dtypes: ["f32"] });

modelTest("a group that cannot be packed is refused with its index, and nothing stays allocated", ({ device }) => {
  const model = { device, config: golden.config };
  const text = (...tokens: number[]) => ({ tokens: Int32Array.from(tokens), visuals: [] });
  const pack = (groups: Group[]) => () => PackedBatch.pack(model, groups);
  const good = { prompt: text(1), responses: [Int32Array.of(2)] };
  assertThrows(pack([]), RangeError, "it has no groups");
  assertThrows(pack([good, { prompt: text(), responses: [] }]), RangeError, "group 1: its prompt is empty");
  assertThrows(pack([{ prompt: text(1), responses: [new Int32Array()] }]), RangeError, "group 0: response 0 is empty");
  const bad = (groups: Group[], words: string) => assertEquals(assertThrows(pack(groups), KedgeError, words).code, "BadData");
  bad([good, { prompt: text(1, vocabSize), responses: [] }], `group 1: token 1 of its prompt is ${vocabSize}`);
  bad([{ prompt: text(1), responses: [Int32Array.of(0), Int32Array.of(-1)] }], "group 0: token 0 of response 1 is -1");
  bad([good, { prompt: { ...prompt, visuals: prompt.visuals.slice(1) }, responses: [] }], "Cannot pack group 1: Cannot place visuals");
}, { dtypes: ["f32"] });
