// A model of the widths of Qwen2.5-VL-3B with two layers and a small vocabulary, in bf16: what is done with a real one, in seconds.
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { presetConfig } from "../../model/config/presets.ts";
import { Engine } from "../../model/engine/engine.ts";
import { writeModelFolder } from "../../model/folder/checkpoint_files.ts";
import { initialEntries } from "../../model/folder/initialise.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { AdamW } from "../../tensor/optimizer.ts";
import { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { picturePrompt } from "./engine_fixture.ts";

CpuDevice.open({ blas: "builtin" })[Symbol.dispose](); // here, since a library that a test loads counts as its leak

Deno.test("a bf16 model of 3B's widths loads packed, answers about a picture and takes a step of LoRA", async () => {
  const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
  const { text, vision, ...rest } = presetConfig("3b", { tokens, vocabSize: 512 });
  const config = { ...rest, text: { ...text, layers: 2, vocabSize: 512 }, vision: { ...vision, depth: 2, fullAttentionBlocks: [1] } };
  const root = Deno.makeTempDirSync(), folder = `${root}/model`, random = new Random(0);
  writeModelFolder(folder, { config, entries: initialEntries(config, { dtype: "bf16", scheme: "fan-in" }) });
  const device = CpuDevice.open({ blas: "builtin" }), before = device.memory().used;
  device.resetPeak();
  {
    using model = VisionLanguageModel.load(folder, { device, lora: { rank: 4, alpha: 8, seed: 1 } });
    const matrices = Object.values(model.parameters).filter(({ tensor }) => tensor.shape.length > 1);
    assert(matrices.every(({ tensor }) => tensor.isPacked));
    const elements = Object.values(model.parameters).reduce((sum, { tensor }) => sum + tensor.size, 0);
    const { used, peak } = device.memory();
    assert(used - before < 2.1 * elements, `${used - before} bytes are held for ${elements} weights`);
    assert(peak - before < 1.15 * 2 * elements + 2 ** 25, `loading took ${peak - before} bytes`);

    const width = config.vision.channels * config.vision.temporalPatchSize * config.vision.patchSize ** 2, grid = { t: 1, h: 4, w: 6 };
    const { tokens: ids } = picturePrompt(random, { grids: [[4, 6]] });
    const prompt = {
      tokens: ids,
      visuals: [{ kind: "image" as const, grid, pixels: { patches: Float32Array.from(random.normal(24 * width)) } }],
    };
    using engine = new Engine(model, { maxSequences: 4, prefillTokens: 64 });
    const [answers] = await engine.generate([prompt], { n: 3, maxTokens: 4, seed: 2, stop: [], connectivity: true });
    const responses = answers!.map(({ tokens }) => tokens), sampled = answers!.flatMap(({ logprobs }) => [...logprobs]);

    using optimizer = new AdamW(device, [{ parameters: model.trained().map(({ parameter }) => parameter) }], { maxNorm: 1 });
    using batch = PackedBatch.pack(model, [{ prompt, responses }]);
    const step = (learn: boolean) => {
      using tape = new Tape(device);
      const { logprob } = model.logProbs(tape, batch, { checkpointing: "blocks" }), values = [...logprob.tensor.toFloats()];
      if (!learn) return values;
      using gradient = Tensor.from(device, values.map((_, i) => i < 4 ? -1 : 0.5));
      tape.backward([{ value: logprob, gradient }]);
      optimizer.step({ lr: 1e-3 });
      return values;
    };
    const first = step(true);
    for (const [i, logprob] of first.entries()) assertAlmostEquals(logprob, sampled[i]!, 1e-4);
    assert(matrices.every(({ grad }) => grad === undefined));
    const second = step(false), likelihood = (all: number[]) => all.slice(0, 4).reduce((a, b) => a + b, 0);
    assert(likelihood(second) > likelihood(first) + 0.01, `${likelihood(first)} became ${likelihood(second)}`);
  }
  device[Symbol.dispose]();
  assertEquals(device.memory().used, before);
  Deno.removeSync(root, { recursive: true });
});
