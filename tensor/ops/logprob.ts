import { type Address, plus } from "../../ffi/address.ts";
import type { Device } from "../../ffi/device.ts";
import type { Backward } from "../backward.ts";
import { describe, Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { chunkRows, project, projectBackward } from "./projection.ts";
import { type Weight, weightOf } from "./weight.ts";

/** The target tokens and the distribution. */
export interface LogProbOptions {
  /** i32 [n]. -1 skips the row: its results and gradients are 0. */
  target: Tensor;
  /** Divides the logits. Default: 1. */
  temperature?: number;
  /** u8 [vocab]: tokens with a nonzero mark are removed from the distribution. */
  suppress?: Tensor;
}

/** Results for each row, f32 [n]. */
export interface LogProb extends Readonly<Record<string, Value>> {
  /** Log-probability of the target. */
  logprob: Value;
  /** Entropy of the distribution, in nats. */
  entropy: Value;
}

/**
 * Computes the log-probability of the target and the entropy of the distribution from logits.
 *
 * @param logits [n, vocab].
 *
 * @example
 * ```ts
 * import { logProb, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using target = Tensor.from(device, Int32Array.of(0));
 * const logits = tape.constant(Tensor.from(device, [Math.log(3), 0], { shape: [1, 2] }));
 * const { logprob, entropy } = logProb(logits, { target });
 * assertAlmostEquals(logprob.tensor.item(), Math.log(0.75), 1e-6);
 * assertAlmostEquals(entropy.tensor.item(), -0.75 * Math.log(0.75) - 0.25 * Math.log(0.25), 1e-6);
 * ```
 */
export function logProb(logits: Value, options: LogProbOptions): LogProb {
  const { target, temperature = 1, suppress } = options;
  const [n, vocab] = [logits.rows, logits.cols];
  check(target, { n, vocab, suppress });
  const { device, tensor } = logits;
  const [logprob, entropy] = [logits.tape.empty([n], "f32"), logits.tape.empty([n], "f32")];
  using lse = Tensor.empty(device, [n]);
  const [p, h, l, t, s] = [logprob.address, entropy.address, lse.address, target.address, suppress?.address ?? 0];
  device.ops.logprobFwd(tensor.dtypeCode, p, h, l, tensor.address, tensor.rowStride, t, s, n, vocab, temperature);
  const [first, second] = logits.tape.record({
    name: "logProb",
    inputs: [logits],
    outputs: [logprob, entropy],
    save: [tensor, target, lse, entropy, ...(suppress ? [suppress] : [])],
    backward: (run) => {
      const up = seeds(run, n);
      const [x, tokens, sums, entropies] = [run.saved(0), run.saved(1), run.saved(2), run.saved(3)];
      const mask = suppress ? run.saved(4).address : 0;
      // The kernel overwrites. If there is a gradient already, the new one is computed separately and added.
      const part = run.temporary([n, vocab], { dtype: logits.dtype });
      const into = { address: part.address, stride: vocab };
      backward(device, { logits: x, into, target: tokens, lse: sums, entropy: entropies, ...up, mask, temperature });
      run.hand(logits, part);
    },
  });
  return { logprob: first!, entropy: second! };
}

/**
 * Computes log-probability and entropy from hidden states and the output matrix. It works on a few rows at a time, so that [n, vocab] never
 * exists and the peak is the logits of one chunk. The backward recomputes the logits. Logits are f32 for any type of the inputs.
 *
 * @param hidden [n, dim].
 * @param weight [vocab, dim].
 * @param options `chunk`: the number of rows at a time. Default: as many as fit into 64 MiB of logits, at least 16.
 * @example
 * ```ts
 * import { linearLogProb, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * using target = Tensor.from(device, Int32Array.of(0));
 * const hidden = tape.constant(Tensor.from(device, [1], { shape: [1, 1] }));
 * const weight = tape.constant(Tensor.from(device, [Math.log(3), 0], { shape: [2, 1] }));
 * assertAlmostEquals(linearLogProb(hidden, weight, { target }).logprob.tensor.item(), Math.log(0.75), 1e-6);
 * ```
 */
export function linearLogProb(hidden: Value, weight: Weight, options: LogProbOptions & { chunk?: number }): LogProb {
  const w = weightOf(hidden, weight);
  const { target, temperature = 1, suppress } = options;
  const [n, vocab] = [hidden.rows, w.rows];
  check(target, { n, vocab, suppress });
  const chunk = chunkRows(hidden, w, options.chunk);
  const { device } = hidden;
  const [logprob, entropy] = [hidden.tape.empty([n], "f32"), hidden.tape.empty([n], "f32")];
  using lse = Tensor.empty(device, [n]);
  {
    const x = hidden.tensor;
    using logits = Tensor.empty(device, [chunk, vocab]);
    for (let start = 0; start < n; start += chunk) {
      const rows = Math.min(chunk, n - start);
      project(device, { x, w: w.tensor, start, rows, logits });
      const at = 4 * start;
      const [p, h, l, t] = [plus(logprob.address, at), plus(entropy.address, at), plus(lse.address, at), plus(target.address, at)];
      device.ops.logprobFwd(0, p, h, l, logits.address, vocab, t, suppress?.address ?? 0, rows, vocab, temperature);
    }
  }
  const [first, second] = hidden.tape.record({
    name: "linearLogProb",
    inputs: [hidden, w],
    outputs: [logprob, entropy],
    save: [hidden.tensor, w.tensor, target, lse, entropy, ...(suppress ? [suppress] : [])],
    backward: (run) => {
      const up = seeds(run, n);
      const [x, weights, tokens, sums, entropies] = [run.saved(0), run.saved(1), run.saved(2), run.saved(3), run.saved(4)];
      const mask = suppress ? run.saved(5).address : 0;
      const logits = run.temporary([chunk, vocab]);
      const [dh, dw] = [run.slot(hidden), run.weightSlot(w)];
      for (let start = 0; start < n; start += chunk) {
        const rows = Math.min(chunk, n - start);
        project(device, { x, w: weights, start, rows, logits });
        using part = logits.slice(0, rows);
        const range = (tensor: Tensor) => tensor.slice(start, start + rows);
        using t = range(tokens);
        using l = range(sums);
        using e = range(entropies);
        using dlogprob = range(up.dlogprob);
        using dentropy = up.dentropy && range(up.dentropy);
        const into = { address: part.address, stride: vocab };
        backward(device, { logits: part, into, target: t, lse: l, entropy: e, dlogprob, dentropy, mask, temperature });
        projectBackward(device, { logits, start, rows, x, w: weights, dx: dh, dw });
      }
    },
  });
  return { logprob: first!, entropy: second! };
}

interface Upstream {
  dlogprob: Tensor;
  dentropy: Tensor | undefined;
}

function seeds(run: Backward, n: number): Upstream {
  const dlogprob = run.upstream(0) ?? run.temporary([n]);
  if (!run.upstream(0)) dlogprob.fill(0);
  return { dlogprob, dentropy: run.upstream(1) };
}

function backward(
  device: Device,
  parts: Upstream & {
    logits: Tensor;
    into: { address: Address; stride: number };
    target: Tensor;
    lse: Tensor;
    entropy: Tensor;
    mask: Address;
    temperature: number;
  },
): void {
  const { logits, into, target, lse, entropy, dlogprob, dentropy, mask, temperature } = parts;
  device.ops.logprobBwd(
    logits.dtypeCode,
    into.address,
    into.stride,
    logits.address,
    logits.rowStride,
    target.address,
    lse.address,
    entropy.address,
    dlogprob.address,
    dentropy?.address ?? 0,
    mask,
    logits.rows,
    logits.cols,
    temperature,
  );
}

function check(target: Tensor, { n, vocab, suppress }: { n: number; vocab: number; suppress: Tensor | undefined }): void {
  if (target.dtype !== "i32" || target.size !== n || !target.contiguous) {
    throw new RangeError(`Cannot take targets ${describe(target)}: it needs i32[${n}]`);
  }
  if (suppress && (suppress.dtype !== "u8" || suppress.size !== vocab)) {
    throw new RangeError(`Cannot suppress by ${describe(suppress)}: it needs u8[${vocab}]`);
  }
}
