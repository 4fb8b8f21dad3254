import { type Address, plus } from "../../ffi/address.ts";
import { describe, Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { activationType } from "./product.ts";
import { chunkRows, project, projectBackward } from "./projection.ts";
import { type Weight, weightOf } from "./weight.ts";

/** The reference and the distributions of {@linkcode linearKl}. */
export interface LinearKlOptions {
  /** The reference's hidden states [n, refDim] and output matrix [vocab, refDim], of one type. No gradient flows into them. */
  reference: { hidden: Tensor; weight: Tensor };
  /**
   * i32 [n]. -1 skips the row: its KL and the gradient of its hidden state are 0, whatever the row contains. Default: no row is skipped.
   */
  target?: Tensor;
  /** Divides the logits of both. Default: 1. */
  temperature?: number;
  /** u8 [vocab]: tokens with a nonzero mark are removed from both distributions. */
  suppress?: Tensor;
  /** The number of rows at a time. Default: as many as fit into 64 MiB of logits, at least 16. */
  chunk?: number;
}

/**
 * Computes KL(softmax(hidden weight^T / t) || softmax(reference / t)) over the whole vocabulary, in nats: f32 [n]. It works on a few rows
 * at a time, so that [n, vocab] never exists. The backward recomputes the logits.
 *
 * @param hidden [n, dim].
 * @param weight [vocab, dim].
 * @throws {RangeError} if sizes or types do not fit.
 * @example
 * ```ts
 * import { linearKl, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const rows = (numbers: number[], cols: number) => Tensor.from(device, numbers, { shape: [numbers.length / cols, cols] });
 * const hidden = tape.constant(rows([1], 1)), weight = tape.constant(rows([Math.log(3), 0], 1)); // 3/4 and 1/4
 * using theirs = rows([1], 1);
 * using uniform = rows([0, 0], 1);
 * const kl = linearKl(hidden, weight, { reference: { hidden: theirs, weight: uniform } }).tensor.item();
 * assertAlmostEquals(kl, 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), 1e-6);
 * ```
 */
export function linearKl(hidden: Value, weight: Weight, options: LinearKlOptions): Value {
  const { reference, target, temperature = 1, suppress } = options, { device } = hidden;
  const w = weightOf(hidden, weight), [n, vocab] = [hidden.rows, w.rows];
  const chunk = chunkRows(hidden, w, options.chunk);
  const { hidden: y, weight: v } = reference;
  checkOptions(options, { n, vocab });
  const kl = hidden.tape.empty([n], "f32");
  using lse = Tensor.empty(device, [n]);
  using shift = Tensor.empty(device, [n]);
  // Calls f(start, rows) with the logits of both in `mine` and `theirs`.
  const each = (
    tensors: { x: Tensor; w: Tensor; y: Tensor; v: Tensor; mine: Tensor; theirs: Tensor },
    f: (start: number, rows: number) => void,
  ) => {
    for (let start = 0; start < n; start += chunk) {
      const rows = Math.min(chunk, n - start);
      project(device, { x: tensors.x, w: tensors.w, start, rows, logits: tensors.mine });
      project(device, { x: tensors.y, w: tensors.v, start, rows, logits: tensors.theirs });
      f(start, rows);
    }
  };
  {
    using mine = Tensor.empty(device, [chunk, vocab]);
    using theirs = Tensor.empty(device, [chunk, vocab]);
    each({ x: hidden.tensor, w: w.tensor, y, v, mine, theirs }, (start, rows) => {
      const [k, l, s, t] = [kl, lse, shift, target].map((tensor) => tensor ? plus(tensor.address, 4 * start) : 0) as [
        Address,
        Address,
        Address,
        Address,
      ];
      device.ops.klFwd(0, k, l, s, mine.address, vocab, theirs.address, vocab, t, suppress?.address ?? 0, rows, vocab, temperature);
    });
  }
  const optional = [target, suppress].filter((tensor) => tensor !== undefined);
  const [out] = hidden.tape.record({
    name: "linearKl",
    inputs: [hidden, w],
    outputs: [kl],
    save: [hidden.tensor, w.tensor, y, v, lse, shift, ...optional],
    backward: (run) => {
      const [x, weights, y, v] = [run.saved(0), run.saved(1), run.saved(2), run.saved(3)];
      const skip = target ? run.saved(6).address : 0, mask = suppress ? run.saved(target ? 7 : 6).address : 0;
      const [mine, theirs] = [run.temporary([chunk, vocab]), run.temporary([chunk, vocab])];
      const [dh, dw] = [run.slot(hidden), run.weightSlot(w)];
      each({ x, w: weights, y, v, mine, theirs }, (start, rows) => {
        const at = 4 * start,
          [l, s, d] = [run.saved(4), run.saved(5), run.upstream(0)!].map(({ address }) => plus(address, at)) as [Address, Address, Address];
        const logits = [mine.address, vocab, mine.address, vocab, theirs.address, vocab] as const;
        device.ops.klBwd(0, ...logits, l, s, d, skip && plus(skip, at), mask, rows, vocab, temperature);
        projectBackward(device, { logits: mine, start, rows, x, w: weights, dx: dh, dw });
      });
    },
  });
  return out!;
}

/** @throws {RangeError} if a tensor does not fit `n` rows over `vocab` tokens. */
function checkOptions(
  { reference: { hidden, weight }, target, suppress }: LinearKlOptions,
  { n, vocab }: { n: number; vocab: number },
): void {
  if (hidden.rows !== n || weight.rows !== vocab || hidden.cols !== weight.cols || hidden.dtype !== activationType(weight)) {
    const reference = `${describe(hidden)} by ${describe(weight)}`;
    throw new RangeError(`Cannot compare ${n} rows over ${vocab} tokens with ${reference}: sizes or types do not fit`);
  }
  if (target && (target.dtype !== "i32" || target.size !== n || !target.contiguous)) {
    throw new RangeError(`Cannot take targets ${describe(target)}: it needs i32[${n}]`);
  }
  if (suppress && (suppress.dtype !== "u8" || suppress.size !== vocab)) {
    throw new RangeError(`Cannot suppress by ${describe(suppress)}: it needs u8[${vocab}]`);
  }
}
