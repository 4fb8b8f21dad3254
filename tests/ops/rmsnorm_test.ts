import { assert, assertEquals, assertThrows } from "@std/assert";
import { DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { numericGradient, opTest } from "./harness.ts";
import { joinBytes } from "./matrix.ts";

const EPS = 1e-5;

/** h rows normalised: { y, rstd }. */
function reference(h: Float64Array, weight: Float64Array, dim: number): { y: Float64Array; rstd: Float64Array } {
  const rows = h.length / dim, y = new Float64Array(h.length), rstd = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let squares = 0;
    for (let c = 0; c < dim; c++) squares += h[r * dim + c]! ** 2;
    rstd[r] = 1 / Math.sqrt(squares / dim + EPS);
    for (let c = 0; c < dim; c++) y[r * dim + c] = h[r * dim + c]! * rstd[r]! * weight[c]!;
  }
  return { y, rstd };
}

/** The analytic gradient by h and weight, for shapes too large for differences. */
function gradients(dy: Float64Array, h: Float64Array, weight: Float64Array, dim: number): { dh: Float64Array; dweight: Float64Array } {
  const { rstd } = reference(h, weight, dim), dh = new Float64Array(h.length), dweight = new Float64Array(dim);
  for (let r = 0; r < rstd.length; r++) {
    let dot = 0;
    for (let c = 0; c < dim; c++) dot += dy[r * dim + c]! * weight[c]! * h[r * dim + c]!;
    for (let c = 0; c < dim; c++) {
      const i = r * dim + c;
      dh[i] = dy[i]! * weight[c]! * rstd[r]! - h[i]! * rstd[r]! ** 3 * dot / dim;
      dweight[c]! += dy[i]! * h[i]! * rstd[r]!;
    }
  }
  return { dh, dweight };
}

opTest("rmsnormFwd matches float64, with and without residual, h in place of x or of the residual", (run) => {
  for (const [rows, dim] of [[1, 1], [3, 3], [7, 17], [5, 64], [2, 1031], run.small ? [9, 33] : [131, 384]] as const) {
    for (const place of ["no residual", "no residual, h", "new", "x", "residual"] as const) {
      const x = run.input(run.random.normal(rows * dim, 2), { misalign: 4 }), weight = run.input(run.random.normal(dim), { misalign: 4 });
      const residual = place.startsWith("no") ? undefined : run.input(run.random.normal(rows * dim, 3));
      const y = run.output(rows * dim, { misalign: 4 }), rstd = run.output(rows, { dtype: "f32" });
      const h = place === "no residual" ? 0 : place === "x" ? x.address : place === "residual" ? residual!.address : run.output(rows * dim);
      const sum = x.values.map((v, i) => v + (residual?.values[i] ?? 0));
      run.device.ops.rmsnormFwd(run.dtypeCode, y, h, rstd, x.address, residual?.address ?? 0, weight.address, rows, dim, EPS);
      if (h !== 0) run.close(run.read(h, rows * dim), sum, { what: "h" });
      const expected = reference(sum, weight.values, dim);
      run.close(run.read(y, rows * dim), expected.y, { what: `y [${rows}, ${dim}] ${place}` });
      run.close(run.read(rstd, rows, "f32"), expected.rstd, { what: "rstd" });
    }
  }
});

opTest("rmsnormBwd matches differences of the float64 reference", (run) => {
  for (const [rows, dim] of [[1, 1], [3, 3], [5, 17], [2, 40]] as const) {
    for (const accumulate of [0, 1]) {
      for (const place of ["new", "dy", "dh", "no dh", "no dweight"] as const) {
        if (accumulate && (place === "dy" || place === "dh")) continue;
        const n = rows * dim;
        const h = run.input(run.random.normal(n, 2), { misalign: 4 }), weight = run.input(run.random.normal(dim));
        const dy = run.input(run.random.normal(n), { misalign: 4 });
        const dh = place === "no dh" ? undefined : run.input(run.random.normal(n));
        const { rstd } = reference(h.values, weight.values, dim);
        const old = run.input(accumulate ? run.random.normal(n) : new Float64Array(n).fill(NaN));
        const dx = place === "dy" ? dy.address : place === "dh" ? dh!.address : old.address;
        const dweight = run.input(run.random.normal(dim), { dtype: "f32" });
        const statistics = run.input(rstd, { dtype: "f32" }).address;
        run.device.ops.rmsnormBwd(
          ...[run.dtypeCode, dx, place === "no dweight" ? 0 : dweight.address, dy.address, dh?.address ?? 0] as const,
          ...[h.address, weight.address, statistics, rows, dim, accumulate] as const,
        );
        const forward = ([a, b]: Float64Array[]) => reference(a!, b!, dim).y;
        const [byH, byWeight] = numericGradient(forward, [h.values, weight.values], { cotangent: dy.values });
        const expected = byH!.map((g, i) => g + (dh?.values[i] ?? 0) + (accumulate ? old.values[i]! : 0));
        const what = `[${rows}, ${dim}] ${place} ${accumulate}`;
        run.close(run.read(dx, n), expected, { what: `dx ${what}`, factor: 2, scale: 1 });
        const sums = dweight.values.map((g, i) => g + (place === "no dweight" ? 0 : byWeight![i]!));
        run.close(run.read(dweight.address, dim, "f32"), sums, { what: `dweight ${what}`, factor: 2, scale: 1 });
      }
    }
  }
});

opTest("rmsnormBwd sums dweight over many rows", (run) => {
  const rows = run.small ? 40 : 2111, dim = run.small ? 33 : 96, n = rows * dim;
  const h = run.input(run.random.normal(n)), weight = run.input(run.random.normal(dim)), dy = run.input(run.random.normal(n));
  const rstd = run.input(reference(h.values, weight.values, dim).rstd, { dtype: "f32" });
  const expected = gradients(dy.values, h.values, weight.values, dim);
  const op = () => {
    const dx = run.output(n), dweight = run.input(new Float64Array(dim), { dtype: "f32" }).address;
    run.device.ops.rmsnormBwd(run.dtypeCode, dx, dweight, dy.address, 0, h.address, weight.address, rstd.address, rows, dim, 0);
    return { dx, dweight };
  };
  const { dx, dweight } = op();
  run.close(run.read(dx, n), expected.dh, { what: "dx" });
  run.close(run.read(dweight, dim, "f32"), expected.dweight, { what: "dweight" });
  assertDeterministic(run, () => {
    const { dx, dweight } = op();
    return joinBytes(run.bytes(dx, n * (run.dtype === "f32" ? 4 : 2)), run.bytes(dweight, dim * 4));
  });
});

opTest("rmsnorm keeps NaN and infinities to their row", (run) => {
  const dim = 5, values = run.random.normal(3 * dim);
  values[dim + 2] = NaN;
  values[2 * dim] = Infinity;
  const x = run.input(values), weight = run.input(new Float64Array(dim).fill(1)), y = run.output(3 * dim);
  const rstd = run.output(3, { dtype: "f32" });
  run.device.ops.rmsnormFwd(run.dtypeCode, y, 0, rstd, x.address, 0, weight.address, 3, dim, EPS);
  const out = run.read(y, 3 * dim);
  assert(out.slice(0, dim).every(Number.isFinite) && out.slice(dim, 2 * dim).every(Number.isNaN) && Number.isNaN(out[2 * dim]!));
});

opTest("rmsnorm refuses bad arguments and does nothing for no rows", (run) => {
  const { ops } = run.device,
    a = run.input([1, 2, 3, 4]).address,
    r = run.output(4, { dtype: "f32" }),
    y = run.output(4),
    code = run.dtypeCode;
  assertThrows(() => ops.rmsnormFwd(code, y, 0, r, a, 0, a, 2, 2, 0), RangeError, "eps");
  assertThrows(() => ops.rmsnormFwd(code, y, 0, r, a, 0, a, 2, 2, NaN), RangeError, "eps");
  assertThrows(() => ops.rmsnormFwd(code, y, 0, r, a, a, a, 2, 2, EPS), RangeError, "h_out");
  assertThrows(() => ops.rmsnormFwd(code, y, 0, 0, a, 0, a, 2, 2, EPS), RangeError);
  assertThrows(() => ops.rmsnormFwd(code, y, 0, r, a, 0, a, -2, 2, EPS), RangeError);
  assertThrows(() => ops.rmsnormBwd(code, y, 0, a, 0, a, 0, r, 2, 2, 0), RangeError);
  assertThrows(() => ops.rmsnormBwd(code, y, 0, a, 0, a, a, r, 2, -2, 0), RangeError);
  assertThrows(() => ops.rmsnormFwd(DTYPES.i32, y, 0, r, a, 0, a, 2, 2, EPS), KedgeError);
  const before = run.bytes(y, 8);
  ops.rmsnormFwd(code, 0, 0, 0, 0, 0, 0, 0, 2, EPS);
  ops.rmsnormFwd(code, y, 0, r, a, 0, a, 2, 0, EPS);
  ops.rmsnormBwd(code, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0);
  assertEquals(run.bytes(y, 8), before);
});
