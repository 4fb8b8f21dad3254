/**
 * A perceptron with two hidden layers learns the parity of 4 bits.
 *
 *   deno run --allow-ffi --allow-read --allow-write=.cache --allow-run=c++ examples/parity.ts
 *
 * @module
 */
import { AdamW, type Device, gelu, linear, logProb, openDevice, Random, Tensor } from "@kedge/kedge/tensor";
import { descend, Weights } from "./weights.ts";

/** Trains on all 16 cases. @returns The last loss: mean negative log-probability, in nats. */
export function learnParity(device: Device, options: { seed: number; steps?: number }): number {
  using weights = new Weights(device, new Random(options.seed));
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
  for (let step = 0; step < (options.steps ?? 400); step++) {
    optimizer.zeroGrad();
    loss = descend(device, (tape) => {
      const w = tape.params(weights.params);
      const first = gelu(linear(tape.constant(x), w.in!, { bias: w["in.bias"]! }));
      const second = gelu(linear(first, w.hidden!, { bias: w["hidden.bias"]! }));
      return { logprob: logProb(linear(second, w.out!), { target }).logprob!, targets: 16 };
    });
    optimizer.step({ lr: 0.01 });
  }
  return loss;
}

if (import.meta.main) {
  using device = openDevice("auto");
  // deno-lint-ignore no-console -- a program
  console.log(`loss after 400 steps: ${learnParity(device, { seed: 1 }).toExponential(2)} nats`);
}
