/**
 * A small random model, prompts for it, and the registration of tests of the engine, whose bodies wait.
 *
 * @module
 */
import type { Device, DType } from "../../ffi/device.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { Engine, type EngineOptions } from "../../model/engine/engine.ts";
import type { Completion } from "../../model/engine/completion.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import { type Grid, type Prompt, type Visual, visualTokens } from "../../model/prompt.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Random } from "../../tensor/random.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { backends } from "../ops/backends.ts";

/** The token ids of the small model. */
export const [VOCAB, IMAGE, VIDEO, VISION_START, VISION_END, EOS] = [97, 90, 91, 92, 93, 94];

const PATCHES = { channels: 3, patchSize: 2, temporalPatchSize: 2, mergeSize: 2, outHiddenSize: 32 };

/** A little tower of each family. */
const TOWERS = {
  "qwen2_5_vl": {
    ...PATCHES,
    depth: 2,
    hiddenSize: 16,
    intermediateSize: 24,
    heads: 2,
    windowSize: 8,
    fullAttentionBlocks: [1],
    tokensPerSecond: 2,
  },
  "qwen2_vl": { ...PATCHES, depth: 2, hiddenSize: 16, intermediateSize: 32, heads: 2 },
  "qwen3_vl": {
    ...PATCHES,
    depth: 3,
    hiddenSize: 16,
    intermediateSize: 24,
    heads: 2,
    positionEmbeddings: 25,
    deepstackBlocks: [0, 2],
  },
} as const;

/** A family of which there is a little model. */
export type LittleFamily = keyof typeof TOWERS;
/** All of them. */
export const LITTLE_FAMILIES = Object.keys(TOWERS) as LittleFamily[];

/** A model's sizes, small enough for hundreds of requests. */
export function littleConfig(modelType: LittleFamily = "qwen2_5_vl"): ModelConfig {
  return {
    modelType,
    text: {
      hiddenSize: 32,
      intermediateSize: 48,
      layers: 2,
      heads: 4,
      kvHeads: 2,
      headDim: 8,
      vocabSize: VOCAB,
      maxPositions: 1024,
      rmsNormEps: 1e-6,
      ropeTheta: 10000,
      mropeSection: [1, 1, 2],
      tied: false,
    },
    vision: TOWERS[modelType],
    tokens: { image: IMAGE, video: VIDEO, visionStart: VISION_START, visionEnd: VISION_END, eos: [EOS], bos: undefined, pad: undefined },
    dtype: "f32",
  };
}

/** A model with random weights, wide enough that its attention and its distributions are far from even. */
export function littleModel(
  device: Device,
  random: Random,
  dtype: DType = "f32",
  family: LittleFamily = "qwen2_5_vl",
): VisionLanguageModel {
  const config = littleConfig(family);
  const parameters = parameterSpecs(config).map(({ name, shape, kind }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const scale = kind === "matrix" ? 1.5 / Math.sqrt(shape[1]!) : kind === "embedding" ? 0.5 : 0.1;
    const numbers = Float32Array.from(random.normal(size, scale), (x) => kind === "norm" ? 1 + x : x);
    return [name, new Parameter(name, Tensor.from(device, numbers, { shape, dtype }))] as const;
  });
  return new VisionLanguageModel(device, config, Object.fromEntries(parameters));
}

/** Text. */
export function textPrompt(random: Random, length: number): Prompt {
  return { tokens: Int32Array.from({ length }, () => random.integer(0, 90)), visuals: [] };
}

/** Text, then pictures of the given patches, then text. */
export function picturePrompt(
  random: Random,
  options: { grids: readonly (readonly [number, number])[]; before?: number; after?: number },
): Prompt {
  const { grids, before = 3, after = 4 } = options;
  const tokens: number[] = [...textPrompt(random, before).tokens];
  const visuals: Visual[] = grids.map(([h, w]) => {
    const grid = { t: 1, h, w };
    tokens.push(VISION_START, ...new Array<number>(visualTokens(grid, 2)).fill(IMAGE), VISION_END);
    return { kind: "image", grid, pixels: { patches: Float32Array.from(random.normal(h * w * 24)) } };
  });
  tokens.push(...textPrompt(random, after).tokens);
  return { tokens: Int32Array.from(tokens), visuals };
}

/** Text, then a video of these patches, whose time steps stand apart in families that place them so, then text. */
export function videoPrompt(random: Random, options: { grid: Grid; family: LittleFamily }): Prompt {
  const { grid, family } = options, steps = family === "qwen3_vl" ? grid.t : 1;
  const tokens: number[] = [...textPrompt(random, 3).tokens];
  for (let step = 0; step < steps; step++) {
    const placeholders = new Array<number>(visualTokens(grid, 2) / steps).fill(VIDEO);
    tokens.push(...textPrompt(random, 2).tokens, VISION_START, ...placeholders, VISION_END);
  }
  tokens.push(...textPrompt(random, 4).tokens);
  const patches = Float32Array.from(random.normal(grid.t * grid.h * grid.w * 24));
  return { tokens: Int32Array.from(tokens), visuals: [{ kind: "video", grid, pixels: { patches } }] };
}

/** The arguments of a test body. */
export interface EngineRun {
  readonly device: Device;
  readonly dtype: DType;
  readonly random: Random;
}

/**
 * Registers a test on every backend except the emulated one. The test must free what it allocates.
 *
 * @param options `dtypes`: default all of the backend. `cpuOnly`: on no other backend.
 */
export function engineTest(
  name: string,
  body: (run: EngineRun) => void | Promise<void>,
  options: { dtypes?: readonly DType[]; cpuOnly?: boolean } = {},
): void {
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  for (const backend of backends().filter(({ as }) => options.cpuOnly ? as === "cpu" : as !== "emu")) {
    backend.open(); // here, since a library that a test loads counts as its leak
    for (const dtype of backend.dtypes.filter((each) => options.dtypes?.includes(each) ?? true)) {
      Deno.test(`${name} [${backend.tier} ${dtype}]`, async () => {
        const seed = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
        const device = backend.open();
        device.ops.noop();
        const before = device.memory();
        try {
          await body({ device, dtype, random: new Random(seed) });
          device.synchronize();
          const left = device.memory().allocations - before.allocations;
          if (left > 1) throw new Error(`${left} allocations were left`); // one: the device's workspace
          backend.check?.();
        } catch (error) {
          throw new Error(`${(error as Error).message} (seed ${seed})`, { cause: error });
        }
      });
    }
  }
}

/** An engine with little memory; any option can be given. */
export function littleEngine(model: VisionLanguageModel, options: EngineOptions = {}): Engine {
  return new Engine(model, { memoryBytes: 512 * 2 ** 20, maxSequences: 16, prefillTokens: 64, ...options });
}

/** Completions as plain arrays, for comparison to the bit. */
export function plain(completions: readonly Completion[][]) {
  return completions.map((samples) =>
    samples.map(({ tokens, logprobs, filteredLogprobs, entropies, finish, connectivity, profile }) => ({
      tokens: [...tokens],
      logprobs: [...logprobs],
      filteredLogprobs: [...filteredLogprobs],
      entropies: [...entropies],
      finish,
      connectivity: connectivity && [...connectivity],
      profile: profile && [...profile],
    }))
  );
}
