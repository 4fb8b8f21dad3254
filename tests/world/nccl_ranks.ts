// deno-lint-ignore-file no-console -- a program
/**
 * Updates of a little model on the fake CUDA device, on several ranks: with the fake NCCL and through host memory. Rank 0 prints the bits of
 * the weights of both, and each rank's misuses of the fakes.
 */
import { Learner, PLAIN_LEARNER } from "../../actors/policy/learner.ts";
import { World } from "../../ffi/world.ts";
import { presetConfig } from "../../model/config/presets.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import type { Prompt } from "../../model/prompt.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { FakeCuda } from "../fake_cuda/fake_cuda.ts";

const world = World.join({ timeoutSeconds: 60 }), { place } = world, fake = FakeCuda.load();
const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
const config = presetConfig("tiny", { tokens, vocabSize: 95 });
const prompts = [[5, 6, 7], [8, 9], [10, 11, 12, 13]].map((ids): Prompt => ({ tokens: Int32Array.from(ids), visuals: [] }));
const responses = [Int32Array.of(1, 2, 3, 4, 5), Int32Array.of(7, 8, 94)];

/** The weights after two updates, as text of their bits. */
function updated(nccl: string | null, shard: "none" | "optimizer"): string {
  using device = fake.open(place.rank % 2);
  using model = VisionLanguageModel.initialise(config, { device, dtype: "f32", seed: 3 });
  using learner = new Learner(model, {
    ...PLAIN_LEARNER,
    microTokens: 16,
    optimizer: { maxNorm: 1 },
    lanes: { place, channel: "policy", lanes: place.size, shard, slice: undefined, checkEvery: 1, nccl },
  });
  const logprobs = responses.map(({ length }) => new Float32Array(length).fill(-4)), counts = [true, true];
  using advantages = Tensor.from(device, Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)));
  for (let step = 0; step < 2; step++) {
    const inputs = { advantages, klCoefficient: 0, temperature: 1, entropyCoefficient: 0, lr: 1e-3 };
    learner.update(prompts.map((prompt) => ({ prompt, responses, logprobs, counts })), inputs);
  }
  const bits = model.trained().map(({ parameter: { tensor } }) => new Uint32Array(tensor.toFloats().buffer).join());
  return bits.join();
}

const all = [updated(fake.path, "optimizer"), updated(null, "optimizer"), updated(fake.path, "none")];
const said = world.gather(new TextEncoder().encode(JSON.stringify({ all, misuses: fake.violations() })));
if (place.rank === 0) console.log(JSON.stringify(said.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)))));
world.leave();
Deno.exit(0);
