/**
 * Times one step of training: a rollout of PROMPTS x GROUP responses to prompts with one picture each, then one update (forward, backward,
 * AdamW) on all of them. Weights and prompts are random, and there is no stop token. It prints one line of JSON: seconds (medians over the
 * steps after the first), tokens, peak bytes.
 *
 *   deno task bench:step [--preset small] [--device cpu] [--dtype f32] [--prompts 4] [--group 8] [--response 64] [--grid 16] [--text 24] [--steps 3]
 *                        [--connectivity] [--checkpointing off] [--threads 2]
 *
 * @module
 */
import { CpuDevice } from "../ffi/cpu_device.ts";
import { openDevice } from "../ffi/open.ts";
import { Engine } from "../model/engine/engine.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { Random } from "../tensor/random.ts";
import { type PresetName, presets } from "../model/config/presets.ts";
import { benchLine } from "./options.ts";
import { median } from "./report.ts";
import { benchConfig, randomPrompt, Updates } from "./step_parts.ts";

const line = benchLine({
  name: "deno task bench:step",
  does: "Measures the seconds of a rollout and of an update with random weights and prompts, and prints a line of JSON.",
  values: {
    preset: ["NAME", `${Object.keys(presets).join(" | ")} (default small)`, Object.keys(presets)],
    device: ["NAME", "auto | cpu | cuda | cuda:N (default cpu)"],
    dtype: ["TYPE", "f32 | bf16 (default f32)", ["f32", "bf16"]],
    prompts: ["N", "of a step (default 4)"],
    group: ["N", "answers to each prompt (default 8)"],
    response: ["N", "tokens per answer (default 64)"],
    grid: ["N", "patches per side of a picture (default 16)"],
    text: ["N", "text tokens per prompt (default 24)"],
    steps: ["N", "steps; the first one is not counted (default 3)"],
    checkpointing: ["NAME", "off | blocks | full (default off)", ["off", "blocks", "full"]],
    threads: ["N", "threads of the CPU's ops (default: all cores)"],
  },
  flags: { connectivity: "measures connectivity while decoding" },
});
const number = (name: "prompts" | "group" | "response" | "grid" | "text" | "steps" | "threads", fallback: number) =>
  line.number(name, { min: 1 }) ?? fallback;
const preset = line.choice("preset", Object.keys(presets) as PresetName[]) ?? "small",
  dtype = line.choice("dtype", ["f32", "bf16"]) ?? "f32";
const on = line.device("device") ?? "cpu", checkpointing = line.choice("checkpointing", ["off", "blocks", "full"]) ?? "off";
const [group, response, steps] = [number("group", 8), number("response", 64), number("steps", 3)];
const random = new Random(0);

const config = benchConfig(preset);

const seconds = (since: number) => (performance.now() - since) / 1e3;

using device = on === "cpu" && line.text("threads") ? CpuDevice.open({ threads: number("threads", 2) }) : openDevice(on);
using model = VisionLanguageModel.initialise(config, { device, seed: 0, dtype });
using updates = new Updates(model, random, checkpointing);
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
    ...(line.flag("connectivity") ? { connectivity: {} } : {}),
  });
  device.synchronize();
  engine.release();
  const rollout = seconds(start), middle = performance.now();
  newTokens = completions.flat().reduce((sum, { tokens }) => sum + tokens.length, 0);

  updates.run(prompts, completions);
  if (step === 0) continue; // the first step compiles, packs weights and allocates
  rollouts.push(rollout);
  updateSeconds.push(seconds(middle));
}
// deno-lint-ignore no-console -- its output
console.log(JSON.stringify({
  device: device.description,
  preset,
  dtype,
  params: Object.values(model.parameters).reduce((sum, { tensor }) => sum + tensor.size, 0),
  rollout_s: median(rollouts),
  update_s: median(updateSeconds),
  step_s: median(rollouts.map((seconds, i) => seconds + updateSeconds[i]!)),
  new_tokens_per_s: newTokens / median(rollouts),
  peak_bytes: device.memory().peak,
}));
