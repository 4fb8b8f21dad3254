/**
 * Measures how well each attention head of a board model tells readings from other tokens. It samples answers to boards, measures the share of attention on the picture by
 * layer and head in a training forward, and prints JSON: `heads`, the area under the ROC curve of each head's share within answers; `rules`, the heads as each rule
 * without labels ranks them. `deno task ablate --heads FILE` draws the first.
 *
 *   deno run --no-prompt --allow-read --allow-write=.cache --allow-run=c++,g++ --allow-env --allow-sys=systemMemoryInfo --allow-ffi bench/heads.ts FOLDER
 *     [--prompts=24] [--answers=4] [--tokens=96] [--seed=1000] [--board='{"filler":32}']
 *
 * FOLDER is a model folder, as runs/NAME/checkpoints/step-0.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- prints its result
import { CpuDevice } from "../ffi/cpu_device.ts";
import { HeadConnectivity } from "../model/head_connectivity.ts";
import { PackedBatch } from "../model/packed_batch.ts";
import { HEAD_RULES, headAreas, rankHeads } from "../rl/atrl/head_ranking.ts";
import { Tape } from "../tensor/tape.ts";
import { sampledBoards } from "./board_answers.ts";

using device = CpuDevice.open();
using sampled = await sampledBoards(device, {
  name: "bench/heads.ts",
  does: "Measures how well each attention head of a board model tells readings from other tokens.",
});
const { model, boards } = sampled, { layers, heads } = model.config.text;
const answers = boards.flatMap(({ prompt, completions, classes }) => {
  using batch = PackedBatch.pack(model, [{ prompt, responses: completions.map(({ tokens }) => tokens) }]);
  using measured = HeadConnectivity.create(model, batch);
  using tape = new Tape(device, { record: false });
  model.predictions(tape, batch, { observe: (layer, seen) => measured.observe(layer, seen) });
  return measured.results().map((share, i) => ({ ...share, classes: classes[i]! }));
});
const rules = HEAD_RULES.map((rule) => [rule, rankHeads(answers, { layers, heads, rule })]);
console.log(JSON.stringify({ heads: headAreas(answers, { layers, heads }), rules: Object.fromEntries(rules) }));
