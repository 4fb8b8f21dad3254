/**
 * What the distributions over the vocabulary give that hidden states and an output matrix define: log-probabilities of targets, entropies, and the divergence
 * from the distributions of a reference. One pass computes all that is asked for, so that each product with an output matrix is made once.
 *
 * @module
 */
import { type Address, plus } from "../../ffi/address.ts";
import type { Device } from "../../ffi/device.ts";
import type { Backward } from "../backward.ts";
import { describe, Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { activationType } from "./product.ts";
import { chunkRows, project, projectBackward } from "./projection.ts";
import { type Weight, weightOf } from "./weight.ts";

/** What the distributions of a reference are made of. No gradient flows into it. */
export interface ReferenceStates {
  /** [n, refDim]. */
  hidden: Tensor;
  /** [vocab, refDim], of the same type. */
  weight: Tensor;
}

/** Which numbers are computed, and of which distributions. */
export interface DistributionOptions {
  /** i32 [n]; -1 skips the row. Log-probabilities need it. */
  target: Tensor | undefined;
  /** Divides the logits. */
  temperature: number;
  /** u8 [vocab]: tokens with a nonzero mark are removed from the distributions. */
  suppress: Tensor | undefined;
  /** The number of rows at a time; undefined: as many as the memory allows. */
  chunk: number | undefined;
  /** With it, the divergence from its distributions is computed. */
  reference: ReferenceStates | undefined;
  /** Whether log-probabilities and entropies are computed. */
  logprobs: boolean;
}

/** The tensors of a pass, in the order in which the backward gets them. */
const NAMES = ["x", "w", "target", "suppress", "lse", "entropy", "y", "v", "klLse", "shift"] as const;
type Tensors = { readonly [name in typeof NAMES[number]]?: Tensor | undefined } & { readonly x: Tensor; readonly w: Tensor };

/** Rows [start, start + rows) with their logits; `theirs`: the reference's. */
interface Chunk {
  readonly start: number;
  readonly rows: number;
  readonly mine: Tensor;
  readonly theirs: Tensor | undefined;
}

/** How a pass goes over the rows. */
interface Sizes {
  readonly n: number;
  readonly vocab: number;
  readonly chunk: number;
  readonly temperature: number;
}

/**
 * Computes what `options` ask for, in chunks of rows; [n, vocab] never exists. The backward recomputes the logits.
 *
 * @param hidden [n, dim].
 * @param weight [vocab, dim].
 * @returns `logprob` and `entropy` with `logprobs`, `kl` with a reference; each f32 [n].
 * @throws {RangeError} if sizes or types do not fit.
 */
export function linearDistribution(hidden: Value, weight: Weight, options: DistributionOptions): Record<string, Value> {
  const { target, temperature, suppress, reference, logprobs } = options, { device, tape } = hidden;
  const w = weightOf(hidden, weight), [n, vocab] = [hidden.rows, w.rows];
  checkTarget(target, { n, vocab, suppress });
  if (reference) checkReference(reference, { n, vocab });
  const sizes = { n, vocab, temperature, chunk: chunkRows(hidden, w, { asked: options.chunk, matrices: reference ? 2 : 1 }) };
  const floats = (wanted: boolean) => wanted ? tape.empty([n], "f32") : undefined;
  const [logprob, entropy, kl] = [logprobs, logprobs, reference !== undefined].map(floats);
  using held = new DisposableStack();
  const row = (wanted: boolean) => wanted ? held.use(Tensor.empty(device, [n])) : undefined;
  const [lse, klLse, shift] = [logprobs, reference !== undefined, reference !== undefined].map(row);
  const tensors: Tensors = {
    x: hidden.tensor,
    w: w.tensor,
    target,
    suppress,
    lse,
    entropy,
    y: reference?.hidden,
    v: reference?.weight,
    klLse,
    shift,
  };
  {
    using mine = Tensor.empty(device, [sizes.chunk, vocab]);
    using theirs = reference && Tensor.empty(device, [sizes.chunk, vocab]);
    for (const { start, rows } of chunks(device, tensors, { ...sizes, mine, theirs })) {
      const at = from(start), rest = [at(target), suppress?.address ?? 0, rows, vocab, temperature] as const;
      if (logprob) device.ops.logprobFwd(0, at(logprob), at(entropy), at(lse), mine.address, vocab, ...rest);
      if (theirs) device.ops.klFwd(0, at(kl), at(klLse), at(shift), mine.address, vocab, theirs.address, vocab, ...rest);
    }
  }
  const present = NAMES.filter((name) => tensors[name] !== undefined);
  const outputs = Object.entries({ logprob, entropy, kl }).filter((entry): entry is [string, Tensor] => entry[1] !== undefined);
  const values = tape.record({
    name: logprobs ? "linearLogProb" : "linearKl",
    inputs: [hidden, w],
    outputs: outputs.map(([, tensor]) => tensor),
    save: present.map((name) => tensors[name]!),
    backward: (run) => {
      const saved = Object.fromEntries(present.map((name, i) => [name, run.saved(i)])) as unknown as Tensors;
      const upstream = Object.fromEntries(outputs.map(([name], i) => [name, run.upstream(i)]));
      backward(run, { hidden, w }, { saved, upstream, sizes });
    },
  });
  return Object.fromEntries(outputs.map(([name], i) => [name, values[i]!]));
}

/** Returns the address of a row of a tensor [n] of 4 bytes an element; 0 for none. */
function from(start: number): (tensor: Tensor | undefined) => Address {
  return (tensor) => tensor ? plus(tensor.address, 4 * start) : 0;
}

/** Computes the logits of a chunk after the other, in the same memory. */
function* chunks(
  device: Device,
  { x, w, y, v }: Tensors,
  { n, chunk, mine, theirs }: Pick<Sizes, "n" | "chunk"> & Pick<Chunk, "mine" | "theirs">,
): Generator<Chunk> {
  for (let start = 0; start < n; start += chunk) {
    const rows = Math.min(chunk, n - start);
    project(device, { x, w, start, rows, logits: mine });
    if (theirs) project(device, { x: y!, w: v!, start, rows, logits: theirs });
    yield { start, rows, mine, theirs };
  }
}

function backward(
  run: Backward,
  { hidden, w }: { hidden: Value; w: Value },
  pass: { saved: Tensors; upstream: { readonly [name: string]: Tensor | undefined }; sizes: Sizes },
): void {
  const { saved, upstream: { entropy: dentropy, kl: dkl }, sizes, sizes: { n, vocab, temperature } } = pass, { device } = run;
  const ofLogprobs = pass.upstream.logprob !== undefined || dentropy !== undefined;
  const dlogprob = ofLogprobs ? pass.upstream.logprob ?? run.temporary([n]) : undefined;
  if (dlogprob && !pass.upstream.logprob) dlogprob.fill(0);
  const mine = run.temporary([sizes.chunk, vocab]), theirs = dkl && run.temporary([sizes.chunk, vocab]);
  const [dx, dw] = [run.slot(hidden), run.weightSlot(w)], { x, w: weights, target, suppress, lse, entropy, klLse, shift } = saved;
  for (const { start, rows } of chunks(device, saved, { ...sizes, mine, theirs })) {
    const at = from(start), mask = suppress?.address ?? 0, row = [mine.address, vocab] as const;
    // Each gradient takes the place of logits that are not read again: that of the divergence the reference's, if there are two.
    if (theirs) {
      const [into, other] = [dlogprob ? theirs : mine, theirs];
      const sums = [at(klLse), at(shift), at(dkl), at(target)] as const;
      device.ops.klBwd(0, into.address, vocab, ...row, other.address, vocab, ...sums, mask, rows, vocab, temperature);
    }
    if (dlogprob) {
      const sums = [at(target), at(lse), at(entropy), at(dlogprob), at(dentropy)] as const;
      device.ops.logprobBwd(0, ...row, ...row, ...sums, mask, rows, vocab, temperature);
      if (theirs) device.ops.scaleAdd(0, mine.address, theirs.address, rows * vocab, 1, 0, 1);
    }
    projectBackward(device, { logits: mine, start, rows, x, w: weights, dx, dw });
  }
}

/** @throws {RangeError} if targets or marks do not fit `n` rows over `vocab` tokens. */
export function checkTarget(
  target: Tensor | undefined,
  { n, vocab, suppress }: { n: number; vocab: number; suppress: Tensor | undefined },
): void {
  if (target && (target.dtype !== "i32" || target.size !== n || !target.contiguous)) {
    throw new RangeError(`Cannot take targets ${describe(target)}: it needs i32[${n}]`);
  }
  if (suppress && (suppress.dtype !== "u8" || suppress.size !== vocab)) {
    throw new RangeError(`Cannot suppress by ${describe(suppress)}: it needs u8[${vocab}]`);
  }
}

/** @throws {RangeError} if a reference does not fit `n` rows over `vocab` tokens. */
function checkReference({ hidden, weight }: ReferenceStates, { n, vocab }: { n: number; vocab: number }): void {
  if (hidden.rows !== n || weight.rows !== vocab || hidden.cols !== weight.cols || hidden.dtype !== activationType(weight)) {
    const reference = `${describe(hidden)} by ${describe(weight)}`;
    throw new RangeError(`Cannot compare ${n} rows over ${vocab} tokens with ${reference}: sizes or types do not fit`);
  }
}
