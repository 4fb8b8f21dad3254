/**
 * Measures how well each attention head of a board model tells readings from other tokens. It samples answers to boards, measures the share of attention on the picture by
 * layer and head in a training forward, and prints JSON: `heads`, the area under the ROC curve of each head's share within answers; `rules`, the heads as each rule
 * without labels ranks them.
 *
 *   deno run --no-prompt --allow-read --allow-write=.cache --allow-run=c++,g++ --allow-env --allow-sys=systemMemoryInfo --allow-ffi bench/heads.ts FOLDER
 *     [--prompts=24] [--answers=4] [--tokens=64] [--seed=1000] [--board='{"filler":32}']
 *
 * FOLDER is a model folder, as runs/NAME/checkpoints/step-0.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- prints its result
import { boardClasses, BoardDataset, type BoardOptions } from "../data/board/mod.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { Engine } from "../model/engine/engine.ts";
import { HeadConnectivity } from "../model/head_connectivity.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { type Group, PackedBatch } from "../model/packed_batch.ts";
import { Processor } from "../model/processor/processor.ts";
import { HEAD_RULES, headAreas, rankHeads } from "../rl/atrl/head_ranking.ts";
import { TOKEN_CLASSES } from "../rl/credit/token_classes.ts";
import { Tape } from "../tensor/tape.ts";
import { benchLine } from "./options.ts";

const line = benchLine({
  name: "bench/heads.ts",
  does: "Measures how well each attention head of a board model tells readings from other tokens.",
  values: {
    prompts: ["N", "boards (default 24)"],
    answers: ["N", "answers to each (default 4)"],
    tokens: ["N", "longest answer (default 64)"],
    seed: ["N", "of boards and answers (default 1000)"],
    board: ["JSON", 'options of the board task, as {"filler":32}'],
  },
  rest: { name: "FOLDER", most: 1, words: "the model" },
});
const number = (name: "prompts" | "answers" | "tokens" | "seed", fallback: number) => line.number(name) ?? fallback;
const folder = line.rest[0] ?? "", seed = number("seed", 1000), board = JSON.parse(line.text("board") ?? "{}") as Partial<BoardOptions>;

using device = CpuDevice.open();
using model = VisionLanguageModel.load(folder, { device, frozen: "all" });
using engine = new Engine(model);
const processor = Processor.fromFolder(folder), data = new BoardDataset(board, { seed, split: "train" });
const rows = await Promise.all(Array.from({ length: number("prompts", 24) }, (_, i) => data.sample(i)));
const prompts = await Promise.all(rows.map(({ messages }) => processor.prompt(messages)));
const completions = await engine.generate(prompts, { n: number("answers", 4), maxTokens: number("tokens", 64), seed });
const groups: Group[] = prompts.map((prompt, i) => ({ prompt, responses: completions[i]!.map(({ tokens }) => tokens) }));

const shares = groups.flatMap((group) => {
  using batch = PackedBatch.pack(model, [group]);
  using measured = HeadConnectivity.create(model, batch);
  using tape = new Tape(device, { record: false });
  model.predictions(tape, batch, { observe: (layer, seen) => measured.observe(layer, seen) });
  return measured.results();
});
const classes = completions.flat().map(({ tokens }) => {
  const texts = Array.from(tokens, (id) => processor.tokenizer.decode([id]));
  return boardClasses({ tokens: texts, text: texts.join(""), truth: "", fields: {} }).map((name) => TOKEN_CLASSES.indexOf(name));
});
const { layers, heads } = model.config.text, answers = shares.map((share, i) => ({ ...share, classes: classes[i]! }));
const rules = HEAD_RULES.map((rule) => [rule, rankHeads(answers, { layers, heads, rule })]);
console.log(JSON.stringify({ heads: headAreas(answers, { layers, heads }), rules: Object.fromEntries(rules) }));
