/**
 * Holds a model's numbers against those of transformers (`transformers_peer.py`), and times its parts.
 *
 *   deno run -A bench/gpu/model.ts --dir=DIR --tokens=64 --sequences=32,256,1024 [--fake]
 *
 * @module
 */
import { readConfig } from "../../model/config/config.ts";
import { Engine } from "../../model/engine/engine.ts";
import { DTYPE_BYTES } from "../../ffi/device.ts";
import { familyOf } from "../../model/families.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { type Group, PackedBatch } from "../../model/packed_batch.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import type { Prompt } from "../../model/prompt.ts";
import { sum } from "../../tensor/ops/mod.ts";
import { Random } from "../../tensor/random.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import { Tape } from "../../tensor/tape.ts";
import { median } from "../report.ts";
import { randomPrompt } from "../step_parts.ts";
import { say } from "./lines.ts";
import type { StepShape } from "../roofline.ts";
import { predicted } from "./predictions.ts";
import { given, isFake, openGpu, timed } from "./open.ts";

const dir = given("dir"), config = readConfig(`${dir}/model`), dtype = isFake() ? "f32" : "bf16";
using inputs = SafetensorsFile.open(`${dir}/inputs.safetensors`);
using reference = SafetensorsFile.open(`${dir}/reference.safetensors`);
const numbers = (file: SafetensorsFile, name: string) => new Float32Array(file.read(name).slice().buffer);
const integers = (name: string) => new Int32Array(inputs.read(name).slice().buffer);

/** A prompt with its answers. */
function group(i: number): Group {
  const { shape: [count, length] } = inputs.tensors.get(`answers.${i}`)!,
    all = integers(`answers.${i}`),
    patches = numbers(inputs, `patches.${i}`);
  const side = Math.sqrt(inputs.tensors.get(`patches.${i}`)!.shape[0]!);
  const prompt: Prompt = {
    tokens: integers(`tokens.${i}`),
    visuals: [{ kind: "image", grid: { t: 1, h: side, w: side }, pixels: { patches } }],
  };
  return { prompt, responses: Array.from({ length: count! }, (_, k) => all.slice(k * length!, (k + 1) * length!)) };
}
const groups = Array.from({ length: [...inputs.tensors.keys()].filter((key) => key.startsWith("tokens.")).length }, (_, i) => group(i));

/** The relative distance of two vectors. */
function distance(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return a.length === b.length ? Math.sqrt(difference / size) : NaN;
}

/** How much farther from float32 this may be than PyTorch's bf16 is. In f32 the bound is absolute. */
const FARTHER = 1.5, F32_BOUND = 1e-3;

/** Says whether numbers are as close to the reference as they can be. */
function compare(name: string, own: Float32Array): void {
  const exact = numbers(reference, `float32.${name}`),
    peer = distance(numbers(reference, `bfloat16.${name}`), exact),
    value = distance(own, exact);
  const ok = dtype === "bf16" ? value <= FARTHER * peer : value <= F32_BOUND;
  say({ name: `${name}: distance from float32, relative`, ok, value, unit: "1", peer });
}

const device = await openGpu();
const model = VisionLanguageModel.load(`${dir}/model`, { device, dtype });
const zero = () => Object.values(model.parameters).forEach((parameter) => parameter.zeroGrad());

/** Logits, log-probs and gradients of the first answer. */
function againstTransformers(): void {
  const [{ prompt, responses }] = groups as [Group], only = [{ prompt, responses: responses.slice(0, 1) }];
  using batch = PackedBatch.pack(model, only);
  {
    using tape = new Tape(device, { record: false });
    compare("logits", model.logits(tape, model.predictions(tape, batch)).tensor.toFloats());
  }
  using tape = new Tape(device);
  const { logprob } = model.logProbs(tape, batch);
  compare("logprobs", logprob.tensor.toFloats());
  tape.backward(sum(logprob));
  const { canonical } = familyOf(config).spelling;
  const wanted = new Map(
    [...reference.tensors.keys()].filter((key) => key.startsWith("float32.grad.")).map((key) => {
      const name = key.slice("float32.".length);
      return [canonical(name.slice("grad.".length)), name];
    }),
  );
  for (const { name, shape, parts } of parameterSpecs(config)) {
    if (!parts.some(({ key }) => wanted.has(key))) continue;
    const all = model.parameters[name]!.grad!.toFloats(), width = all.length / shape[0]!;
    let row = 0;
    for (const part of parts) {
      const own = all.subarray(row * width, (row += part.shape[0]!) * width), name = wanted.get(part.key);
      if (name !== undefined) compare(name, own);
    }
  }
  zero();
}

/** The engine's log-probs of sampled answers against those of a training forward. */
async function engineAgainstTraining(): Promise<void> {
  const { prompt } = groups[0]!;
  using engine = new Engine(model, { maxSequences: 8 });
  const [answers] = await engine.generate([prompt], { n: 4, temperature: 1, maxTokens: 32, stop: [], suppress: [], seed: 1 });
  engine.release();
  using batch = PackedBatch.pack(model, [{ prompt, responses: answers!.map(({ tokens }) => tokens) }]);
  using tape = new Tape(device, { record: false });
  const trained = model.logProbs(tape, batch).logprob.tensor.toFloats(), sampled = answers!.flatMap(({ logprobs }) => [...logprobs]);
  const value = trained.reduce((most, x, i) => Math.max(most, Math.abs(x - sampled[i]!)), 0);
  say({
    name: "log-probs of the engine and of training, largest difference",
    ok: value < (dtype === "bf16" ? 0.15 : 1e-3),
    value,
    unit: "nat",
  });
}

/** Elements of the matrices that each token passes, and of the head. */
const matrices = Object.values(model.parameters).filter(({ name, tensor }) => tensor.shape.length === 2 && /^layers\.|^head/.test(name))
  .reduce((sum, { tensor }) => sum + tensor.size, config.text.tied ? config.text.vocabSize * config.text.hiddenSize : 0);

/** The shape of groups that are alike, all in one micro-batch. */
function shapeOf(groups: readonly Group[]): StepShape {
  const { prompt, responses } = groups[0]!;
  const visual = prompt.tokens.filter((token) => token === config.tokens.image).length, tokens = responses[0]!.length;
  const shape = { prompts: groups.length, answers: responses.length, tokens, visual, text: prompt.tokens.length - visual };
  return { ...shape, microTokens: shape.prompts * (prompt.tokens.length + shape.answers * tokens) };
}

/** Seconds of a forward and backward over all answers. */
function update(): void {
  using batch = PackedBatch.pack(model, groups);
  for (const checkpointing of ["off", "blocks", "full"] as const) {
    const pass = () => {
      using tape = new Tape(device);
      tape.backward(sum(model.logProbs(tape, batch, { checkpointing }).logprob));
    };
    // Two operations for an element in the forward and four in the backward; where nothing is kept, the forward comes twice.
    const operations = (checkpointing === "off" ? 6 : 8) * matrices * batch.tokens.size;
    const value = timed(device, pass, { rounds: 3 }), parts = ["forward and backward", "log-probs", "gradients"];
    const prediction = checkpointing === "off" ? predicted(shapeOf(groups), parts) : undefined;
    say({
      name: `forward and backward, checkpointing ${checkpointing}`,
      value,
      unit: "s",
      operations,
      ...(prediction !== undefined && { prediction }),
    });
  }
  zero();
}

/** Seconds of a step of decoding at several numbers of sequences. */
function decode(): void {
  const tokens = Number(given("tokens")), random = new Random(3), side = groups[0]!.prompt.visuals[0]!.grid.h;
  for (const sequences of given("sequences").split(",").map(Number)) {
    const prompts = Array.from({ length: Math.ceil(sequences / 8) }, () => randomPrompt(config, random, { grid: side, text: 24 }));
    for (const connectivity of [false, true]) {
      using engine = new Engine(model, { maxSequences: sequences });
      const steps: number[] = [];
      for (const prompt of prompts) {
        engine.submit({ prompt, n: Math.min(8, sequences), maxTokens: tokens, stop: [], seed: 0, connectivity }).result.catch(() => {});
      }
      for (let more = true; more;) {
        const read = engine.stats.prefilledTokens, start = performance.now();
        more = engine.step();
        device.synchronize();
        if (engine.stats.prefilledTokens === read) steps.push((performance.now() - start) / 1000);
      }
      const name = `a decode step of ${sequences} sequences${connectivity ? ", with connectivity" : ""}`;
      // The weights, and the keys and values: each prompt's once, each answer's as they are in the middle.
      const { layers, kvHeads, headDim } = config.text, width = DTYPE_BYTES[model.dtype], own = sequences * tokens / 2;
      const cached = prompts.reduce((sum, prompt) => sum + prompt.tokens.length, own) * 2 * layers * kvHeads * headDim;
      const responses = Array.from({ length: Math.min(8, sequences) }, () => new Int32Array(tokens));
      const whole = predicted(shapeOf(prompts.map((prompt) => ({ prompt, responses }))), ["decode"]);
      const prediction = whole === undefined || connectivity ? {} : { prediction: 1000 * whole / tokens };
      say({
        name,
        value: 1000 * median(steps),
        unit: "ms",
        bytes: width * (matrices + cached),
        operations: 2 * matrices * sequences,
        ...prediction,
      });
      engine.release();
    }
  }
}

/** Rates of the products of a decoder layer. */
function products(): void {
  const rows = isFake() ? 64 : 16384;
  for (const name of ["qkv", "out", "gateUp", "down"]) {
    const { tensor } = model.parameters[`layers.0.${name}.weight`]!, [n, k] = [tensor.rows, tensor.cols];
    const a = device.alloc(rows * k * 4), c = device.alloc(rows * n * 4);
    const gemm = { dtype: tensor.dtype as "f32", a, lda: k, b: tensor.address, ldb: k, transB: true, c, ldc: n, m: rows, n, k };
    const operations = 2 * rows * n * k, value = 1e-12 * operations / timed(device, () => device.gemm(gemm));
    say({ name: `product ${rows} x ${n} x ${k} (${name})`, value, unit: "TFLOP/s", operations });
    for (const address of [a, c]) device.free(address);
  }
}

againstTransformers();
await engineAgainstTraining();
update();
products();
decode();
say({ name: "most memory", value: device.memory().peak / 2 ** 30, unit: "GiB" });
model[Symbol.dispose]();
device[Symbol.dispose]();
