/** A small decoder: enough ops to have every kind of sharing. */
import type { Device, DType } from "../../ffi/device.ts";
import { add, addRmsnorm, attention, gatherRows, linear, linearLogProb, rmsnorm, sum, swiglu } from "../../tensor/ops/mod.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Segments } from "../../tensor/segments.ts";
import type { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import type { Random } from "../ops/harness.ts";

const [DIM, HEADS, VOCAB, BLOCKS] = [16, 2, 11, 6];

/** Its parameters, and its loss on a tape. */
export class Decoder implements Disposable {
  readonly params: Record<string, Parameter> = {};

  constructor(device: Device, random: Random, dtype: DType = "f32") {
    const make = (name: string, shape: number[], scale = 0.3) => {
      const numbers = Float32Array.from(random.normal(shape.reduce((a, b) => a * b, 1), scale));
      this.params[name] = new Parameter(name, Tensor.from(device, numbers, { shape, dtype }));
    };
    make("embed", [VOCAB, DIM], 1);
    for (let i = 0; i < BLOCKS; i++) {
      make(`${i}.norm`, [DIM]);
      make(`${i}.qkv`, [3 * DIM, DIM]);
      make(`${i}.bias`, [3 * DIM]);
      make(`${i}.out`, [DIM, DIM]);
      make(`${i}.norm2`, [DIM]);
      make(`${i}.up`, [4 * DIM, DIM]);
      make(`${i}.down`, [DIM, 2 * DIM]);
    }
  }

  /** Sum of the log-probabilities of the next tokens. */
  loss(tape: Tape, { lengths, checkpoints, random }: { lengths: number[]; checkpoints: boolean; random: Random }): Value {
    const { device } = tape;
    const w = tape.params(this.params);
    const segments = tape.own(Segments.packed(device, lengths, { causal: true }));
    const tokens = Int32Array.from({ length: segments.qTokens }, () => random.integer(0, VOCAB));
    using index = Tensor.from(device, tokens);
    using target = Tensor.from(device, tokens.toReversed());
    let h = gatherRows(w.embed!, index);
    const block = (i: number) => () => {
      const qkv = linear(rmsnorm(h, w[`${i}.norm`]!), w[`${i}.qkv`]!, { bias: w[`${i}.bias`]! });
      const q = qkv.columns(0, DIM), k = qkv.columns(DIM, 2 * DIM), v = qkv.columns(2 * DIM, 3 * DIM);
      const mixed = linear(attention({ q, k, v }, { segments, heads: HEADS }), w[`${i}.out`]!);
      const { y, h: sum } = addRmsnorm(mixed, h, { weight: w[`${i}.norm2`]! });
      const both = linear(y!, w[`${i}.up`]!);
      return add(linear(swiglu(both.columns(0, 2 * DIM), both.columns(2 * DIM, 4 * DIM)), w[`${i}.down`]!), sum!);
    };
    for (let i = 0; i < BLOCKS; i++) {
      // A fresh name for each block's input: the checkpoint runs its function again later.
      const input = h;
      const run = block(i);
      h = checkpoints
        ? tape.checkpoint(() => {
          h = input;
          return run();
        })
        : tape.scope(run);
    }
    return sum(linearLogProb(h, w.embed!, { target, chunk: 16 }).logprob!);
  }

  /** All gradients, in the order of the names. */
  gradients(): Float32Array[] {
    return Object.values(this.params).map((p) => p.grad!.toFloats());
  }

  zeroGrad(): void {
    for (const parameter of Object.values(this.params)) parameter.zeroGrad();
  }

  [Symbol.dispose](): void {
    for (const parameter of Object.values(this.params)) parameter[Symbol.dispose]();
  }
}
