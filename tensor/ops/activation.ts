import { describe } from "../tensor.ts";
import type { Value } from "../value.ts";
import { dense, emptyLike } from "./place.ts";

/** What {@linkcode gelu} multiplies x by: "erf", Phi(x) exactly; "tanh", its approximation; "quick", sigmoid(1.702 x). */
export type GeluForm = "erf" | "tanh" | "quick";

const FORMS: Readonly<Record<GeluForm, number>> = { erf: 0, tanh: 1, quick: 2 }; // as kedge.h numbers them

/**
 * Computes GELU: x times a gate that opens as x grows. Hendrycks & Gimpel, arXiv 1606.08415.
 *
 * @param options `form`: default "erf", x Phi(x).
 * @example
 * ```ts
 * import { gelu, openDevice, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const x = tape.constant(Tensor.from(device, [0, 1]));
 * const y = gelu(x).tensor.toFloats();
 * assertEquals(y[0], 0);
 * assertAlmostEquals(y[1]!, 0.8413447, 1e-6);
 * assertAlmostEquals(gelu(x, { form: "quick" }).tensor.toFloats()[1]!, 1 / (1 + Math.exp(-1.702)), 1e-6);
 * ```
 */
export function gelu(x: Value, options: { form?: GeluForm } = {}): Value {
  const form = FORMS[options.form ?? "erf"];
  const input = dense(x);
  const { device } = x;
  const y = emptyLike(input);
  device.ops.geluFwd(y.dtypeCode, y.address, input.tensor.address, y.size, form);
  const [out] = x.tape.record({
    name: "gelu",
    inputs: [input],
    outputs: [y],
    save: [input.tensor],
    backward: (run) => {
      const dy = run.upstream(0)!;
      const slot = run.slot(input)!;
      device.ops.geluBwd(dy.dtypeCode, slot.address, dy.address, run.saved(0).address, dy.size, form, Number(slot.accumulate));
    },
  });
  return out!;
}

/**
 * Computes silu(gate) * up. Both may be column ranges of one matrix. Shazeer, arXiv 2002.05202.
 *
 * @param gate [rows, dim].
 * @param up [rows, dim].
 *
 * @example
 * ```ts
 * import { openDevice, swiglu, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tape = new Tape(device);
 * const gate = tape.constant(Tensor.from(device, [1], { shape: [1, 1] })), up = tape.constant(Tensor.from(device, [2], { shape: [1, 1] }));
 * assertAlmostEquals(swiglu(gate, up).tensor.item(), 2 / (1 + Math.exp(-1)), 1e-6);
 * ```
 */
export function swiglu(gate: Value, up: Value): Value {
  const [rows, dim] = [gate.rows, gate.cols];
  if (up.rows !== rows || up.cols !== dim || up.dtype !== gate.dtype) {
    throw new RangeError(`Cannot gate ${describe(up)} by ${describe(gate)}: they differ`);
  }
  const { device, dtype } = gate;
  const y = gate.tape.empty([rows, dim], dtype);
  const [g, u] = [gate.tensor, up.tensor];
  device.ops.swigluFwd(y.dtypeCode, y.address, dim, g.address, g.rowStride, u.address, u.rowStride, rows, dim);
  const [out] = gate.tape.record({
    name: "swiglu",
    inputs: [gate, up],
    outputs: [y],
    save: [g, u],
    backward: (run) => {
      const [dy, sg, su] = [run.upstream(0)!, run.saved(0), run.saved(1)];
      const [dg, du] = run.slots([gate, up]);
      device.ops.swigluBwd(
        dy.dtypeCode,
        dg!.address,
        dg!.stride,
        du!.address,
        du!.stride,
        dy.address,
        dim,
        sg.address,
        sg.rowStride,
        su.address,
        su.rowStride,
        rows,
        dim,
        Number(dg!.accumulate) | (Number(du!.accumulate) << 1),
      );
    },
  });
  return out!;
}
