/**
 * Writes what `transformers_peer.py` reads: config.json of a model, and prompts with random answers.
 *
 *   deno run -A bench/gpu/inputs.ts --dir=DIR --preset=3b --prompts=4 --answers=8 --tokens=512 --grid=64
 *
 * @module
 */
import { configToJson } from "../../model/config/config.ts";
import { presetConfig, type PresetName } from "../../model/config/presets.ts";
import { Random } from "../../tensor/random.ts";
import { writeSafetensors } from "../../tensor/safetensors_writer.ts";
import { randomPrompt } from "../step_parts.ts";
import { given } from "./open.ts";

const dir = given("dir"),
  [count, answers, length, grid] = ["prompts", "answers", "tokens", "grid"].map((name) => Number(given(name))) as [
    number,
    number,
    number,
    number,
  ];
// The ids of Qwen2.5-VL's tokenizer.
const hub = { image: 151655, video: 151656, visionStart: 151652, visionEnd: 151653, eos: [151645], bos: 151643, pad: 151643 };
const small = { image: 4090, video: 4091, visionStart: 4092, visionEnd: 4093, eos: [4094], bos: 4094, pad: 4095 };
const preset = given("preset") as PresetName, isSmall = preset === "tiny" || preset === "small";
const config = presetConfig(preset, { tokens: isSmall ? small : hub, vocabSize: isSmall ? 4096 : 151665 }), random = new Random(0);
Deno.mkdirSync(`${dir}/model`, { recursive: true });
Deno.writeTextFileSync(`${dir}/model/config.json`, JSON.stringify(configToJson(config)));
const int = (data: Int32Array<ArrayBuffer>, shape: number[]) => ({ dtype: "I32", shape, data: new Uint8Array(data.buffer) }) as const;
const entries = Array.from({ length: count }, (_, i) => {
  const prompt = randomPrompt(config, random, { grid, text: 24 }),
    { patches } = prompt.visuals[0]!.pixels as { patches: Float32Array<ArrayBuffer> };
  const response = Int32Array.from({ length: answers * length }, () => random.integer(10, 200));
  return [
    { name: `tokens.${i}`, ...int(prompt.tokens, [prompt.tokens.length]) },
    { name: `answers.${i}`, ...int(response, [answers, length]) },
    { name: `patches.${i}`, dtype: "F32" as const, shape: [grid ** 2, patches.length / grid ** 2], data: new Uint8Array(patches.buffer) },
  ];
});
writeSafetensors(`${dir}/inputs.safetensors`, entries.flat());
