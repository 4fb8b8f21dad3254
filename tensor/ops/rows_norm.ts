/**
 * A norm of rows on the tape, alone and behind a residual sum. The norms differ in their parameters, statistics and kernels.
 *
 * @module
 */
import { type Address, plus } from "../../ffi/address.ts";
import { DTYPE_BYTES } from "../../ffi/device.ts";
import type { Backward } from "../backward.ts";
import { describe, Tensor } from "../tensor.ts";
import type { Value } from "../value.ts";
import { checkAlike, dense, emptyLike } from "./place.ts";
import { type Weight, weightOf } from "./weight.ts";

/** What the forward kernel of a norm takes: x, residual (or 0) [rows, dim], and where to write. `h` is 0 where nobody asks for the sum. */
export interface NormForward {
  readonly y: Tensor;
  readonly h: Address;
  readonly statistics: readonly Address[];
  readonly x: Address;
  readonly residual: Address;
  readonly parameters: readonly Address[];
}

/** What the backward kernel of a norm takes. `gradients` are those of the parameters, 0 where none is asked for; `dh` is 0 where none arrived. */
export interface NormBackward {
  readonly dx: Address;
  readonly accumulate: number;
  readonly gradients: readonly Address[];
  readonly dy: Tensor;
  readonly dh: Address;
  readonly h: Address;
  readonly parameters: readonly Address[];
  readonly statistics: readonly Address[];
}

/** A norm. */
export interface RowsNorm {
  readonly name: string;
  /** Each [dim], of the type of x. */
  readonly parameters: readonly Weight[];
  /** How many f32 numbers the forward keeps of each row. */
  readonly statistics: number;
  forward(take: NormForward): void;
  backward(take: NormBackward): void;
}

/** Returns the norm of each row of `x`. */
export function normRows(x: Value, norm: RowsNorm): Value {
  const input = dense(x);
  const parameters = checkedAll(input, norm);
  const y = emptyLike(input);
  using statistics = Tensor.empty(x.device, [norm.statistics, x.rows]);
  norm.forward({ y, h: 0, statistics: rowsOf(statistics), x: input.tensor.address, residual: 0, parameters: addressesOf(parameters) });
  const [out] = x.tape.record({
    name: norm.name,
    inputs: [input, ...parameters],
    outputs: [y],
    save: [input.tensor, statistics, ...parameters.map(({ tensor }) => tensor)],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const [dx] = run.slots([input]);
      runBackward(run, { norm, parameters, dy, dh: 0, dx: dx!.address, accumulate: Number(dx!.accumulate) });
    },
  });
  return out!;
}

/** Returns h = x + residual and the norm of its rows. With `inPlace` h uses the memory of x, unless that is not the tape's. */
export function addAndNormRows(x: Value, residual: Value, { norm, inPlace }: { norm: RowsNorm; inPlace: boolean }): { y: Value; h: Value } {
  checkAlike("add", x, residual);
  const [input, rest] = [dense(x), dense(residual)];
  const parameters = checkedAll(input, norm);
  const source = input.tensor;
  // The memory of x may be reused only if no op has saved it.
  const h = inPlace && !input.foreign ? source.view() : emptyLike(input);
  if (h.address === source.address) h.storage.version++;
  const y = emptyLike(input);
  using statistics = Tensor.empty(x.device, [norm.statistics, x.rows]);
  const [given, rests] = [addressesOf(parameters), rest.tensor.address];
  norm.forward({ y, h: h.address, statistics: rowsOf(statistics), x: source.address, residual: rests, parameters: given });
  const [normed, sum] = x.tape.record({
    name: `add${norm.name[0]!.toUpperCase()}${norm.name.slice(1)}`,
    inputs: [input, rest, ...parameters],
    outputs: [y, h],
    save: [h, statistics, ...parameters.map(({ tensor }) => tensor)],
    backward: (run) => {
      const [dy, dh] = [run.upstream(0), run.upstream(1)];
      if (!dy) {
        run.hand(input, dh!);
        run.hand(rest, dh!);
        return;
      }
      // One buffer is the gradient of both x and the residual, if they have none yet.
      const dx = dh && run.exclusive(1) ? dh : run.exclusive(0) ? dy : run.temporary(input.shape, { dtype: input.dtype });
      runBackward(run, { norm, parameters, dy, dh: dh?.address ?? 0, dx: dx.address, accumulate: 0 });
      run.hand(input, dx);
      run.hand(rest, dx);
    },
  });
  return { y: normed!, h: sum! };
}

/** Returns a parameter of a norm as a value. @throws {RangeError} unless it is [dim], of the type of `x`. */
export function normParameter(x: Value, { weight, dim }: { weight: Weight; dim: number }): Value {
  const w = weightOf(x, weight);
  if (w.size !== dim || w.dtype !== x.dtype) {
    throw new RangeError(`Cannot normalise ${describe(x)} with weight ${describe(w)}: sizes or types differ`);
  }
  return w;
}

/** What the backward of both ops does: `dx` gets the gradient of h, the parameters get theirs. Saved are h, the statistics, the parameters. */
function runBackward(
  run: Backward,
  from: { norm: RowsNorm; parameters: readonly Value[]; dy: Tensor; dh: Address; dx: Address; accumulate: number },
): void {
  const { norm, parameters, ...rest } = from;
  norm.backward({
    ...rest,
    gradients: parameters.map((parameter) => run.weightSlot(parameter, { add: true, f32: true })?.address ?? 0),
    h: run.saved(0).address,
    parameters: parameters.map((_, i) => run.saved(2 + i).address),
    statistics: rowsOf(run.saved(1)),
  });
}

const addressesOf = (values: readonly Value[]) => values.map(({ tensor }) => tensor.address);
const rowsOf = ({ address, rows, cols }: Tensor) => Array.from({ length: rows }, (_, i) => plus(address, i * cols * DTYPE_BYTES.f32));
const checkedAll = (x: Value, norm: RowsNorm) => norm.parameters.map((weight) => normParameter(x, { weight, dim: x.cols }));
