/**
 * A two-layer transformer learns to copy 16 random tokens: packed sequences, rotary embedding, attention, SwiGLU, the fused log-prob head, AdamW.
 *
 *   deno run --allow-ffi --allow-read --allow-write=.cache --allow-run=c++ examples/copy_tokens.ts
 *
 * @module
 */
import {
  AdamW,
  addRmsnorm,
  attention,
  cosineSchedule,
  type Device,
  gatherRows,
  linear,
  linearLogProb,
  openDevice,
  Random,
  rmsnorm,
  rope,
  RopeTable,
  Segments,
  swiglu,
  Tensor,
  type Value,
} from "@kedge/kedge/tensor";
import { descend, Weights } from "./weights.ts";

const [VOCAB, DIM, HEADS, LENGTH, BATCH, STEPS] = [16, 64, 4, 16, 16, 500];
/** Places of a sequence. */
const ROW = 2 * LENGTH;

/** Options of {@linkcode learnCopying}. */
export interface CopyOptions {
  /** The seed of weights and data. */
  seed: number;
  /** Called after each step with the loss of its batch. */
  progress?: (report: { step: number; loss: number }) => void;
}

/** The transformer's initial weights. */
function initialWeights(device: Device, random: Random): Weights {
  const weights = new Weights(device, random);
  weights.normal("embed", [VOCAB + 1, DIM], 1);
  weights.ones("norm", DIM);
  for (const i of [0, 1]) {
    weights.ones(`${i}.norm1`, DIM);
    weights.ones(`${i}.norm2`, DIM);
    weights.normal(`${i}.qkv`, [3 * DIM, DIM], DIM ** -0.5);
    weights.normal(`${i}.out`, [DIM, DIM], DIM ** -0.5 / 2);
    weights.normal(`${i}.up`, [4 * DIM, DIM], DIM ** -0.5);
    weights.normal(`${i}.down`, [DIM, 2 * DIM], (2 * DIM) ** -0.5 / 2);
  }
  weights.normal("head", [VOCAB, DIM], DIM ** -0.5);
  return weights;
}

/** Draws a batch. A sequence is 16 tokens, a mark, and the first 15 of them again; from the mark on, each place is to name the next token. */
function drawBatch(random: Random): { input: Int32Array<ArrayBuffer>; answer: Int32Array<ArrayBuffer> } {
  const [input, answer] = [new Int32Array(BATCH * ROW), new Int32Array(BATCH * LENGTH)];
  for (let b = 0; b < BATCH; b++) {
    for (let i = 0; i < LENGTH; i++) {
      const token = random.integer(0, VOCAB);
      input[b * ROW + i] = answer[b * LENGTH + i] = token;
      if (i + 1 < LENGTH) input[b * ROW + LENGTH + 1 + i] = token;
    }
    input[b * ROW + LENGTH] = VOCAB;
  }
  return { input, answer };
}

/** The last layer's output at every place, [tokens, DIM]. */
function transformer(w: Record<string, Value>, index: Tensor, { segments, table }: { segments: Segments; table: RopeTable }): Value {
  let h = gatherRows(w.embed!, index), y = rmsnorm(h, w["0.norm1"]!);
  for (const i of [0, 1]) {
    const qkv = linear(y, w[`${i}.qkv`]!);
    const q = rope(qkv.columns(0, DIM), table, { inPlace: true }), k = rope(qkv.columns(DIM, 2 * DIM), table, { inPlace: true });
    const mixed = linear(attention({ q, k, v: qkv.columns(2 * DIM, 3 * DIM) }, { segments, heads: HEADS }), w[`${i}.out`]!);
    const middle = addRmsnorm(mixed, h, { weight: w[`${i}.norm2`]!, inPlace: true });
    const both = linear(middle.y!, w[`${i}.up`]!);
    const down = linear(swiglu(both.columns(0, 2 * DIM), both.columns(2 * DIM, 4 * DIM)), w[`${i}.down`]!);
    const next = addRmsnorm(down, middle.h!, { weight: i === 0 ? w["1.norm1"]! : w.norm!, inPlace: true });
    [y, h] = [next.y!, next.h!];
  }
  return y;
}

/**
 * Trains for up to 500 steps, or until ten batches in a row are below 0.03 nats.
 *
 * @returns The mean loss of the last ten batches, none of which had been seen: negative log-probability per token, in nats.
 */
export function learnCopying(device: Device, options: CopyOptions): number {
  const random = new Random(options.seed);
  using weights = initialWeights(device, random);
  const decay = Object.values(weights.params).filter((p) => p.tensor.shape.length === 2);
  const rest = Object.values(weights.params).filter((p) => p.tensor.shape.length === 1);
  using optimizer = new AdamW(device, [{ parameters: decay, weightDecay: 0.01 }, { parameters: rest, weightDecay: 0 }], {
    maxNorm: 1,
    beta2: 0.98,
  });
  const lr = cosineSchedule({ lr: 3e-3, warmup: 20, total: STEPS, minRatio: 0.1 }), half = DIM / HEADS / 2;
  using segments = Segments.packed(device, new Array(BATCH).fill(ROW), { causal: true });
  using table = new RopeTable(device, {
    positions: [Int32Array.from({ length: BATCH * ROW }, (_, i) => i % ROW)],
    axis: new Array(half).fill(0),
    invFreq: Array.from({ length: half }, (_, i) => 100 ** (-i / half)),
  });
  const asked = Int32Array.from({ length: BATCH * LENGTH }, (_, i) => Math.floor(i / LENGTH) * ROW + LENGTH + i % LENGTH);
  using rows = Tensor.from(device, asked);
  const recent: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const { input, answer } = drawBatch(random);
    using index = Tensor.from(device, input);
    using target = Tensor.from(device, answer);
    optimizer.zeroGrad();
    const loss = descend(device, (tape) => {
      const w = tape.params(weights.params), y = transformer(w, index, { segments, table });
      return { logprob: linearLogProb(gatherRows(y, rows), w.head!, { target }).logprob!, targets: BATCH * LENGTH };
    });
    optimizer.step({ lr: lr(step) });
    recent.push(loss);
    if (recent.length > 10) recent.shift();
    options.progress?.({ step, loss });
    if (recent.length === 10 && recent.every((value) => value < 0.03)) break;
  }
  return recent.reduce((a, b) => a + b) / recent.length;
}

if (import.meta.main) {
  const print = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(text));
  using device = openDevice("auto");
  print(`A two-layer transformer learns to copy 16 random tokens, on ${device.description}.\n`);
  const start = performance.now();
  const loss = learnCopying(device, {
    seed: 1,
    progress: ({ step, loss }) => step % 25 === 0 && print(`step ${String(step).padStart(3)}  loss ${loss.toFixed(4)} nats per token\n`),
  });
  print(
    `mean of the last ten batches: ${loss.toFixed(4)} nats per token (goal: below 0.05), in ${
      ((performance.now() - start) / 1000).toFixed(1)
    } s\n`,
  );
  if (!(loss < 0.05)) Deno.exit(1);
}
