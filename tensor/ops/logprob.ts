import type { Address } from "../../ffi/address.ts";
import { Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { checkTarget, linearDistribution } from "./linear_distribution.ts";
import type { Weight } from "./weight.ts";

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
  // With a reference also `kl`: the divergence of the distribution from the reference's, in nats.
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
  checkTarget(target, { n, vocab, suppress });
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
      const [x, ...rows] = [0, 1, 2, 3].map((i) => run.saved(i)) as [Tensor, Tensor, Tensor, Tensor];
      const dlogprob = run.upstream(0) ?? run.temporary([n]), dentropy = run.upstream(1);
      if (!run.upstream(0)) dlogprob.fill(0);
      // The kernel overwrites. If there is a gradient already, the new one is computed separately and added.
      const part = run.temporary([n, vocab], { dtype: logits.dtype });
      const [t, l, h, dp] = [...rows, dlogprob].map(({ address }) => address) as [Address, Address, Address, Address];
      const sums = [t, l, h, dp, dentropy?.address ?? 0, suppress ? run.saved(4).address : 0] as const;
      device.ops.logprobBwd(x.dtypeCode, part.address, vocab, x.address, x.rowStride, ...sums, n, vocab, temperature);
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
 * @param options `chunk`: the number of rows at a time. Default: on a CPU as many as fit into 64 MiB of logits, on a GPU into a 32nd of its
 * memory and 4 GiB. `reference`: also gives `kl`, the divergence of each row's distribution from the reference's over the whole vocabulary, as
 * `linearKl` does, in the same pass.
 * @throws {RangeError} if sizes or types do not fit.
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
export function linearLogProb(
  hidden: Value,
  weight: Weight,
  options: LogProbOptions & { chunk?: number; reference?: { hidden: Tensor; weight: Tensor } },
): LogProb {
  const { target, temperature = 1, suppress, chunk, reference } = options;
  return linearDistribution(hidden, weight, { target, temperature, suppress, chunk, reference, logprobs: true }) as LogProb;
}
