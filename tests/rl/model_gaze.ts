/**
 * Measures where a model with random weights attends while it answers, for tests and benchmarks of token graphs.
 *
 * @module
 */
import type { Device } from "../../ffi/device.ts";
import { presetConfig } from "../../model/config/presets.ts";
import { Engine } from "../../model/engine/engine.ts";
import type { Prompt } from "../../model/prompt.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import type { Random } from "../../tensor/random.ts";

/** A response's connectivity and profile. */
export interface Gaze {
  connectivity: Float32Array<ArrayBuffer>;
  /** [tokens, regions] */
  profile: Float32Array<ArrayBuffer>;
  regions: number;
}

/** Answers of the given lengths by a new tiny model, each to a prompt of its own: random text around a random picture of 4 x 4 to 32 x 32 patches. */
export async function modelGazes(device: Device, random: Random, lengths: readonly number[]): Promise<Gaze[]> {
  const tokens = { image: 300, video: 301, visionStart: 302, visionEnd: 303, eos: [304], bos: 304, pad: 304 };
  const config = presetConfig("tiny", { tokens, vocabSize: 305 });
  const { channels, temporalPatchSize, patchSize, mergeSize } = config.vision;
  const prompt = (): Prompt => {
    const [h, w] = [mergeSize * random.integer(2, 17), mergeSize * random.integer(2, 17)];
    const text = () => Array.from({ length: random.integer(1, 30) }, () => random.integer(0, 300));
    const picture = new Array<number>(h * w / mergeSize ** 2).fill(tokens.image);
    const patches = Float32Array.from(random.normal(h * w * channels * temporalPatchSize * patchSize ** 2));
    return {
      tokens: Int32Array.from([...text(), tokens.visionStart, ...picture, tokens.visionEnd, ...text()]),
      visuals: [{ kind: "image", grid: { t: 1, h, w }, pixels: { patches } }],
    };
  };
  // Weights as "fan-in" has them: with those of the hub, attention is almost even.
  using model = VisionLanguageModel.initialise(config, { device, seed: random.integer(0, 2 ** 31), scheme: "fan-in" });
  using engine = new Engine(model, { memoryBytes: 2 ** 29 });
  const seed = random.integer(0, 2 ** 31);
  const answers = lengths.map((maxTokens) => engine.submit({ prompt: prompt(), maxTokens, stop: [], seed, connectivity: true }).result);
  while (engine.step());
  return (await Promise.all(answers)).map(([answer]) => {
    const { connectivity, profile, regions } = answer!;
    return { connectivity: connectivity!, profile: profile!, regions: regions!.regions };
  });
}
