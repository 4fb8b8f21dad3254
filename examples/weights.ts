/**
 * Functions that the small examples share: random initial weights, and one backward pass from a mean loss.
 *
 * @module
 */
import { type Device, Parameter, type Random, scale, sum, Tape, Tensor, type Value } from "@kedge/kedge/tensor";

/** Random parameters by name, which are freed together. */
export class Weights implements Disposable {
  /** The parameters by name. */
  readonly params: Record<string, Parameter> = {};

  /** Makes parameters on a device, with the numbers of a generator. */
  constructor(readonly device: Device, readonly random: Random) {}

  /** Adds a parameter with normal numbers of a standard deviation. */
  normal(name: string, shape: readonly number[], deviation: number): void {
    const numbers = Float32Array.from(this.random.normal(shape.reduce((a, b) => a * b, 1), deviation));
    this.params[name] = new Parameter(name, Tensor.from(this.device, numbers, { shape }));
  }

  /** Adds a vector of ones. */
  ones(name: string, size: number): void {
    this.params[name] = new Parameter(name, Tensor.full(this.device, [size], { value: 1 }));
  }

  [Symbol.dispose](): void {
    for (const parameter of Object.values(this.params)) parameter[Symbol.dispose]();
  }
}

/** Runs backward from the mean negative log-probability of a batch. @returns The mean, in nats. */
export function descend(device: Device, forward: (tape: Tape) => { logprob: Value; targets: number }): number {
  using tape = new Tape(device);
  const { logprob, targets } = forward(tape);
  const loss = scale(sum(logprob), -1 / targets);
  tape.backward(loss);
  return loss.tensor.item();
}
