/**
 * From a new folder of each family to answers: its processor's files, its placeholders, and its model fit together.
 *
 * @module
 */
import "sharp"; // a library that a test loads counts as its leak
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import type { PresetName } from "../../model/config/presets.ts";
import { Engine } from "../../model/engine/engine.ts";
import { FAMILIES } from "../../model/families.ts";
import { newModelFolder } from "../../model/folder/new_model_folder.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { ImageSource, Message } from "../../model/processor/messages.ts";
import { Processor } from "../../model/processor/processor.ts";
import { type Prompt, visualTokens } from "../../model/prompt.ts";
import { patchBlackening } from "../../rl/credit/blacken.ts";
import { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { littleTokenizer } from "./little_tokenizer.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads counts as its leak

const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"];
const TOKENIZER = littleTokenizer([], SPECIAL.map((content, i) => ({ id: 256 + i, content, special: true })));

function logProbsOf(model: VisionLanguageModel, prompt: Prompt, tokens: Int32Array<ArrayBuffer>): number[] {
  using tape = new Tape(model.device, { record: false });
  using batch = PackedBatch.pack(model, [{ prompt, responses: [tokens] }]);
  return [...model.logProbs(tape, batch).logprob!.tensor.toFloats()];
}

for (const { modelType, presets } of FAMILIES) {
  Deno.test(`a new folder of ${modelType} answers a picture and a video, and learns from what it sampled`, async () => {
    const root = Deno.makeTempDirSync(), seed = crypto.getRandomValues(new Uint32Array(1))[0]! % 1e6, random = new Random(seed);
    try {
      Deno.writeTextFileSync(`${root}/tokenizer.json`, JSON.stringify(TOKENIZER));
      const preset = Object.keys(presets).find((name) => name.endsWith("tiny")) as PresetName;
      const config = newModelFolder(`${root}/model`, { preset, tokenizer: root, scheme: "fan-in", seed }),
        { patchSize, mergeSize } = config.vision;
      const processor = Processor.fromFolder(`${root}/model`);
      const noise = (width: number, height: number): ImageSource => ({
        ...{ width, height, data: Uint8Array.from({ length: 3 * width * height }, () => random.integer(0, 256)) },
      });
      const video = { frames: Array.from({ length: 5 }, () => noise(64, 70)), fps: 2 };
      const messages: Message[] = [{
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "image", image: noise(90, 60), minPixels: 3136, maxPixels: 8192 },
          { type: "video", video, minPixels: 1, maxPixels: 4096 },
          { type: "text", text: "b" },
        ],
      }];
      const prompt = await processor.prompt(messages), { tokens, visuals } = prompt;
      const wanted = visuals.map(({ grid }) => visualTokens(grid, mergeSize));
      const count = (id: number) => tokens.filter((each) => each === id).length;
      assertEquals([count(config.tokens.image), count(config.tokens.video)], wanted, `seed ${seed}`);
      assertEquals([visuals[1]!.grid.t, processor.decode(tokens).includes("<0.2 seconds><|vision_start|>")], [3, modelType === "qwen3_vl"]);
      assertEquals(count(config.tokens.visionStart), modelType === "qwen3_vl" ? 4 : 2);

      using device = CpuDevice.open({ blas: "builtin" });
      using model = VisionLanguageModel.load(`${root}/model`, { device });
      using engine = new Engine(model);
      const [completions] = await engine.generate([prompt], {
        maxTokens: 6,
        temperature: 1,
        seed,
        connectivity: true,
        stop: [],
        suppress: [],
      });
      const completion = completions![0]!, { logprobs, connectivity } = completion;
      const learned = logProbsOf(model, prompt, completion.tokens);
      learned.forEach((value, t) => assert(Math.abs(value - logprobs[t]!) < 1e-4, `seed ${seed}: ${value} and ${logprobs[t]} at ${t}`));
      assert(connectivity!.every((share) => share > 0 && share <= 1), "the answer attends to the visuals");
      const black = visuals.map((visual) => {
        if (!("frames" in visual.pixels)) throw new Error("the processor gives frames");
        const { frames, count } = visual.pixels, { h, w } = visual.grid, shape = [count, h * patchSize, w * patchSize, 3] as const;
        return { ...visual, pixels: { ...visual.pixels, frames: patchBlackening(frames, { shape, seed, patch: patchSize }) } };
      });
      assertNotEquals(logProbsOf(model, { tokens, visuals: black }, completion.tokens), learned);
    } finally {
      Deno.removeSync(root, { recursive: true });
    }
  });
}
