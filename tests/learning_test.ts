/** Models learn on the CPU: the whole of floor 2 in one piece. */
import { assert } from "@std/assert";
import { CpuDevice } from "../ffi/cpu_device.ts";
import type { Device } from "../ffi/device.ts";
import {
  addRmsnorm,
  attention,
  gatherRows,
  gelu,
  linear,
  linearLogProb,
  logProb,
  rmsnorm,
  rope,
  RopeTable,
  scale,
  sum,
  swiglu,
} from "../tensor/ops/mod.ts";
import { AdamW } from "../tensor/optimizer.ts";
import { Parameter } from "../tensor/parameter.ts";
import { cosineSchedule } from "../tensor/schedule.ts";
import { Segments } from "../tensor/segments.ts";
import { Tape } from "../tensor/tape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Value } from "../tensor/value.ts";
import { Random } from "./ops/harness.ts";

/** Parameters made as they are named; freed together. */
class Weights implements Disposable {
  readonly params: Record<string, Parameter> = {};
  constructor(readonly device: Device, readonly random: Random) {}

  normal(name: string, shape: readonly number[], deviation: number): void {
    const numbers = Float32Array.from(this.random.normal(shape.reduce((a, b) => a * b, 1), deviation));
    this.params[name] = new Parameter(name, Tensor.from(this.device, numbers, { shape }));
  }

  ones(name: string, size: number): void {
    this.params[name] = new Parameter(name, Tensor.full(this.device, [size], { value: 1 }));
  }

  [Symbol.dispose](): void {
    for (const parameter of Object.values(this.params)) parameter[Symbol.dispose]();
  }
}

/** The mean negative log-probability of a batch, and its gradients. */
function descend(device: Device, loss: (tape: Tape) => { logprob: Value; targets: number }): number {
  using tape = new Tape(device);
  const { logprob, targets } = loss(tape);
  const mean = scale(sum(logprob), -1 / targets);
  tape.backward(mean);
  return mean.tensor.item();
}

for (const seed of [1, 2, 3]) {
  Deno.test(`an MLP learns 4-bit parity to a loss under 0.01, seed ${seed}`, () => {
    using device = CpuDevice.open({ threads: 1 });
    using weights = new Weights(device, new Random(seed));
    weights.normal("in", [32, 4], 1);
    weights.normal("in.bias", [32], 0.5);
    weights.normal("hidden", [32, 32], 0.3);
    weights.normal("hidden.bias", [32], 0.1);
    weights.normal("out", [2, 32], 0.2);
    using optimizer = new AdamW(device, [{ parameters: Object.values(weights.params) }], { weightDecay: 0 });
    const cases = Array.from({ length: 16 }, (_, i) => [0, 1, 2, 3].map((bit) => (i >> bit) & 1));
    using x = Tensor.from(device, cases.flat().map((bit) => 2 * bit - 1), { shape: [16, 4] });
    using target = Tensor.from(device, Int32Array.from(cases, (bits) => bits.reduce((a, b) => a ^ b)));
    let loss = Infinity;
    for (let step = 0; step < 400; step++) {
      optimizer.zeroGrad();
      loss = descend(device, (tape) => {
        const w = tape.params(weights.params);
        const first = gelu(linear(tape.constant(x), w.in!, { bias: w["in.bias"]! }));
        const second = gelu(linear(first, w.hidden!, { bias: w["hidden.bias"]! }));
        return { logprob: logProb(linear(second, w.out!), { target }).logprob!, targets: 16 };
      });
      optimizer.step({ lr: 0.01 });
    }
    assert(loss < 0.01, `the loss is ${loss}`);
  });
}

const [VOCAB, DIM, HEADS, LENGTH, BATCH, STEPS] = [16, 64, 4, 16, 16, 500];

for (const seed of [1, 2, 3]) {
  Deno.test(`a two-layer transformer copies 16 random tokens to under 0.05 nats, seed ${seed}`, () => {
    using device = CpuDevice.open();
    const random = new Random(seed);
    using weights = new Weights(device, random);
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
    const decay = Object.values(weights.params).filter((p) => p.tensor.shape.length === 2);
    const rest = Object.values(weights.params).filter((p) => p.tensor.shape.length === 1);
    using optimizer = new AdamW(device, [{ parameters: decay, weightDecay: 0.01 }, { parameters: rest, weightDecay: 0 }], {
      maxNorm: 1,
      beta2: 0.98,
    });
    const lr = cosineSchedule({ lr: 3e-3, warmup: 20, total: STEPS, minRatio: 0.1 });

    // A sequence is 16 tokens, a mark, and the first 15 of them again; from the mark on, each place is to name the next.
    const row = 2 * LENGTH, tokens = BATCH * row;
    using segments = Segments.packed(device, new Array(BATCH).fill(row), { causal: true });
    const places = Int32Array.from({ length: tokens }, (_, i) => i % row);
    const half = DIM / HEADS / 2;
    using table = new RopeTable(device, {
      positions: [places],
      axis: new Array(half).fill(0),
      invFreq: Array.from({ length: half }, (_, i) => 100 ** (-i / half)),
    });
    const asked = Int32Array.from({ length: BATCH * LENGTH }, (_, i) => Math.floor(i / LENGTH) * row + LENGTH + i % LENGTH);
    using rows = Tensor.from(device, asked);

    let loss = Infinity;
    const recent: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const [input, answer] = [new Int32Array(tokens), new Int32Array(BATCH * LENGTH)];
      for (let b = 0; b < BATCH; b++) {
        for (let i = 0; i < LENGTH; i++) {
          const token = random.integer(0, VOCAB);
          input[b * row + i] = answer[b * LENGTH + i] = token;
          if (i + 1 < LENGTH) input[b * row + LENGTH + 1 + i] = token;
        }
        input[b * row + LENGTH] = VOCAB;
      }
      using index = Tensor.from(device, input);
      using target = Tensor.from(device, answer);
      optimizer.zeroGrad();
      loss = descend(device, (tape) => {
        const w = tape.params(weights.params);
        let h = gatherRows(w.embed!, index);
        let y = rmsnorm(h, w["0.norm1"]!);
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
        return { logprob: linearLogProb(gatherRows(y, rows), w.head!, { target }).logprob!, targets: BATCH * LENGTH };
      });
      optimizer.step({ lr: lr(step) });
      recent.push(loss);
      if (recent.length > 10) recent.shift();
      if (recent.length === 10 && recent.every((value) => value < 0.03)) break;
    }
    // The mean of the last ten batches, none of which had been seen.
    const mean = recent.reduce((a, b) => a + b) / recent.length;
    assert(mean < 0.05, `the loss is ${mean}`);
  });
}
