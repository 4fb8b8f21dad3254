/**
 * One step of training, timed: a rollout of PROMPTS x GROUP responses to prompts with one picture each, then one update (forward, backward, AdamW) over
 * all of them. Random weights, random prompts, no stop token. Prints one JSON line: seconds (medians over the steps after the first), tokens, peak bytes.
 *
 *   deno task bench:step [--preset small] [--device cpu] [--dtype f32] [--prompts 4] [--group 8] [--response 64] [--grid 16] [--text 24] [--steps 3]
 *                        [--connectivity] [--checkpointing off] [--threads 2]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { CpuDevice } from "../ffi/cpu_device.ts";
import type { WeightType } from "../model/folder/checkpoint.ts";
import { openDevice } from "../ffi/open.ts";
import { Engine } from "../model/engine/engine.ts";
import { PackedBatch } from "../model/packed_batch.ts";
import { suppressionMask } from "../model/engine/suppression.ts";
import { presetConfig, type PresetName, presets } from "../model/config/presets.ts";
import type { Prompt } from "../model/prompt.ts";
import { Qwen25VL } from "../model/qwen2_5_vl.ts";
import { AdamW } from "../tensor/optimizer.ts";
import { Random } from "../tensor/random.ts";
import { Tape } from "../tensor/tape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { median } from "./report.ts";

const flags = parseArgs(Deno.args, {
  string: ["preset", "device", "dtype", "prompts", "group", "response", "grid", "text", "steps", "checkpointing", "threads"],
  boolean: ["connectivity"],
  default: { preset: "small", device: "cpu", dtype: "f32", checkpointing: "off" },
  unknown: (flag) => {
    throw new TypeError(`Cannot run the bench: "${flag}" is no option of it`);
  },
});
const number = (name: "prompts" | "group" | "response" | "grid" | "text" | "steps" | "threads", fallback: number) =>
  Number(flags[name] ?? fallback);
const [group, response, steps] = [number("group", 8), number("response", 64), number("steps", 3)];
const random = new Random(0);

if (!(flags.preset in presets)) {
  throw new TypeError(`Cannot run the bench: "${flags.preset}" is no preset; they are ${Object.keys(presets).join(", ")}`);
}
const vocabSize = 4096;
const tokens = { image: 4090, video: 4091, visionStart: 4092, visionEnd: 4093, bos: 4094, eos: [4094], pad: 4095 };
const config = presetConfig(flags.preset as PresetName, { tokens, vocabSize });

/** The prompt of the peer's bench: text, one picture's placeholders between its markers, text. */
function randomPrompt(): Prompt {
  const side = number("grid", 16), visual = side ** 2 / config.vision.mergeSize ** 2;
  const tokens = Int32Array.from({ length: number("text", 24) + visual + 2 }, () => random.integer(10, 200));
  tokens.fill(config.tokens.image, 5, 5 + visual);
  tokens[4] = config.tokens.visionStart;
  tokens[5 + visual] = config.tokens.visionEnd;
  const { channels, temporalPatchSize, patchSize } = config.vision;
  const patches = Float32Array.from(random.normal(side ** 2 * channels * temporalPatchSize * patchSize ** 2));
  return { tokens, visuals: [{ kind: "image", grid: { t: 1, h: side, w: side }, pixels: { patches } }] };
}

const seconds = (since: number) => (performance.now() - since) / 1e3;

using device = flags.device === "cpu" && flags.threads ? CpuDevice.open({ threads: number("threads", 2) }) : openDevice(flags.device);
using model = Qwen25VL.initialise(config, { device, seed: 0, dtype: flags.dtype as WeightType });
using optimizer = new AdamW(device, [{ parameters: Object.values(model.parameters) }], { maxNorm: 1 });
using engine = new Engine(model);
using suppress = suppressionMask(model);
const prompts = Array.from({ length: number("prompts", 4) }, randomPrompt);
const rollouts: number[] = [], updates: number[] = [];
let newTokens = 0;
device.resetPeak();
for (let step = 0; step <= steps; step++) {
  const start = performance.now();
  // deno-lint-ignore no-await-in-loop -- one step after the other
  const completions = await engine.generate(prompts, {
    n: group,
    temperature: 1,
    maxTokens: response,
    stop: [],
    seed: step,
    ...(flags.connectivity ? { connectivity: {} } : {}),
  });
  device.synchronize();
  engine.release();
  const rollout = seconds(start), middle = performance.now();
  newTokens = completions.flat().reduce((sum, { tokens }) => sum + tokens.length, 0);

  using batch = PackedBatch.pack(model, prompts.map((prompt, i) => ({ prompt, responses: completions[i]!.map(({ tokens }) => tokens) })));
  using tape = new Tape(device);
  const { logprob } = model.logProbs(tape, batch, {
    suppress,
    checkpointing: flags.checkpointing as "off" | "blocks" | "full",
  });
  // PPO's clipped loss, mean over tokens: its gradient by the log-probabilities, with a random advantage each response.
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
  optimizer.step({ lr: 1e-6 });
  for (const parameter of Object.values(model.parameters)) parameter.zeroGrad();
  device.synchronize();
  if (step === 0) continue; // the first builds, packs and grows
  rollouts.push(rollout);
  updates.push(seconds(middle));
}
// deno-lint-ignore no-console -- its output
console.log(JSON.stringify({
  device: device.description,
  preset: flags.preset,
  dtype: flags.dtype,
  params: Object.values(model.parameters).reduce((sum, { tensor }) => sum + tensor.size, 0),
  rollout_s: median(rollouts),
  update_s: median(updates),
  step_s: median(rollouts.map((seconds, i) => seconds + updates[i]!)),
  new_tokens_per_s: newTokens / median(rollouts),
  peak_bytes: device.memory().peak,
}));
