/**
 * The parts of a training step, for the benchmarks that time it: a model with random weights, random prompts with one picture each, and an
 * update.
 *
 * @module
 */
import type { Completion } from "../model/engine/completion.ts";
import { suppressionMask } from "../model/engine/suppression.ts";
import type { ModelConfig } from "../model/config/config.ts";
import { presetConfig, type PresetName, presets } from "../model/config/presets.ts";
import { PackedBatch } from "../model/packed_batch.ts";
import type { Prompt } from "../model/prompt.ts";
import type { VisionLanguageModel } from "../model/model.ts";
import { AdamW } from "../tensor/optimizer.ts";
import type { Random } from "../tensor/random.ts";
import { Tape } from "../tensor/tape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Returns the config of a preset, with a small vocabulary. @throws {TypeError} for an unknown preset. */
export function benchConfig(preset: string): ModelConfig {
  if (!(preset in presets)) {
    throw new TypeError(`Cannot run the bench: unknown preset "${preset}"; the presets are ${Object.keys(presets).join(", ")}`);
  }
  const tokens = { image: 4090, video: 4091, visionStart: 4092, visionEnd: 4093, bos: 4094, eos: [4094], pad: 4095 };
  return presetConfig(preset as PresetName, { tokens, vocabSize: 4096 });
}

/** Makes the prompt of the peer program: text, the placeholders of one picture of `grid` x `grid` patches between its markers, text. */
export function randomPrompt(config: ModelConfig, random: Random, options: { grid: number; text: number }): Prompt {
  const { grid: side, text } = options, visual = side ** 2 / config.vision.mergeSize ** 2;
  const tokens = Int32Array.from({ length: text + visual + 2 }, () => random.integer(10, 200));
  tokens.fill(config.tokens.image, 5, 5 + visual);
  tokens[4] = config.tokens.visionStart;
  tokens[5 + visual] = config.tokens.visionEnd;
  const { channels, temporalPatchSize, patchSize } = config.vision;
  const patches = Float32Array.from(random.normal(side ** 2 * channels * temporalPatchSize * patchSize ** 2));
  return { tokens, visuals: [{ kind: "image", grid: { t: 1, h: side, w: side }, pixels: { patches } }] };
}

/** Updates a model: forward, PPO's clipped loss with a random advantage for each response, backward, AdamW. */
export class Updates implements Disposable {
  readonly #optimizer: AdamW;
  readonly #suppress: Tensor;

  /** Makes updates for a model, which the caller still owns. */
  constructor(readonly model: VisionLanguageModel, readonly random: Random, readonly checkpointing: "off" | "blocks" | "full" = "off") {
    this.#optimizer = new AdamW(model.device, [{ parameters: Object.values(model.parameters) }], { maxNorm: 1 });
    this.#suppress = suppressionMask(model);
  }

  /** Runs one update on the completions of each prompt. */
  run(prompts: readonly Prompt[], completions: readonly (readonly Completion[])[]): void {
    const { model, random, checkpointing } = this, { device } = model;
    using batch = PackedBatch.pack(model, prompts.map((prompt, i) => ({ prompt, responses: completions[i]!.map(({ tokens }) => tokens) })));
    using tape = new Tape(device);
    const { logprob } = model.logProbs(tape, batch, { suppress: this.#suppress, checkpointing });
    // The gradient of the loss by the log-probabilities. The loss is a mean over tokens.
    const current = logprob.tensor.toFloats();
    const gradient = new Float32Array(current.length);
    let at = 0;
    for (const { logprobs } of completions.flat()) {
      const advantage = random.normal(1)[0]!;
      for (const old of logprobs) {
        const ratio = Math.exp(current[at]! - old);
        const clipped = advantage > 0 ? ratio > 1.2 : ratio < 0.8;
        gradient[at++] = clipped ? 0 : -advantage * ratio / current.length;
      }
    }
    using seed = Tensor.from(device, gradient);
    tape.backward([{ value: logprob, gradient: seed }]);
    this.#optimizer.step({ lr: 1e-6 });
    for (const parameter of Object.values(model.parameters)) parameter.zeroGrad();
    device.synchronize();
  }

  [Symbol.dispose](): void {
    this.#optimizer[Symbol.dispose]();
    this.#suppress[Symbol.dispose]();
  }
}
