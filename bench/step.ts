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
import { Qwen25VL } from "../model/qwen2_5_vl.ts";
import { Random } from "../tensor/random.ts";
import { median } from "./report.ts";
import { benchConfig, randomPrompt, Updates } from "./step_parts.ts";

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

const config = benchConfig(flags.preset);

const seconds = (since: number) => (performance.now() - since) / 1e3;

using device = flags.device === "cpu" && flags.threads ? CpuDevice.open({ threads: number("threads", 2) }) : openDevice(flags.device);
using model = Qwen25VL.initialise(config, { device, seed: 0, dtype: flags.dtype as WeightType });
using updates = new Updates(model, random, flags.checkpointing as "off" | "blocks" | "full");
using engine = new Engine(model);
const prompts = Array.from(
  { length: number("prompts", 4) },
  () => randomPrompt(config, random, { grid: number("grid", 16), text: number("text", 24) }),
);
const rollouts: number[] = [], updateSeconds: number[] = [];
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

  updates.run(prompts, completions);
  if (step === 0) continue; // the first builds, packs and grows
  rollouts.push(rollout);
  updateSeconds.push(seconds(middle));
}
// deno-lint-ignore no-console -- its output
console.log(JSON.stringify({
  device: device.description,
  preset: flags.preset,
  dtype: flags.dtype,
  params: Object.values(model.parameters).reduce((sum, { tensor }) => sum + tensor.size, 0),
  rollout_s: median(rollouts),
  update_s: median(updateSeconds),
  step_s: median(rollouts.map((seconds, i) => seconds + updateSeconds[i]!)),
  new_tokens_per_s: newTokens / median(rollouts),
  peak_bytes: device.memory().peak,
}));
