import { PackedBatch } from "../../model/packed_batch.ts";
import { presetConfig } from "../../model/config/presets.ts";
import type { VisionConfig } from "../../model/config/config.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { blockElements } from "../../model/parameters.ts";
import { sum } from "../../tensor/ops/mod.ts";
import { Tape } from "../../tensor/tape.ts";
import { assertEquals } from "@std/assert";
import type { Checkpointing } from "../../model/checkpointing.ts";
import { Golden, MEMORY, modelTest } from "./golden.ts";

/** A family's golden case, with a model of so many blocks for it. */
function deep(family: "qwen2_5_vl" | "qwen3_vl", blocks: number, tower: Partial<VisionConfig>) {
  const { config, cases } = Golden.open("mixed", family), { prompt, response } = cases[0]!;
  const deeper = { ...config, text: { ...config.text, layers: blocks }, vision: { ...config.vision, depth: blocks, ...tower } };
  return { family, config: deeper, prompt, response };
}

const DEEP = [deep("qwen2_5_vl", 10, { fullAttentionBlocks: [2, 7] }), deep("qwen3_vl", 4, { deepstackBlocks: [0, 2] })] as const;
const { config } = DEEP[0]!;
const MODES = ["off", "blocks", "full"] as const;

/** Bytes that a step took over what was there, and its gradients. */
function step(
  model: VisionLanguageModel,
  checkpointing: Checkpointing,
  { prompt, response }: Pick<typeof DEEP[number], "prompt" | "response"> = DEEP[0]!,
): { bytes: number; gradients: [string, string][]; layers: number[] } {
  const { device } = model;
  for (const parameter of Object.values(model.parameters)) parameter.zeroGrad();
  using batch = PackedBatch.pack(model, [{ prompt, responses: [response, response.slice(0, 3)] }]);
  const layers: number[] = [];
  using tape = new Tape(device);
  device.synchronize();
  device.resetPeak();
  const before = device.memory().used;
  const connectivity = { observe: (layer: number) => layers.push(layer) };
  tape.backward(sum(model.logProbs(tape, batch, { checkpointing, connectivity, chunk: 4 }).logprob));
  device.synchronize();
  const bytes = device.memory().peak - before;
  const gradients = Object.entries(model.parameters).flatMap(([name, { grad }]): [string, string][] => {
    return grad ? [[name, [...new Uint32Array(grad.toFloats().buffer)].join()]] : [];
  });
  return { bytes, gradients, layers };
}

for (const each of DEEP) {
  modelTest(`checkpointing changes no bit of any gradient, ${each.family}`, ({ device, dtype, random }) => {
    using model = VisionLanguageModel.initialise(each.config, { device, dtype, seed: random.integer(0, 2 ** 31), scheme: "fan-in" });
    const off = step(model, "off", each).gradients, { text: { layers }, vision: { depth } } = each.config;
    assertEquals(off.length, Object.keys(model.parameters).length);
    const kept = [{ text: layers, vision: depth }, { text: 1, vision: 0 }, { text: layers - 1, vision: 3 }, { text: 0, vision: depth - 1 }];
    for (const mode of ["blocks", "full", ...kept] as const) assertEquals(step(model, mode, each).gradients, off, JSON.stringify(mode));
  });
}

modelTest("blocks need less memory than off, and full less than blocks", ({ device, dtype }) => {
  using model = VisionLanguageModel.initialise(config, { device, dtype, seed: 4 });
  step(model, "off"); // the workspace and the gradients' memory are there from now on
  const [off, blocks, full] = MODES.map((mode) => step(model, mode).bytes);
  if (!(off! > 2 * blocks! && blocks! > 1.1 * full!)) throw new Error(`Bytes of ${MODES.join(", ")}: ${off}, ${blocks}, ${full}`);
}, { ignore: MEMORY });

modelTest("an observer sees each layer once, also where blocks run again", ({ device, dtype }) => {
  using model = VisionLanguageModel.initialise(config, { device, dtype, seed: 1 });
  for (const mode of MODES) assertEquals(step(model, mode).layers, [...Array(config.text.layers).keys()], mode);
});

for (const each of DEEP) {
  modelTest(
    `a frozen vision tower is not recorded, and the decoder's gradients stay the same to the bit, ${each.family}`,
    ({ device, dtype }) => {
      using model = VisionLanguageModel.initialise(each.config, { device, dtype, seed: 2, scheme: "fan-in" });
      for (const mode of MODES) {
        model.freezeVision(false);
        const whole = step(model, mode, each);
        model.freezeVision(true);
        const frozen = step(model, mode, each);
        assertEquals(frozen.gradients, whole.gradients.filter(([name]) => !name.startsWith("visual.")), mode);
      }
    },
  );
}

modelTest("nothing of a frozen vision tower is kept for the backward", ({ device, dtype }) => {
  using model = VisionLanguageModel.initialise(config, { device, dtype, seed: 5 });
  step(model, "off");
  const whole = step(model, "off").bytes;
  model.freezeVision(true);
  const frozen = step(model, "off").bytes;
  if (!(frozen < 0.6 * whole)) throw new Error(`${frozen} bytes frozen, ${whole} not`);
}, { ignore: MEMORY });

modelTest("a block of the decoder keeps as many elements of a token as its family says", ({ device, dtype }) => {
  const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 }, rows = 512;
  for (const name of ["tiny", "qwen2-tiny", "qwen3-tiny"] as const) {
    const tiny = presetConfig(name, { tokens, vocabSize: 95 });
    const [few, many] = [2, 8].map((layers) => {
      const config = { ...tiny, text: { ...tiny.text, layers } };
      using model = VisionLanguageModel.initialise(config, { device, dtype, seed: 1 });
      const prompt = { tokens: Int32Array.from({ length: rows }, (_, i) => i % 90), visuals: [] };
      using batch = PackedBatch.pack(model, [{ prompt, responses: [] }]);
      {
        using plain = new Tape(device, { record: false });
        model.hidden(plain, batch); // the workspace is there from now on
      }
      const before = device.memory().used;
      using tape = new Tape(device);
      model.hidden(tape, batch);
      return device.memory().used - before;
    });
    const kept = (many! - few!) / 6 / rows / 4, said = blockElements(tiny);
    if (!(Math.abs(kept / said - 1) < 0.03)) throw new Error(`${name}: a block keeps ${kept} elements, and ${said} are said`);
  }
}, { ignore: MEMORY });
