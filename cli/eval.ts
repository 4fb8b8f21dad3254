// deno-lint-ignore-file no-console -- a command
/**
 * `deno task eval` asks a model the questions of a data set, and prints how often its answers are right.
 *
 * @module
 */
import { engineGenerate } from "../actors/evaluator/engine_generate.ts";
import { evaluate, type Evaluation, type Prediction, type Question, questionOf } from "../actors/evaluator/evaluate.ts";
import { statisticsTable } from "./eval/table.ts";
import { BoardDataset } from "../data/board/mod.ts";
import { FORMAT_NAMES } from "../data/formats.ts";
import { isDataFile, openDataset } from "../data/open.ts";
import type { Dataset } from "../data/sample.ts";
import { openDevice } from "../ffi/open.ts";
import { Engine } from "../model/engine/engine.ts";
import { Processor } from "../model/processor/processor.ts";
import type { Prompt } from "../model/prompt.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { GraderPool, planReward, type RewardSpec } from "../verify/mod.ts";
import { CommandLine, runCommand } from "./command.ts";
import { modelAt } from "./models.ts";

const HELP = `Asks a model the questions of a data set, and prints how often its answers are right, with 95 % intervals.

usage: deno task eval --model DIR --data FILE|board [options]
  --model DIR          a model folder or checkpoint, adapters of PEFT, or a model of the hub as owner/name or owner/name@revision
  --base DIR           the base of a folder of adapters (LoRA), if it is not where the adapters say
  --data FILE|board    a data set; board: the held-out boards of the built-in task
  --limit N            uses the first N rows (default: all; 200 boards)
  --n N                answers to each question (default 1)
  --k LIST             prints pass@k for each k, as in 1,4
  --temperature X      0 always takes the likeliest token (default: 0 for one answer, 1 for several)
  --top-p X            default 1
  --max-tokens N       the maximum length of an answer (default 512)
  --reward NAME|JSON   a name, module or object like \`reward\` of a configuration (default: math; for boards number)
  --by LIST            prints a row for each combination of the values of these columns, such as subject,level
  --predictions FILE   writes a line of JSON for every answer
  --seed N             the seed for answers, boards and the bootstrap (default 0)
  --format NAME        the format of the rows: easyr1 | verl | trl | openai | swift | llava (default: recognised)
  --prompt-key KEY     the column of the problem; --answer-key KEY, --image-key KEY, --options-key KEY: of the answer, pictures and choices
                       (default: the format's). A key may be a path, such as extra_info.question
  --image-dir DIR      the folder of the pictures (default: the file's folder)
  --image-roots LIST   further folders that pictures may be in, separated by commas
  --allow-remote LIST  hosts that pictures may be fetched from, separated by commas; any: all hosts
  --format-prompt TEXT none | boxed | think_boxed | think_answer, or a text with {content} in place of the problem (default none)
  --board-options JSON how hard the boards are, such as {"side":4}
  --device NAME        auto | cpu | cuda | cuda:N (default auto)
`;

const VALUES = {
  model: "DIR",
  base: "DIR",
  data: "FILE|board",
  limit: "N",
  n: "N",
  k: "LIST",
  temperature: "X",
  "top-p": "X",
  "max-tokens": "N",
  reward: "NAME|JSON",
  by: "LIST",
  predictions: "FILE",
  seed: "N",
  "prompt-key": "KEY",
  "answer-key": "KEY",
  "image-key": "KEY",
  "options-key": "KEY",
  format: "NAME",
  "image-dir": "DIR",
  "image-roots": "LIST",
  "allow-remote": "LIST",
  "format-prompt": "TEXT",
  "board-options": "JSON",
  device: "NAME",
} as const;

const OTHERS = {
  checkpoint: "--model DIR",
  dataset: "--data FILE",
  samples: "--n N",
  out: "--predictions FILE",
  output: "--predictions FILE",
} as const;

type Line = CommandLine<keyof typeof VALUES>;

/** Reads the value of an option that holds JSON. */
function json(line: Line, name: "reward" | "board-options", text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw line.error(`--${name} is not JSON: ${(error as Error).message}`);
  }
}

async function dataset(line: Line): Promise<Dataset> {
  const spec = line.needed("data"), board = line.text("board-options");
  if (spec === "board") {
    const idle = (["prompt-key", "answer-key", "image-key", "options-key", "image-dir", "image-roots", "format", "format-prompt"] as const)
      .find((name) => line.text(name) !== undefined);
    if (idle !== undefined) throw line.error(`--${idle} applies only to --data FILE, not to board`);
    const options = board === undefined ? {} : json(line, "board-options", board) as object;
    return await line.resolved(() => new BoardDataset(options, { seed: line.number("seed") ?? 0, split: "val" }));
  }
  if (board !== undefined) throw line.error(`--board-options applies only to --data board, not to ${spec}`);
  const keys = {
    promptKey: line.text("prompt-key"),
    answerKey: line.text("answer-key"),
    imageKey: line.text("image-key"),
    optionsKey: line.text("options-key"),
    imageDir: line.text("image-dir"),
    formatPrompt: line.text("format-prompt"),
    format: line.choice("format", ["auto", ...FORMAT_NAMES]),
  };
  const hosts = line.list("allow-remote"), allowRemote = hosts.join() === "any" || hosts;
  const onNote = (words: string) => console.error(words), imageRoots = line.list("image-roots");
  const set = Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
  if (isDataFile(spec)) line.path("data", "file");
  return await line.resolved(() => openDataset(spec, { ...set, imageRoots, allowRemote, onNote }));
}

/** Yields the first `count` rows. Each is read when it is needed. */
async function* questions(data: Dataset, { count, processor }: { count: number; processor: Processor }): AsyncGenerator<Question<Prompt>> {
  for (let i = 0; i < count; i++) {
    // deno-lint-ignore no-await-in-loop -- pictures of the rows that are asked now are enough to hold
    const sample = await data.sample(i);
    // deno-lint-ignore no-await-in-loop -- as above
    yield questionOf(sample, await processor.prompt(sample.messages, { row: sample.id }));
  }
}

/** Formats a prediction as a line of JSON. NaN, which JSON does not have, becomes null. */
function predictionLine(prediction: Prediction): string {
  const { id, sample, prompt, response, answer = null, truth, accuracy, reward, fields, ...rest } = prediction;
  return `${JSON.stringify({ id, sample, prompt, response, answer, truth, accuracy, reward, fields, ...rest })}\n`;
}

/** Runs the command. @returns The exit code. */
export async function evalModel(args: readonly string[]): Promise<number> {
  const line: Line = new CommandLine(args, {
    name: "deno task eval",
    action: "evaluate",
    help: HELP,
    values: VALUES,
    required: ["model", "data"],
    others: OTHERS,
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  const n = line.number("n", { min: 1 }) ?? 1, seed = line.number("seed") ?? 0, limit = line.number("limit", { min: 1 });
  const temperature = line.number("temperature", { max: 1e6, whole: false }) ?? (n === 1 ? 0 : 1);
  const topP = line.number("top-p", { max: 1, whole: false }) ?? 1, maxTokens = line.number("max-tokens", { min: 1 }) ?? 512;
  const given = line.text("reward") ?? (line.needed("data") === "board" ? "number" : "math");
  const spec = (given.startsWith("{") ? json(line, "reward", given) : given) as RewardSpec;
  const plan = await line.resolved(() => planReward(spec, new URL(`file://${Deno.cwd()}/`)));
  const name = line.path("model", "model")!,
    path = line.path("predictions", "new file"),
    deviceName = line.device("device"),
    k = line.counts("k");
  line.path("image-dir", "folder");
  if (n > 1 && temperature === 0) {
    throw line.error(`--n ${n} with --temperature 0: all ${n} answers would be the same; leave one of them out`);
  }
  const most = Math.max(...k);
  if (most > n) throw line.error(`--k ${most} needs at least that many answers to each question: --n ${most}`);
  const data = await dataset(line), count = Math.min(limit ?? (data.size === Infinity ? 200 : data.size), data.size);
  const { folder, files } = await modelAt(name, line.path("base", "model"));
  using device = openDevice(deviceName);
  using model = VisionLanguageModel.load(folder, { device, frozen: "all", base: { folder: files } });
  const processor = Processor.fromFolder(files);
  using engine = new Engine(model);
  await using pool = new GraderPool(plan, { onIncident: ({ kind, reason }) => console.error(`a grader failed (${kind}): ${reason}`) });
  const start = performance.now();
  using file = path === undefined ? undefined : Deno.openSync(path, { write: true, create: true, truncate: true });
  let done = 0;
  const onBatch = (predictions: readonly Prediction[]) => {
    const bytes = new TextEncoder().encode(predictions.map(predictionLine).join(""));
    for (let at = 0; file && at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    done += predictions.length;
    console.error(`${done} of ${count * n} answers, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  };
  const asked = { generate: engineGenerate(engine, processor.tokenizer), questions: questions(data, { count, processor }), pool, onBatch };
  const by = line.list("by"), settings = { n, temperature, topP, maxTokens, seed, k, by };
  const evaluation: Evaluation = await evaluate({ ...asked, ...settings });
  const cut = evaluation.predictions.filter(({ finish }) => finish === "length").length;
  const how = temperature === 0 ? "greedy" : `temperature ${temperature}, top-p ${topP}`;
  console.log(`${folder} on ${data.name}: ${count} problems, ${n} answers each, ${how}, seed ${seed}, on ${device.name}\n`);
  console.log(statisticsTable(evaluation, by));
  if (cut > 0) console.log(`\n${cut} of ${evaluation.predictions.length} answers were cut off at ${maxTokens} tokens`);
  return 0;
}

if (import.meta.main) await runCommand(evalModel);
