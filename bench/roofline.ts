/**
 * The arithmetic of a training step on a GPU: the seconds of each part, from its operations and bytes and the card's rates, and the memory. Nothing is measured
 * here. It prints the tables of docs/gpu.md, where `deno task generate` writes them; options choose another card or shape.
 *
 *   deno run bench/roofline.ts [--card H100] [--prompts 128] [--answers 8] [--tokens 512] [--visual 1000] [--text 64] [--micro-tokens 8192]
 *
 * @module
 */
import { type Card, CARDS, usableBytes } from "../actors/config/cards.ts";
import { elementsOf } from "../actors/config/weight_memory.ts";
import { bytesWords } from "../actors/config/pass_estimate.ts";
import { runCommand } from "../cli/command.ts";
import { chooseKept, passMemory, type PassSizes } from "../model/activation_memory.ts";
import type { KeptBlocks } from "../model/checkpointing.ts";
import type { ModelConfig } from "../model/config/types.ts";
import { presetConfig } from "../model/config/presets.ts";
import { tokenBytes } from "../model/engine/limits.ts";
import { blockElements, parameterSpecs } from "../model/parameters.ts";
import { gpuLogits, rowsInBytes } from "../tensor/ops/projection.ts";
import { benchLine } from "./options.ts";

/** The sizes of a step. */
export interface StepShape {
  readonly prompts: number;
  /** Answers to a prompt. */
  readonly answers: number;
  /** Tokens of an answer. */
  readonly tokens: number;
  /** Visual tokens of a prompt. */
  readonly visual: number;
  /** Other tokens of a prompt. */
  readonly text: number;
  /** The most tokens of a micro-batch. */
  readonly microTokens: number;
}

/** The shape of the tables of docs/gpu.md. */
export const SHAPE: StepShape = { prompts: 128, answers: 8, tokens: 512, visual: 1000, text: 64, microTokens: 8192 };

/** What kernels are taken to reach. These are assumptions. */
const SHARES = {
  /** Of the rate of products, in large products. */
  gemm: 0.7,
  /** Of the same in attention. */
  attention: 0.5,
  /** Of the bandwidth. */
  bandwidth: 0.75,
} as const;
/** Seconds from the end of a kernel to the start of the next one in a decode step: of kernels that are launched one by one, and of a recorded graph. */
const GAPS = { launched: 3e-6, recorded: 1.5e-6 } as const;
/** Cycles in which a thread adds a key's probability to the sum of its region, one after the other, and cycles a second. */
const [SUM_CYCLES, CLOCK] = [16, 1.7e9];
/** Blocks of a decode step's attention that a multiprocessor runs at once. */
const RESIDENT = 2;
/** Forwards of attention that its forward and backward take: the backward makes 7 products of tiles, the forward 2. */
const PASSES = 4.5;
/** Keys of a block in the backward of attention. */
const KEY_TILE = 64;
/** Rows of a product's tile. Fewer rows cost as much. */
const TILE = 128;

/** How the software works, as far as it changes the numbers. */
interface Ways {
  /** The most sequences of a decode step. */
  readonly sequences: number;
  /** Rows of logits at a time, of n that the engine draws from or that the update needs. */
  logits(n: number, where: "engine" | "update"): number;
  /** The blocks that keep their activations in a micro-batch. */
  kept(sizes: PassSizes): KeptBlocks;
  /** Kernels of a block in a decode step, and the seconds between two. */
  readonly kernels: number;
  readonly gap: number;
  /** Threads that add up the regions of a row's keys. */
  readonly sumThreads: number;
  /** Whether the backward of attention has a block for each query head of a prompt's keys. */
  readonly splitPrefix: boolean;
}

/** A part of a step: its formula in words, and its seconds. */
interface Part {
  readonly name: string;
  readonly formula: string;
  readonly seconds: number;
}

/** A model, by what the formulas need. */
interface Sizes {
  readonly model: ModelConfig;
  /** Elements of the decoder's matrices without the output matrix, of the output matrix, and of the tower's matrices for each patch. */
  readonly decoder: number;
  readonly head: number;
  readonly tower: number;
  readonly all: number;
}

const TOKENS = { image: 151655, video: 151656, visionStart: 151652, visionEnd: 151653, eos: [151645], bos: 151643, pad: 151643 };

function sizesOf(name: "3b" | "7b"): Sizes {
  const model = presetConfig(name, { tokens: TOKENS, vocabSize: 151665 }), specs = parameterSpecs(model);
  const matrices = specs.filter(({ kind, shape }) => kind !== "norm" && kind !== "bias" && shape.length > 1);
  const sum = (wanted: (name: string, vision: boolean) => boolean) =>
    elementsOf(matrices.filter(({ name, vision }) => wanted(name, vision)));
  return {
    model,
    decoder: sum((name) => name.startsWith("layers.")),
    head: model.text.vocabSize * model.text.hiddenSize,
    tower: sum((name, vision) => vision && !name.includes("merger")) + sum((name) => name.includes("merger")) / model.vision.mergeSize ** 2,
    all: elementsOf(specs),
  };
}

/** Seconds of a product of rows with a matrix of so many elements: its operations, or the reading of the matrix, whichever takes longer. */
function product(card: Card, rows: number, elements: number): number {
  const computed = 2 * elements * TILE * Math.ceil(rows / TILE) / (card.flops * SHARES.gemm);
  return Math.max(computed, 2 * elements / (card.bandwidth * SHARES.bandwidth));
}

const moved = (card: Card, bytes: number) => bytes / (card.bandwidth * SHARES.bandwidth);
const computed = (card: Card, operations: number) => operations / (card.flops * SHARES.gemm);
const attended = (card: Card, operations: number) => operations / (card.flops * SHARES.attention);

/** Cuts rows into chunks. */
function cut(rows: number, chunk: number): number[] {
  return Array.from({ length: Math.ceil(rows / chunk) }, (_, i) => Math.min(chunk, rows - i * chunk));
}

/** Operations of the decoder's attention in a forward: 4 for each query, key, head and element. */
function attentionOperations({ text: { heads, headDim, layers } }: ModelConfig, pairs: number): number {
  return 4 * pairs * heads * headDim * layers;
}

/** Operations of the tower's attention: some blocks over a whole picture, the others over windows. */
function towerAttention({ vision }: ModelConfig, pictures: number, patches: number): number {
  const { depth, hiddenSize, fullAttentionBlocks = [], windowSize = 0, patchSize } = vision, window = (windowSize / patchSize) ** 2;
  return 4 * hiddenSize * pictures * patches * (fullAttentionBlocks.length * patches + (depth - fullAttentionBlocks.length) * window);
}

function rolloutParts({ model, decoder, head, tower }: Sizes, shape: StepShape, { card, ways }: { card: Card; ways: Ways }): Part[] {
  const { prompts, answers, tokens, visual, text } = shape, prompt = visual + text, patches = visual * model.vision.mergeSize ** 2;
  const all = prompts * answers, rows = Math.min(all, ways.sequences), steps = Math.ceil(all / rows) * tokens;
  const chunks = cut(rows, ways.logits(rows, "engine"));
  const { vocabSize, layers, kvHeads } = model.text, cached = tokenBytes(model, "bf16");
  return [
    {
      name: "vision tower",
      formula: "2 x tower's elements x patches, and attention",
      seconds: computed(card, 2 * tower * prompts * patches) + attended(card, towerAttention(model, prompts, patches)),
    },
    {
      name: "prefill",
      formula: "2 x decoder's elements x prompt tokens, and attention",
      seconds: computed(card, 2 * decoder * prompts * prompt) + attended(card, attentionOperations(model, prompts * prompt ** 2 / 2)),
    },
    {
      name: "decode: matrices",
      formula: "steps x the larger of 2 x elements x sequences, and reading 2 bytes x elements",
      seconds: steps * product(card, rows, decoder),
    },
    {
      name: "decode: keys and values",
      formula: "bytes of a token x (own tokens of each step, and each prompt once a step)",
      seconds: moved(card, cached * (all * tokens ** 2 / 2 + prompts * prompt * tokens)),
    },
    {
      name: "decode: output matrix",
      formula: "steps x chunks of rows x the product; logits written once and read twice",
      seconds: steps * chunks.reduce((sum, rows) => sum + product(card, rows, head) + moved(card, 3 * 4 * rows * vocabSize), 0),
    },
    {
      name: "decode: sums by region",
      formula:
        `steps x blocks x keys of all blocks of attention x ${SUM_CYCLES} cycles / (multiprocessors x ${RESIDENT} x threads of a row)`,
      seconds: tokens * layers * (prompts * prompt + all * tokens / 2) * kvHeads * SUM_CYCLES /
        (CLOCK * card.multiprocessors * RESIDENT * ways.sumThreads),
    },
    {
      name: "decode: gaps between kernels",
      formula: "steps x blocks x 12 kernels x 3 microseconds; now 10 x 1.5",
      seconds: steps * layers * ways.kernels * ways.gap,
    },
  ];
}

function updateParts(
  { model, decoder, head, tower, all }: Sizes,
  shape: StepShape,
  { card, ways, moments }: { card: Card; ways: Ways; moments: number },
): Part[] {
  const { prompts, answers, tokens, visual, text } = shape, prompt = visual + text, { vision } = model;
  const sizes = passSizes(model, shape), micro = Math.ceil(prompts * answers * tokens / sizes.targets), groups = prompts / micro;
  const rows = prompts * (prompt + answers * tokens), targets = prompts * answers * tokens, patches = visual * vision.mergeSize ** 2;
  const pairs = prompts * (prompt ** 2 / 2 + answers * (prompt * tokens + tokens ** 2 / 2));
  const attention = attended(card, attentionOperations(model, pairs)), towerPairs = attended(card, towerAttention(model, prompts, patches));
  const traffic = moved(card, 2 * rows * model.text.layers * blockElements(model));
  const { text: keptText, vision: keptVision } = ways.kept(sizes), { heads, kvHeads } = model.text;
  const blocks = groups * Math.ceil(prompt / KEY_TILE) * (ways.splitPrefix ? heads : kvHeads);
  const again = 1 - keptText / model.text.layers, towerAgain = 1 - keptVision / vision.depth;
  const chunks = cut(sizes.targets, ways.logits(sizes.targets, "update")), { vocabSize } = model.text;
  return [
    {
      name: "forward and backward: decoder",
      formula: `6 x elements x tokens; ${PASSES} x the attention of a forward; 5 x 2 bytes x kept elements`,
      seconds: computed(card, 6 * decoder * rows) + PASSES * attention + 5 * traffic,
    },
    {
      name: "backward of attention: multiprocessors that wait, at most",
      formula: "2 x the attention over prompts x (blocks in full waves / blocks - 1)",
      seconds: 2 * attended(card, attentionOperations(model, prompts * (prompt ** 2 / 2 + answers * prompt * tokens))) *
        (card.multiprocessors * Math.ceil(blocks / card.multiprocessors) / blocks - 1),
    },
    {
      name: "forward and backward: vision tower",
      formula: `6 x tower's elements x patches; ${PASSES} x attention`,
      seconds: computed(card, 6 * tower * prompts * patches) + PASSES * towerPairs,
    },
    {
      name: "log-probs: products and logits",
      formula: "4 products of each chunk (forward, again, two gradients); 30 bytes x logits",
      seconds: micro * 4 * chunks.reduce((sum, rows) => sum + product(card, rows, head), 0) + moved(card, 30 * targets * vocabSize),
    },
    {
      name: "log-probs: gradient of the output matrix",
      formula: "chunks x 8 bytes x elements",
      seconds: moved(card, micro * chunks.length * 8 * head),
    },
    {
      name: "blocks that run again",
      formula: "their share of a forward: 2 x elements x tokens, attention, 2 x 2 bytes x kept elements",
      seconds: again * (computed(card, 2 * decoder * rows) + attention + 2 * traffic) +
        towerAgain * (computed(card, 2 * tower * prompts * patches) + towerPairs),
    },
    {
      name: "gradients of the other matrices, added up",
      formula: "micro-batches x 8 bytes x elements",
      seconds: moved(card, micro * 8 * (all - head)),
    },
    {
      name: "optimizer",
      formula: "elements x (gradient twice, master and moments read and written, weight written)",
      seconds: moved(card, all * (8 + 8 + 4 * moments + 2)),
    },
  ];
}

/** The sizes of a micro-batch of as many whole groups as it has room for. */
function passSizes({ vision }: ModelConfig, { answers, tokens, visual, text, microTokens }: StepShape): PassSizes {
  const group = visual + text + answers * tokens, groups = Math.max(1, Math.floor(microTokens / group));
  return { rows: groups * group, targets: groups * answers * tokens, patches: groups * visual * vision.mergeSize ** 2 };
}

/** Bytes of what is there in the whole run, and of gradients. `moments`: bytes of one. */
function heldBytes({ all }: Sizes, moments: number) {
  return { weights: 2 * all, masters: 4 * all, moments: 2 * moments * all, gradients: 4 * all };
}

/** What is left for a micro-batch, and how it uses that. */
function passOn(sizes: Sizes, card: Card, moments: number) {
  const { weights, masters, moments: both, gradients } = heldBytes(sizes, moments);
  const available = Math.max(0, usableBytes(card) - weights - masters - both - gradients);
  const logits = Math.min(gpuLogits(card.memory * 2 ** 30), gpuLogits(4 * available));
  return { available, options: { dtype: "bf16", tower: true, reference: false, logits } as const };
}

/** How it was done before: chunks of 2^24 logits, 256 sequences at once, every block run again, and a block of attention's backward for each key head. */
function before({ model: { text: { vocabSize } } }: Sizes): Ways {
  const chunk = Math.floor(2 ** 24 / vocabSize);
  return {
    sequences: 256,
    logits: (n) => Math.min(n, chunk),
    kept: () => ({ text: 0, vision: 0 }),
    splitPrefix: false,
    kernels: 12,
    gap: GAPS.launched,
    sumThreads: 1,
  };
}

/** How it is done now. */
function now(sizes: Sizes, card: Card, moments: number): Ways {
  const { model } = sizes, { available, options } = passOn(sizes, card, moments);
  return {
    sequences: 1024,
    splitPrefix: true,
    kernels: 10,
    gap: GAPS.recorded,
    sumThreads: 2, // 128 threads for tiles of 64 rows
    logits: (n, where) =>
      rowsInBytes(n, options.logits, { vocab: model.text.vocabSize, matrices: 1, dtype: where === "engine" ? "f32" : "bf16" }),
    kept: (pass) => {
      const kept = chooseKept(model, pass, { ...options, available });
      return kept === "full" ? { text: 0, vision: 0 } : kept;
    },
  };
}

const COLUMNS = [["3b", 4, "3B, f32 moments"], ["7b", 2, "7B, bf16 moments"]] as const;

/** The seconds of the parts of a step in one model: before and now. */
export function stepParts(
  name: "3b" | "7b",
  shape: StepShape,
  { card, moments }: { card: Card; moments: number },
): { before: Part[]; now: Part[] } {
  const sizes = sizesOf(name);
  const all = (ways: Ways) => [...rolloutParts(sizes, shape, { card, ways }), ...updateParts(sizes, shape, { card, ways, moments })];
  return { before: all(before(sizes)), now: all(now(sizes, card, moments)) };
}

const seconds = (value: number) => value === 0 ? "0" : value.toFixed(value < 0.095 ? 2 : 1);

function timeTable(shape: StepShape, card: Card): string[] {
  const models = COLUMNS.map(([name, moments, title]) => ({ title: title.split(",")[0]!, ...stepParts(name, shape, { card, moments }) }));
  const total = (parts: readonly Part[]) => parts.reduce((sum, part) => sum + part.seconds, 0);
  return [
    `| seconds of | formula | ${models.map(({ title }) => `${title} before | ${title} now`).join(" | ")} |`,
    `|---|---|${models.map(() => "---|---|").join("")}`,
    ...models[0]!.now.map(({ name, formula }, i) =>
      `| ${name} | ${formula} | ${
        models.map(({ before, now }) => `${seconds(before[i]!.seconds)} | ${seconds(now[i]!.seconds)}`).join(" | ")
      } |`
    ),
    `| all | | ${models.map(({ before, now }) => `${seconds(total(before))} | ${seconds(total(now))}`).join(" | ")} |`,
  ];
}

function memoryTable(shape: StepShape, card: Card): string[] {
  const columns = COLUMNS.map(([name, moments]) => {
    const sizes = sizesOf(name), { model } = sizes, held = heldBytes(sizes, moments), { available, options } = passOn(sizes, card, moments);
    const pass = passSizes(model, shape), checkpointing = chooseKept(model, pass, { ...options, available });
    const { decoder, tower, head, peak } = passMemory(model, pass, { ...options, checkpointing });
    const kept = checkpointing === "full"
      ? "none"
      : `${checkpointing.text} of ${model.text.layers}, ${checkpointing.vision} of ${model.vision.depth}`;
    const always = held.weights + held.masters + held.moments, { prompts, answers, tokens, visual, text } = shape;
    const cache = prompts * (visual + text + answers * tokens) * tokenBytes(model, "bf16");
    return [
      ...[held.weights, held.masters, held.moments, always].map(bytesWords),
      ...[held.gradients, decoder, tower, head].map(bytesWords),
      kept,
      `${bytesWords(always + held.gradients + peak)}${always + held.gradients + peak <= usableBytes(card) ? "" : ", which does not fit"}`,
      ...[cache, Math.max(0, usableBytes(card) - always)].map(bytesWords),
    ];
  });
  const rows = [
    "weights, 2 bytes",
    "master copies, 4 bytes",
    "moments",
    "always there",
    "update: gradients, 4 bytes",
    "update: activations of the decoder",
    "update: activations of the vision tower",
    "update: log-probs",
    "update: blocks of decoder and tower that keep their activations",
    `update: at its peak, of ${bytesWords(usableBytes(card))} that are planned for`,
    "rollout: keys and values of all answers at full length",
    "rollout: what it has for them and for buffers",
  ];
  return [
    `| memory | ${COLUMNS.map(([, , title]) => title).join(" | ")} |`,
    `|---|${COLUMNS.map(() => "---|").join("")}`,
    ...rows.map((name, i) => `| ${name} | ${columns.map((column) => column[i]).join(" | ")} |`),
  ];
}

/** Prints the tables in Markdown. */
export function rooflineTables(shape: StepShape = SHAPE, card: Card = CARDS[0]!): string {
  const { prompts, answers, tokens, visual, text, microTokens } = shape;
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  return [
    `A step of ${prompts} prompts x ${answers} answers x ${tokens} tokens, ${visual} visual and ${text} other tokens in a prompt,`,
    `micro-batches of ${microTokens} tokens, on one ${card.name}. "Before" has chunks of 2^24 logits, 256 sequences at`,
    `once, \`model.checkpointing: "blocks"\`, in the backward of attention a block for each key head, and a decode step of`,
    "12 kernels a block, launched one by one, in which a thread sums the regions of a row.",
    "",
    ...timeTable(shape, card),
    "",
    ...memoryTable(shape, card),
    "",
    `Rates: ${card.flops / 1e12} x 10^12 operations a second in bf16 and ${
      card.bandwidth / 1e12
    } x 10^12 bytes a second (${card.source}). Of`,
    `these, products are taken to reach ${percent(SHARES.gemm)}, attention ${percent(SHARES.attention)}, and memory ${
      percent(SHARES.bandwidth)
    }; between two kernels of a decode`,
    `step pass ${GAPS.launched * 1e6} microseconds, in a recorded graph ${
      GAPS.recorded * 1e6
    }. These shares, gaps and cycles are assumptions.`,
  ].join("\n");
}

const [BEGIN, END] = ["<!-- roofline: written by bench/roofline.ts -->", "<!-- end of roofline -->"];

/** Returns a page with the tables between its marks. @throws {RangeError} if the page has no marks. */
export function withRoofline(page: string): string {
  const start = page.indexOf(BEGIN), end = page.indexOf(END);
  if (start < 0 || end < start) throw new RangeError(`Cannot write the tables: the page lacks "${BEGIN}" and "${END}"`);
  return `${page.slice(0, start)}${BEGIN}\n\n${rooflineTables()}\n\n${page.slice(end)}`;
}

function main(): number {
  const line = benchLine({
    name: "deno run bench/roofline.ts",
    does: "Prints the arithmetic of a training step on a GPU: seconds by part, and memory. Nothing is measured.",
    values: {
      card: ["NAME", "the card (default H200)", CARDS.map(({ name }) => name)],
      prompts: ["N", "prompts of a step (default 128)"],
      answers: ["N", "answers to a prompt (default 8)"],
      tokens: ["N", "tokens of an answer (default 512)"],
      visual: ["N", "visual tokens of a prompt (default 1000)"],
      text: ["N", "other tokens of a prompt (default 64)"],
      "micro-tokens": ["N", "tokens of a micro-batch (default 8192)"],
    },
  });
  const card = CARDS.find(({ name }) => name === line.text("card")) ?? CARDS[0]!;
  const of = (name: "prompts" | "answers" | "tokens" | "visual" | "text", standard: number) => line.number(name, { min: 1 }) ?? standard;
  const { prompts, answers, tokens, visual, text, microTokens } = SHAPE;
  const shape = {
    prompts: of("prompts", prompts),
    answers: of("answers", answers),
    tokens: of("tokens", tokens),
    visual: of("visual", visual),
    text: of("text", text),
    microTokens: line.number("micro-tokens", { min: 1 }) ?? microTokens,
  };
  // deno-lint-ignore no-console -- it is a command
  console.log(rooflineTables(shape, card));
  return 0;
}

if (import.meta.main) await runCommand(main);
