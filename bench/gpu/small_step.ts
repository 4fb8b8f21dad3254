/**
 * A rollout and an update of a model of a few thousand parameters, for a sanitizer, which makes each kernel many times slower.
 *
 *   compute-sanitizer --tool racecheck deno run -A bench/gpu/small_step.ts
 *
 * @module
 */
import { Engine } from "../../model/engine/engine.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { Random } from "../../tensor/random.ts";
import { benchConfig, randomPrompt, Updates } from "../step_parts.ts";
import { say } from "./lines.ts";
import { isFake, openGpu } from "./open.ts";

const random = new Random(0), config = benchConfig("tiny");
using device = await openGpu();
device.batchInvariant = true; // products by Kedge's own kernel
for (const dtype of isFake() ? ["f32"] as const : ["f32", "bf16"] as const) {
  using model = VisionLanguageModel.initialise(config, { device, seed: 0, dtype });
  using updates = new Updates(model, random);
  using engine = new Engine(model, { maxSequences: 4, prefillTokens: 32, memoryBytes: 2 ** 28 });
  const prompts = [4, 6].map((grid) => randomPrompt(config, random, { grid, text: 6 }));
  // deno-lint-ignore no-await-in-loop -- one after the other
  const answers = await engine.generate(prompts, { n: 2, temperature: 1, topP: 0.9, maxTokens: 3, stop: [], seed: 0, connectivity: {} });
  engine.release();
  updates.run(prompts, answers);
  const logprobs = answers.flat().flatMap((answer) => [...answer.logprobs]);
  say({ name: `a small step in ${dtype}`, ok: logprobs.length === 12 && logprobs.every((value) => value <= 0) });
}
