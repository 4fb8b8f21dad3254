/**
 * Policy losses on a device from plain numbers.
 *
 * @module
 */
import type { Device } from "../../ffi/device.ts";
import { type PolicyLoss, policyLoss } from "../../rl/losses/policy_loss.ts";
import type { PolicyMetrics } from "../../rl/losses/metrics.ts";
import { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** A micro-batch. */
export interface Numbers {
  lengths: readonly number[];
  logprobs: ArrayLike<number>;
  old: ArrayLike<number>;
  advantages: ArrayLike<number>;
  weights: ArrayLike<number>;
  correction?: ArrayLike<number>;
  entropy?: ArrayLike<number>;
  entropyCoefficient?: number;
}

/** Returns where sequences begin, and the end. */
export function offsetsOf(lengths: readonly number[]): Int32Array<ArrayBuffer> {
  const offsets = new Int32Array(lengths.length + 1);
  for (const [i, length] of lengths.entries()) offsets[i + 1] = offsets[i]! + length;
  return offsets;
}

/** The loss and its gradients. */
export function runLoss(device: Device, b: Numbers, { loss, metrics }: { loss: PolicyLoss; metrics?: PolicyMetrics }) {
  using stack = new DisposableStack();
  const up = (x: ArrayLike<number>) => stack.use(Tensor.from(device, Float32Array.from(x)));
  const offsets = stack.use(Tensor.from(device, offsetsOf(b.lengths)));
  const batch = { old: up(b.old), advantages: up(b.advantages), weights: up(b.weights), offsets };
  const tape = stack.use(new Tape(device));
  const logprob = tape.input(up(b.logprobs)), entropy = b.entropy && tape.input(up(b.entropy));
  const value = policyLoss(logprob, b.correction ? { ...batch, correction: up(b.correction) } : batch, {
    loss,
    ...(metrics ? { metrics } : {}),
    ...(entropy ? { entropy, entropyCoefficient: b.entropyCoefficient ?? 0 } : {}),
  });
  value.keep();
  tape.backward(value);
  return { loss: value.tensor.item(), gradient: logprob.gradient!.toFloats(), entropyGradient: entropy?.gradient?.toFloats() };
}
