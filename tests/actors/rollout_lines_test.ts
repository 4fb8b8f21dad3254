import "sharp";
import { assert, assertEquals } from "@std/assert";
import { Lines } from "../../actors/run/lines.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { suppressionMask } from "../../model/engine/suppression.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { Processor } from "../../model/processor/processor.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { Tape } from "../../tensor/tape.ts";
import { littleConfig, littleRun, withRunDir } from "./little_run.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

interface Answer {
  readonly "prompt_id": string;
  readonly prompt: string;
  readonly "prompt_text": string;
  readonly "prompt_ids": number[];
  readonly visuals: { kind: string; grid: [number, number, number] }[];
  readonly "token_ids": number[];
  readonly logprobs: number[];
  readonly image?: string;
}

Deno.test("log-probs can be recomputed from rollouts.jsonl and the checkpoint alone", () =>
  withRunDir(async (folder) => {
    await littleRun(littleConfig(folder, ["trainer.maxSteps=1", "trainer.saveFreq=1", "logging.rolloutSamples=3"]));
    const lines = new Lines(`${folder}/board/rollouts.jsonl`).read() as unknown as Answer[], [first] = lines;
    assertEquals(lines.length, 3);
    using device = CpuDevice.open();
    using model = VisionLanguageModel.load(`${folder}/board/checkpoints/step-0`, { device });
    const processor = Processor.fromFolder(`${folder}/board/initial`), { tokenizer } = processor;
    const pad = tokenizer.specialTokens.get("<|image_pad|>")!,
      folded = first!.prompt_ids.filter((id, i, ids) => id !== pad || ids[i - 1] !== pad);
    assertEquals(first!.prompt_text, tokenizer.decode(folded));
    assert(first!.prompt_text.includes(first!.prompt), "the question's text stands in the prompt as it is");
    assertEquals([...tokenizer.encode(first!.prompt_text)], folded);
    const bytes = Uint8Array.from(atob(first!.image!.split(",")[1]!), (letter) => letter.charCodeAt(0));
    const visual = await processor.images.image(bytes);
    assertEquals(first!.visuals, [{ kind: "image", grid: [visual.grid.t, visual.grid.h, visual.grid.w] }]);
    const prompt = { tokens: Int32Array.from(first!.prompt_ids), visuals: [visual] };
    const responses = lines.map((line) => Int32Array.from(line.token_ids));
    using batch = PackedBatch.pack(model, [{ prompt, responses }]);
    using tape = new Tape(device);
    using suppress = suppressionMask(model);
    const again = model.logProbs(tape, batch, { suppress }).logprob.tensor.toFloats(), logged = lines.flatMap((line) => line.logprobs);
    assertEquals(again.length, logged.length);
    for (const [t, value] of logged.entries()) {
      assert(Math.abs(value - again[t]!) < 1e-4, `token ${t}: ${value} was logged, ${again[t]} is computed`);
    }
  }));
