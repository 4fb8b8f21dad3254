import { assert, assertEquals } from "@std/assert";
import { chooseKept, passMemory, type PassOptions } from "../../model/activation_memory.ts";
import type { Checkpointing } from "../../model/checkpointing.ts";
import { presetConfig } from "../../model/config/presets.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { sum } from "../../tensor/ops/mod.ts";
import { CPU_LOGITS } from "../../tensor/ops/projection.ts";
import { Tape } from "../../tensor/tape.ts";
import { MEMORY, modelTest } from "./golden.ts";

const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
const seven = presetConfig("7b", { tokens, vocabSize: 95 }), SIZES = { rows: 5160, targets: 4096, patches: 4000 };
const OPTIONS: PassOptions = { dtype: "bf16", tower: true, logits: 2 ** 31, reference: false };
const peak = (checkpointing: Checkpointing, options: Partial<PassOptions> = {}) =>
  passMemory(seven, SIZES, { ...OPTIONS, ...options, checkpointing }).peak;

Deno.test("as many blocks of the decoder keep their activations as have room, then as many of the tower", () => {
  const at = (available: number) => chooseKept(seven, SIZES, { ...OPTIONS, available });
  assertEquals(at(1e12), { text: 28, vision: 32 });
  assertEquals(at(0), "full");
  for (
    const kept of [{ text: 1, vision: 0 }, { text: 13, vision: 0 }, { text: 28, vision: 0 }, {
      text: 28,
      vision: 7,
    }]
  ) {
    const bytes = peak(kept);
    assertEquals(at(bytes), kept);
    assert(JSON.stringify(at(bytes - 1)) !== JSON.stringify(kept), `${JSON.stringify(kept)} in a byte less than it needs`);
  }
  assertEquals(chooseKept(seven, SIZES, { ...OPTIONS, tower: false, available: 1e12 }), { text: 28, vision: 0 });
});

Deno.test("what a micro-batch holds follows what is kept, trained and compared", () => {
  const [off, blocks, full] = [peak("off"), peak("blocks"), peak("full")];
  assert(off > 2 * blocks && blocks > full);
  assertEquals([peak({ text: 28, vision: 32 }), peak({ text: 0, vision: 0 })], [off, blocks]);
  assert(peak("off", { tower: false }) < off);
  assert(peak("off", { reference: true }) > off);
  // A block of 7B: 4 x 3584 + 2 x (28 + 4) x 128 + 3 x 18944 elements of each token, of 2 bytes.
  assertEquals(passMemory(seven, SIZES, { ...OPTIONS, checkpointing: "off" }).decoder, 2 * 5160 * (28 * 79_360 + 3584));
});

/** A pass over two prompts with pictures: the bytes that it took at its peak, and those of the estimate. */
function step(model: VisionLanguageModel, checkpointing: Checkpointing, tower: boolean): { measured: number; said: number } {
  const { device, config: { vision: { patchSize, mergeSize } } } = model, side = 12 * mergeSize;
  const frames = { frames: new Uint8Array((side * patchSize) ** 2 * 3), count: 1, mean: [0, 0, 0] as const, std: [1, 1, 1] as const };
  const prompt = {
    tokens: Int32Array.from([92, ...Array<number>(144).fill(90), 93, 6, 7]),
    visuals: [{ kind: "image" as const, grid: { t: 1, h: side, w: side }, pixels: frames }],
  };
  const responses = Array.from({ length: 8 }, (_, j) => Int32Array.from({ length: 45 + j }, (_, i) => i % 90));
  using batch = PackedBatch.pack(model, [{ prompt, responses }, { prompt, responses }]);
  const run = () => {
    using tape = new Tape(device);
    tape.backward(sum(model.logProbs(tape, batch, { checkpointing }).logprob));
  };
  run(); // the workspace and the memory of gradients are there from now on
  const before = device.memory().used;
  device.resetPeak();
  run();
  const sizes = { rows: batch.rows, targets: batch.count, patches: 2 * side ** 2 };
  const options = { dtype: model.dtype, tower, logits: CPU_LOGITS, reference: false, checkpointing };
  return { measured: device.memory().peak - before, said: passMemory(model.config, sizes, options).peak };
}

for (const name of ["tiny", "qwen2-tiny", "qwen3-tiny"] as const) {
  modelTest(`a pass holds about as much at its peak as is said, ${name}`, ({ device, dtype }) => {
    const config = presetConfig(name, { tokens, vocabSize: 4000 }), { text: { layers } } = config;
    using model = VisionLanguageModel.initialise(config, { device, dtype, seed: 1 });
    for (const frozen of [false, true]) {
      model.freezeVision(frozen);
      for (const checkpointing of ["off", "blocks", "full", { text: 1, vision: 0 }, { text: layers, vision: 1 }] as const) {
        const { measured, said } = step(model, checkpointing, !frozen);
        const which = `${frozen ? "frozen tower, " : ""}${JSON.stringify(checkpointing)}: ${measured} bytes, ${said} are said`;
        // Of a frozen tower an upper bound is said of what its forward takes, which little models feel most.
        if (!(said >= 0.97 * measured && said <= (frozen ? 1.6 : 1.1) * measured)) throw new Error(which);
      }
    }
  }, { ignore: MEMORY });
}
