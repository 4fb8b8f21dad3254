import { assert, assertEquals, assertThrows } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { readConfig } from "../../model/config/config.ts";
import { Engine } from "../../model/engine/engine.ts";
import { loadParameters, saveModel } from "../../model/folder/checkpoint.ts";
import type { Frozen } from "../../model/folder/weight_storage.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { Prompt } from "../../model/prompt.ts";
import { dot } from "../../tensor/ops/mod.ts";
import { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { littleConfig, type LittleFamily, littleModel, picturePrompt, plain, textPrompt } from "./engine_fixture.ts";

CpuDevice.open({ blas: "builtin" })[Symbol.dispose](); // here, since a library that a test loads counts as its leak

/** Registers a test with a folder of a small model whose weights are bf16; it must free what it allocates. */
function folderTest(
  name: string,
  body: (given: { device: CpuDevice; random: Random; folder: string }) => void | Promise<void>,
  family: LittleFamily = "qwen2_5_vl",
): void {
  Deno.test(`${name}, ${family}`, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed), root = Deno.makeTempDirSync();
    const device = CpuDevice.open({ blas: "builtin" }), before = device.memory().allocations;
    try {
      {
        using model = littleModel(device, random, "f32", family);
        saveModel({ config: littleConfig(family), parameters: model.parameters }, `${root}/bf16`, { dtype: "bf16" });
      }
      await body({ device, random, folder: `${root}/bf16` });
    } catch (error) {
      throw new Error(`${(error as Error).message} (seed ${seed})`, { cause: error });
    } finally {
      device[Symbol.dispose]();
      Deno.removeSync(root, { recursive: true });
    }
    assertEquals(device.memory().allocations, before);
  });
}

/** Names of the packed parameters of a model. */
function packedOf(model: VisionLanguageModel): string[] {
  return Object.values(model.parameters).filter(({ tensor }) => tensor.isPacked).map(({ name }) => name);
}

folderTest("on a CPU frozen matrices are packed in the folder's bf16, and all else is f32", ({ device, folder }) => {
  const config = readConfig(folder);
  const load = (options: { dtype?: "f32" | "bf16"; frozen?: Frozen; freezeVision?: boolean }) => {
    using model = VisionLanguageModel.load(folder, { device, ...options });
    const names = packedOf(model), parameters = Object.values(model.parameters);
    assertEquals(model.dtype, "f32");
    assert(parameters.every(({ tensor }) => tensor.isPacked || tensor.dtype === "f32"));
    assert(parameters.every(({ tensor, requiresGrad }) => !(tensor.isPacked && requiresGrad)));
    return names;
  };
  const all = load({ frozen: "all" }), vision = all.filter((name) => name.startsWith("visual."));
  assertEquals(all.length, Object.values(loadedShapes(folder, device)).filter((axes) => axes > 1).length);
  assertEquals(load({ frozen: "vision" }), vision);
  assertEquals(load({ freezeVision: true }), vision);
  assertEquals(load({}), []);
  assertEquals(load({ dtype: "bf16" }), []);
  assertEquals(load({ dtype: "f32", frozen: "all" }), []);
  assertEquals(load({ frozen: (name) => name !== "head" }), all.filter((name) => name !== "head"));
  assertEquals(config.dtype, "bf16");
});

/** The number of axes of each parameter. */
function loadedShapes(folder: string, device: CpuDevice): Record<string, number> {
  const parameters = loadParameters(folder, { device, config: readConfig(folder) });
  const axes = Object.fromEntries(Object.values(parameters).map(({ name, tensor }) => [name, tensor.shape.length]));
  for (const parameter of Object.values(parameters)) parameter[Symbol.dispose]();
  return axes;
}

for (const family of ["qwen2_5_vl", "qwen3_vl"] as const) {
  folderTest(
    "the engine's answers, the log-probs and the gradients of a packed model have the bits of f32",
    async ({ device, random, folder }) => {
      const picture = picturePrompt(random, { grids: [[4, 6]] }), prompts: Prompt[] = [picture, textPrompt(random, 70)];
      const responses = [Int32Array.of(1, 5, 9), Int32Array.of(7)];
      const run = async (dtype: "f32" | "bf16") => {
        using model = VisionLanguageModel.load(folder, { device, dtype, frozen: (name) => name !== "layers.1.down.weight" });
        using engine = new Engine(model, { memoryBytes: 2 ** 28, maxSequences: 16 });
        const completions = plain(await engine.generate(prompts, { n: 3, maxTokens: 6, seed: 1, connectivity: true }));
        using batch = PackedBatch.pack(model, prompts.map((prompt) => ({ prompt, responses })));
        using tape = new Tape(device);
        const { logprob, entropy } = model.logProbs(tape, batch, { checkpointing: "blocks" });
        const numbers = [...logprob.tensor.toFloats(), ...entropy.tensor.toFloats()];
        using weights = Tensor.from(device, numbers.slice(0, logprob.size));
        tape.backward(dot(logprob, tape.constant(weights)));
        const { grad } = model.parameters["layers.1.down.weight"]!;
        return {
          completions,
          numbers,
          grad: grad!.toFloats(),
          gradients: Object.values(model.parameters).filter(({ grad }) => grad).length,
        };
      };
      const expected = await run("f32");
      assert(expected.grad.some((x) => x !== 0));
      assertEquals(expected.gradients, 1);
      assertEquals(await run("bf16"), expected);
    },
    family,
  );

  folderTest("a packed model is saved with its bytes, or in f32 beside trained matrices", ({ device, folder }) => {
    const bytes = (path: string) => Deno.readFileSync(`${path}/model.safetensors`);
    {
      using model = VisionLanguageModel.load(folder, { device, frozen: "all" });
      model.save(`${folder}-again`);
      assertThrows(() => model.freezeVision(false), RangeError, "Cannot train parameter visual.");
    }
    assertEquals(bytes(`${folder}-again`), bytes(folder));
    {
      using model = VisionLanguageModel.load(folder, { device, frozen: "vision" });
      model.save(`${folder}-trained`);
    }
    assertEquals(readConfig(`${folder}-trained`).dtype, "f32");
    using wide = VisionLanguageModel.load(folder, { device, dtype: "f32" });
    wide.save(`${folder}-wide`, { dtype: "f32" });
    assertEquals(bytes(`${folder}-trained`), bytes(`${folder}-wide`));
  }, family);
}

folderTest("asked for, bf16 rounds the frozen matrices of an f32 folder", ({ device, random, folder }) => {
  {
    using model = littleModel(device, random);
    model.save(`${folder}-f32`);
  }
  using exact = VisionLanguageModel.load(`${folder}-f32`, { device, frozen: "all" });
  using rounded = VisionLanguageModel.load(`${folder}-f32`, { device, frozen: "all", dtype: "bf16" });
  assertEquals(packedOf(exact), []);
  for (const name of packedOf(rounded)) {
    using narrow = exact.parameters[name]!.tensor.cast("bf16");
    assertEquals(rounded.parameters[name]!.tensor.toFloats(), narrow.toFloats(), name);
  }
  assert(packedOf(rounded).includes("embedding"));
});
