/**
 * Measures a model of a size that people use on the CPU: memory, decoding, reading of prompts, and a training step by LoRA. It is run by hand, with a folder
 * of bf16 weights, which may be random:
 *
 *   deno task init-model --preset 3b --tokenizer DIR --out MODEL
 *   deno run -A bench/real_size.ts --model MODEL [--parts inspect,layer,decode,step] [--threads 2] [--layers 2] [--rounds 5]
 *
 * - inspect: the most memory that `deno task inspect` takes for a picture of 256 visual tokens and 16 tokens.
 * - layer: the matrices of a decoder layer in bf16 against f32, alternately, for one row (a decode step) to 512 rows (a prompt), and their gradient by x.
 *   For few rows `--layers` layers are used in turn, so that none of them lies in a cache.
 * - decode: tokens a second of one sequence, and the bytes of weights that this reads against a copy of memory by the same threads, measured before and after.
 *   Then eight sequences with and without connectivity, whose difference is what AT-RL adds to a rollout.
 * - step: one step of GRPO by LoRA of rank 16, 2 prompts x 4 answers x 64 tokens, pictures of 256 visual tokens, by `deno task train`.
 *
 * Memory is that of whole processes.
 *
 * @module
 */
import { encodePng } from "../cli/inspect/heatmap_picture.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { readConfig } from "../model/config/config.ts";
import { Engine } from "../model/engine/engine.ts";
import { VisionLanguageModel } from "../model/model.ts";
import type { Prompt } from "../model/prompt.ts";
import { Random } from "../tensor/random.ts";
import { Tensor } from "../tensor/tensor.ts";
import { benchLine } from "./options.ts";
import { peakOf } from "./process_peak.ts";
import { measure, median, Report } from "./report.ts";
import { randomPrompt } from "./step_parts.ts";

const line = benchLine({
  name: "deno run -A bench/real_size.ts",
  does: "Measures a bf16 model on the CPU: memory, decoding, reading of prompts, a training step by LoRA.",
  values: {
    model: ["DIR", "a model folder of bf16 weights"],
    parts: ["LIST", "inspect, layer, decode, step (default: all)"],
    threads: ["N", "threads of the ops (default 2)"],
    layers: ["N", "layers that are used in turn (default 2)"],
    rounds: ["N", "repetitions of each (default 5)"],
  },
});
const folder = line.path("model", "model");
if (!folder) throw line.error("--model DIR is missing: a folder of bf16 weights");
const threads = line.number("threads", { min: 1 }) ?? 2, rounds = line.number("rounds", { min: 1 }) ?? 5, parts = line.list("parts");
const wanted = (part: string) => parts.length === 0 || parts.includes(part);
const GIB = 2 ** 30, scratch = Deno.makeTempDirSync(), random = new Random(0), config = readConfig(folder);
/** Sides of a picture of 256 merged tokens, in pixels and in patches. */
const side = 16 * config.vision.mergeSize * config.vision.patchSize, patches = 16 * config.vision.mergeSize;

/** A picture of random tiles. */
async function picture(name: string): Promise<string> {
  const data = new Uint8Array(side * side * 3), tiles = Array.from({ length: 16 * 16 * 3 }, () => random.integer(0, 256));
  for (let i = 0; i < data.length; i++) {
    const [y, x] = [Math.floor(i / (3 * side)), Math.floor(i / 3) % side];
    data[i] = tiles[3 * (16 * Math.floor(16 * y / side) + Math.floor(16 * x / side)) + i % 3]!;
  }
  Deno.writeFileSync(`${scratch}/${name}`, await encodePng({ data, width: side, height: side }));
  return `${scratch}/${name}`;
}

/** The most memory of `deno task inspect`. */
async function measureInspect(): Promise<void> {
  const image = await picture("inspect.png"), options = ["--prompt", "What is this?", "--max-tokens", "16", "--out", `${scratch}/inspect`];
  const { bytes, seconds } = await peakOf(["cli/inspect.ts", "--device", "cpu", "--model", folder!, "--image", image, ...options]);
  const weights = Array.from(Deno.readDirSync(folder!)).filter(({ name }) => name.endsWith(".safetensors"))
    .reduce((sum, { name }) => sum + Deno.statSync(`${folder}/${name}`).size, 0);
  const report = new Report("inspect", { "visual tokens": 256, tokens: 16, goal: "peak < 10 GiB" });
  report.row({ "weights GiB": weights / GIB, "peak GiB": bytes / GIB, "peak / weights": bytes / weights, seconds });
  report.print();
}

/** Products with the matrices of a layer, in bf16 and in f32. */
function measureLayer(device: CpuDevice, model: VisionLanguageModel): void {
  const { host } = device, count = Math.min(line.number("layers", { min: 1 }) ?? 2, config.text.layers);
  const names = ["qkv", "out", "gateUp", "down"].flatMap((name) => Array.from({ length: count }, (_, i) => `layers.${i}.${name}.weight`));
  using stack = new DisposableStack();
  const weights = names.map((name) => {
    const half = model.parameters[name]!.tensor, [n, k] = [half.rows, half.cols];
    const plain = stack.use(half.cast("f32")), packed = stack.use(Tensor.empty(device, [host.gemmPackedBytes(n, k)], { dtype: "u8" }));
    host.gemmPack(packed.address, plain.address, k, 1, n, k);
    return { name, half, plain, packed, n, k };
  });
  const wide = Math.max(...weights.map(({ n, k }) => Math.max(n, k)));
  const report = new Report("a decoder layer, bf16 against f32", { layers: count, threads, goal: "1 row: 1.7; many: 1" });
  for (const m of [1, 4, 8, 64, 512]) {
    // The time of many rows is that of arithmetic, for which one layer is enough.
    const used = m > 8 ? weights.filter(({ name }) => name.startsWith("layers.0.")) : weights;
    const elements = used.reduce((sum, { n, k }) => sum + n * k, 0);
    using x = Tensor.from(device, Float32Array.from({ length: m * wide }, () => random.next() - 0.5), { shape: [m, wide] });
    using y = Tensor.empty(device, [m, wide]);
    const [a, c] = [x.address, y.address];
    const forward = {
      f32: () => used.forEach(({ packed, n, k }) => host.gemmPacked(c, n, a, k, 0, packed.address, m, n, k, 1, 0)),
      bf16: () => used.forEach(({ half, n, k }) => host.bf16Gemm(c, n, a, k, half.packedAddress, 0, m, n, k, 1, 0)),
    };
    const backward = {
      f32: () => used.forEach(({ plain, n, k }) => device.ops.gemm(0, c, 0, k, a, n, 0, plain.address, k, 0, m, k, n, 1, 0)),
      bf16: () => used.forEach(({ half, n, k }) => host.bf16Gemm(c, k, a, n, half.packedAddress, 1, m, n, k, 1, 0)),
    };
    const [ahead, back] = [forward, backward].map((pair) => measure(pair, { rounds })) as [
      ReturnType<typeof measure<"f32" | "bf16">>,
      ReturnType<typeof measure<"f32" | "bf16">>,
    ];
    report.row({
      rows: m,
      "f32 GB/s": 4e-9 * elements / ahead.f32.best,
      "bf16 GB/s": 2e-9 * elements / ahead.bf16.best,
      "bf16 GFLOP/s": 2e-9 * m * elements / ahead.bf16.best,
      ratio: ahead.bf16.ratio,
      "best / best": ahead.f32.best / ahead.bf16.best,
      "dx ratio": back.bf16.ratio,
    });
  }
  report.print();
}

/** Bytes a second that a copy of a large block moves, read and written. */
function copyRate(device: CpuDevice): number {
  using from = Tensor.full(device, [2 ** 27], { value: 1 });
  using to = Tensor.full(device, [2 ** 27], { value: 0 });
  return 2 * from.byteLength / measure({ copy: () => device.ops.copy(to.address, from.address, from.byteLength) }, { rounds }).copy.best;
}

/** Decodes one sequence, and eight with and without connectivity. */
async function measureDecode(device: CpuDevice, model: VisionLanguageModel): Promise<void> {
  const { layers, tied } = config.text, tokens = 24;
  const [large, little] = [patches, patches / 4].map((grid) => randomPrompt(config, random, { grid, text: 24 })) as [Prompt, Prompt];
  const bytes = Object.values(model.parameters).filter(({ name }) => name.startsWith("layers.") || name === (tied ? "embedding" : "head"))
    .reduce((sum, { tensor }) => sum + tensor.byteLength, 0);
  using engine = new Engine(model, { maxSequences: 8 });
  /** Seconds of reading the prompt, and of each decode step alone. */
  const run = async (prompt: Prompt, { n, connectivity, seed }: { n: number; connectivity: boolean; seed: number }) => {
    const before = { ...engine.stats.seconds }, steps: number[] = [];
    const { result } = engine.submit({ prompt, n, maxTokens: tokens, stop: [], seed, connectivity });
    for (let more = true; more;) {
      const read = engine.stats.prefilledTokens, decode = engine.stats.seconds.decode;
      more = engine.step();
      if (engine.stats.prefilledTokens === read) steps.push(engine.stats.seconds.decode - decode);
    }
    await result;
    const { vision, prefill } = engine.stats.seconds;
    return { prompt: vision + prefill - before.vision - before.prefill, steps };
  };
  const { prompt } = await run(large, { n: 1, connectivity: false, seed: 0 }); // allocates, too
  const first = copyRate(device), seconds = { one: [], plain: [], looking: [] } as Record<"one" | "plain" | "looking", number[]>;
  const kinds = [["one", 1, false], ["plain", 8, false], ["looking", 8, true]] as const;
  for (
    const [name, n, connectivity, round] of Array.from({ length: rounds }, (_, i) => kinds.map((kind) => [...kind, i] as const)).flat()
  ) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    seconds[name].push(...(await run(little, { n, connectivity, seed: round })).steps);
  }
  const { one, plain, looking } = seconds;
  const copy = Math.max(first, copyRate(device)), best = Math.min(...one);
  const report = new Report("decoding", { layers, "weights GB": bytes / 1e9, "copy GB/s": copy / 1e9, threads, goal: "of copy >= 0.7" });
  report.row({
    sequences: 1,
    "tokens/s": 1 / median(one),
    "best tokens/s": 1 / best,
    "weights GB/s": 1e-9 * bytes / best,
    "of copy": bytes / best / copy,
    "seconds to read a prompt of 256 visual tokens": prompt,
  });
  for (const [name, list] of [["8", plain], ["8, connectivity", looking]] as const) {
    report.row({ sequences: name, "tokens/s": 8 / median(list), "best tokens/s": 8 / Math.min(...list) });
  }
  report.print();
}

/** A step of GRPO by LoRA. */
async function measureStep(): Promise<void> {
  const rows = await Promise.all(["a.png", "b.png"].map(async (name, i) => {
    await picture(name);
    return { problem: `<image>How many tiles of this picture are ${i === 0 ? "red" : "blue"}?`, answer: "7", images: [name] };
  }));
  Deno.writeTextFileSync(`${scratch}/rows.jsonl`, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  // Rewards that differ, so that there are advantages.
  const reward = `export default ({ response }) => [...response].reduce((sum, c) => (31 * sum + c.charCodeAt(0)) % 1009, 0) / 1009;\n`;
  Deno.writeTextFileSync(`${scratch}/reward.ts`, reward);
  const settings = {
    name: "run",
    runDir: scratch,
    device: "cpu",
    threads,
    model: { path: folder, lora: { rank: 16 }, checkpointing: "blocks" },
    data: { task: "files", trainFiles: "rows.jsonl", rolloutBatchSize: 2, maxPromptLength: 512, maxResponseLength: 64 },
    rollout: { n: 4 },
    reward: "./reward.ts",
    trainer: { maxSteps: 1, valBeforeTrain: false },
    val: { limit: 1 },
  };
  Deno.writeTextFileSync(`${scratch}/config.json`, JSON.stringify(settings));
  const { bytes, seconds } = await peakOf(["cli/train.ts", "--config", `${scratch}/config.json`]);
  const lines = Deno.readTextFileSync(`${scratch}/run/metrics.jsonl`).trim().split("\n").map((text) =>
    JSON.parse(text) as Record<string, number>
  );
  const step = lines.find((metrics) => metrics["timing_s/update_actor"] !== undefined)!;
  const report = new Report("a step of GRPO by LoRA of rank 16", { prompts: 2, answers: 8, threads, goal: "peak < 16 GiB" });
  report.row({
    "peak GiB": bytes / GIB,
    "step s": step["timing_s/step"]!,
    "rollout s": step["timing_s/gen"]!,
    "update s": step["timing_s/update_actor"]!,
    "AT-RL s": step["timing_s/atrl"]!,
    "AT-RL share": step["timing_s/atrl"]! / step["timing_s/step"]!,
    "prompt tokens": step["prompt_length/mean"]!,
    "answer tokens": step["response_length/mean"]!,
    "process s": seconds,
  });
  report.print();
}

try {
  if (wanted("inspect")) await measureInspect();
  if (wanted("layer") || wanted("decode")) {
    const start = performance.now();
    using device = CpuDevice.open({ threads });
    using model = VisionLanguageModel.load(folder, { device, frozen: "all", dtype: "bf16" });
    const report = new Report("loading", { threads });
    report.row({
      seconds: (performance.now() - start) / 1000,
      "held GiB": device.memory().used / GIB,
      "process GiB": Deno.memoryUsage().rss / GIB,
    });
    report.print();
    if (wanted("layer")) measureLayer(device, model);
    if (wanted("decode")) await measureDecode(device, model);
  }
  if (wanted("step")) await measureStep();
} finally {
  Deno.removeSync(scratch, { recursive: true });
}
