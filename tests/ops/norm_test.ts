import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Address } from "../../ffi/address.ts";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { type Input, numericGradient, type OpRun, opTest } from "./harness.ts";
import { joinBytes, matrix } from "./matrix.ts";

const EPS = 1e-5;

/** h rows normalised; a bias makes it LayerNorm. */
function reference(
  h: Float64Array,
  weight: Float64Array,
  bias?: Float64Array,
): { y: Float64Array; mean: Float64Array; rstd: Float64Array } {
  const dim = weight.length, rows = h.length / dim, y = new Float64Array(h.length);
  const mean = new Float64Array(rows), rstd = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    const row = h.subarray(r * dim, (r + 1) * dim);
    if (bias) mean[r] = row.reduce((sum, x) => sum + x, 0) / dim;
    rstd[r] = 1 / Math.sqrt(row.reduce((sum, x) => sum + (x - mean[r]!) ** 2, 0) / dim + EPS);
    for (let c = 0; c < dim; c++) y[r * dim + c] = (row[c]! - mean[r]!) * rstd[r]! * weight[c]! + (bias?.[c] ?? 0);
  }
  return { y, mean, rstd };
}

/** The analytic gradient, for shapes too large for differences. */
function gradients(dy: Float64Array, h: Float64Array, weight: Float64Array, bias?: Float64Array) {
  const dim = weight.length, { mean, rstd } = reference(h, weight, bias);
  const dh = new Float64Array(h.length), dweight = new Float64Array(dim), dbias = new Float64Array(dim);
  for (let r = 0; r < rstd.length; r++) {
    const n = (c: number) => (h[r * dim + c]! - mean[r]!) * rstd[r]!, g = (c: number) => dy[r * dim + c]! * weight[c]!;
    let [sum, dot] = [0, 0];
    for (let c = 0; c < dim; c++) [sum, dot] = [sum + g(c), dot + g(c) * n(c)];
    for (let c = 0; c < dim; c++) {
      dh[r * dim + c] = rstd[r]! * (g(c) - (bias ? sum / dim : 0) - n(c) * dot / dim);
      dweight[c]! += dy[r * dim + c]! * n(c);
      dbias[c]! += dy[r * dim + c]!;
    }
  }
  return { dh, dweight, dbias };
}

interface Forward {
  y: Address;
  h: Address;
  mean: Address;
  rstd: Address;
  x: Address;
  residual: Address;
  weight: Address;
  bias: Address;
  rows: number;
  dim: number;
  eps?: number;
  dtype?: number;
}
interface Backward {
  dx: Address;
  dweight: Address;
  dbias: Address;
  dy: Address;
  dh: Address;
  h: Address;
  weight: Address;
  mean: Address;
  rstd: Address;
  rows: number;
  dim: number;
  accumulate?: number;
}

/** The two norms of rows, with one way to call them. RMSNorm has neither mean nor bias. */
const NORMS = [
  {
    name: "rmsnorm",
    centred: false,
    forward: (
      { device: { ops }, dtypeCode }: OpRun,
      { y, h, rstd, x, residual, weight, rows, dim, eps = EPS, dtype = dtypeCode }: Forward,
    ) => ops.rmsnormFwd(dtype, y, h, rstd, x, residual, weight, rows, dim, eps),
    backward: ({ device: { ops }, dtypeCode }: OpRun, { dx, dweight, dy, dh, h, weight, rstd, rows, dim, accumulate = 0 }: Backward) =>
      ops.rmsnormBwd(dtypeCode, dx, dweight, dy, dh, h, weight, rstd, rows, dim, accumulate),
  },
  {
    name: "layernorm",
    centred: true,
    forward: (
      { device: { ops }, dtypeCode }: OpRun,
      { y, h, mean, rstd, x, residual, weight, bias, rows, dim, eps = EPS, dtype = dtypeCode }: Forward,
    ) => ops.layernormFwd(dtype, y, h, mean, rstd, x, residual, weight, bias, rows, dim, eps),
    backward: (
      { device: { ops }, dtypeCode }: OpRun,
      { dx, dweight, dbias, dy, dh, h, weight, mean, rstd, rows, dim, accumulate = 0 }: Backward,
    ) => ops.layernormBwd(dtypeCode, dx, dweight, dbias, dy, dh, h, weight, mean, rstd, rows, dim, accumulate),
  },
];

const column = (run: OpRun, values: Float64Array) => run.input(values, { dtype: "f32" }).address;

for (const { name, centred, forward, backward } of NORMS) {
  const bias = (run: OpRun, dim: number): Input | undefined => centred ? run.input(run.random.normal(dim), { misalign: 4 }) : undefined;

  opTest(`${name}Fwd matches float64, with and without residual, h in place of x or of the residual`, (run) => {
    for (const [rows, dim] of [[1, 1], [3, 3], [7, 17], [5, 64], [2, 1031], run.small ? [9, 33] : [131, 384]] as const) {
      for (const place of ["no residual", "no residual, h", "new", "x", "residual"] as const) {
        // Rows far from 0, whose variance must not cancel.
        const x = run.input(run.random.normal(rows * dim, 2).map((v) => v + (centred ? 5 : 0)), { misalign: 4 });
        const weight = run.input(run.random.normal(dim), { misalign: 4 }), shift = bias(run, dim);
        const residual = place.startsWith("no") ? undefined : run.input(run.random.normal(rows * dim, 3));
        const y = run.output(rows * dim, { misalign: 4 });
        const [mean, rstd] = [run.output(rows, { dtype: "f32" }), run.output(rows, { dtype: "f32" })];
        const h = place === "no residual"
          ? 0
          : place === "x"
          ? x.address
          : place === "residual"
          ? residual!.address
          : run.output(rows * dim);
        const sum = x.values.map((v, i) => v + (residual?.values[i] ?? 0));
        const given = { x: x.address, residual: residual?.address ?? 0, weight: weight.address, bias: shift?.address ?? 0 };
        forward(run, { y, h, mean, rstd, ...given, rows, dim });
        if (h !== 0) run.close(run.read(h, rows * dim), sum, { what: "h" });
        // The norm is that of h as it is stored: where a row's numbers differ little, the rounding of bf16 is much of its variance.
        const expected = reference(h === 0 ? x.values : run.read(h, rows * dim), weight.values, shift?.values);
        run.close(run.read(y, rows * dim), expected.y, { what: `y [${rows}, ${dim}] ${place}`, factor: centred ? 3 : 1 });
        run.close(run.read(rstd, rows, "f32"), expected.rstd, { what: "rstd", factor: centred ? 2 : 1 });
        if (centred) run.close(run.read(mean, rows, "f32"), expected.mean, { what: "mean" });
      }
    }
  });

  opTest(`${name}Bwd matches differences of the float64 reference`, (run) => {
    for (const [rows, dim] of [[1, 1], [3, 3], [5, 17], [2, 40]] as const) {
      for (const accumulate of [0, 1]) {
        for (const place of ["new", "dy", "dh", "no dh", "no dweight", "no dbias"] as const) {
          if (accumulate && (place === "dy" || place === "dh")) continue;
          const n = rows * dim;
          const h = run.input(run.random.normal(n, 2), { misalign: 4 }), weight = run.input(run.random.normal(dim)), shift = bias(run, dim);
          const dy = run.input(run.random.normal(n), { misalign: 4 });
          const dh = place === "no dh" ? undefined : run.input(run.random.normal(n));
          const statistics = reference(h.values, weight.values, shift?.values);
          const old = run.input(accumulate ? run.random.normal(n) : new Float64Array(n).fill(NaN));
          const dx = place === "dy" ? dy.address : place === "dh" ? dh!.address : old.address;
          const dweight = run.input(run.random.normal(dim), { dtype: "f32" }), dbias = run.input(run.random.normal(dim), { dtype: "f32" });
          const [noWeight, noBias] = [place === "no dweight", place === "no dbias"];
          backward(run, {
            ...{ dx, dweight: noWeight ? 0 : dweight.address, dbias: noBias ? 0 : dbias.address, dy: dy.address, dh: dh?.address ?? 0 },
            ...{ h: h.address, weight: weight.address, mean: column(run, statistics.mean), rstd: column(run, statistics.rstd) },
            ...{ rows, dim, accumulate },
          });
          const [byH, byWeight] = numericGradient(([a, b]) => reference(a!, b!, shift?.values).y, [h.values, weight.values], {
            cotangent: dy.values,
          });
          const expected = byH!.map((g, i) => g + (dh?.values[i] ?? 0) + (accumulate ? old.values[i]! : 0));
          const what = `[${rows}, ${dim}] ${place} ${accumulate}`;
          const close = { factor: 2, scale: 1 };
          // A row of one number has the gradient 0, as the difference of terms of 1 / sqrt(eps).
          run.close(run.read(dx, n), expected, { what: `dx ${what}`, factor: 2, scale: centred && dim === 1 ? 300 : 1 });
          const sums = (start: Float64Array, by: Float64Array, none: boolean) => start.map((g, i) => g + (none ? 0 : by[i]!));
          run.close(run.read(dweight.address, dim, "f32"), sums(dweight.values, byWeight!, noWeight), {
            what: `dweight ${what}`,
            ...close,
          });
          if (!centred) continue;
          const { dbias: byBias } = gradients(dy.values, h.values, weight.values, shift!.values);
          run.close(run.read(dbias.address, dim, "f32"), sums(dbias.values, byBias, noBias), { what: `dbias ${what}`, ...close });
        }
      }
    }
  });

  opTest(`${name}Bwd sums the parameters' gradients over many rows`, (run) => {
    for (const [rows, dim] of run.small ? [[40, 33], [40, 32]] as const : [[2111, 96], [300, 1031]] as const) {
      const n = rows * dim, h = run.input(run.random.normal(n)), weight = run.input(run.random.normal(dim));
      const dy = run.input(run.random.normal(n)), shift = bias(run, dim);
      const statistics = reference(h.values, weight.values, shift?.values);
      const [mean, rstd] = [column(run, statistics.mean), column(run, statistics.rstd)];
      const expected = gradients(dy.values, h.values, weight.values, shift?.values);
      const op = () => {
        const [dx, dweight, dbias] = [run.output(n), column(run, new Float64Array(dim)), column(run, new Float64Array(dim))];
        const given = { dy: dy.address, dh: 0 as Address, h: h.address, weight: weight.address, mean, rstd, rows, dim };
        backward(run, { dx, dweight, dbias, ...given });
        return { dx, dweight, dbias };
      };
      const { dx, dweight, dbias } = op();
      run.close(run.read(dx, n), expected.dh, { what: "dx" });
      run.close(run.read(dweight, dim, "f32"), expected.dweight, { what: "dweight" });
      if (centred) run.close(run.read(dbias, dim, "f32"), expected.dbias, { what: "dbias" });
      assertDeterministic(run, () => {
        const { dx, dweight, dbias } = op();
        return joinBytes(run.bytes(dx, n * DTYPE_BYTES[run.dtype]), run.bytes(dweight, dim * 4), run.bytes(dbias, dim * 4));
      });
    }
  });

  opTest(`${name} keeps NaN and infinities to their row`, (run) => {
    const dim = 5, values = run.random.normal(3 * dim);
    values[dim + 2] = NaN;
    values[2 * dim] = Infinity;
    const x = run.input(values).address, weight = run.input(new Float64Array(dim).fill(1)).address, y = run.output(3 * dim);
    const mean = run.output(3, { dtype: "f32" }), rstd = run.output(3, { dtype: "f32" });
    forward(run, { y, h: 0, mean, rstd, x, residual: 0, weight, bias: weight, rows: 3, dim });
    const out = run.read(y, 3 * dim);
    assert(out.slice(0, dim).every(Number.isFinite) && out.slice(dim, 2 * dim).every(Number.isNaN) && Number.isNaN(out[2 * dim]!));
  });

  opTest(`${name} refuses bad arguments and does nothing for no rows`, (run) => {
    const a = run.input([1, 2, 3, 4]).address, r = run.output(4, { dtype: "f32" }), y = run.output(4);
    const ahead = (changes: Partial<Forward>) =>
      forward(run, { y, h: 0, mean: r, rstd: r, x: a, residual: 0, weight: a, bias: a, rows: 2, dim: 2, ...changes });
    const back = (changes: Partial<Backward>) =>
      backward(run, { dx: y, dweight: 0, dbias: 0, dy: a, dh: 0, h: a, weight: a, mean: r, rstd: r, rows: 2, dim: 2, ...changes });
    assertThrows(() => ahead({ eps: 0 }), RangeError, "eps");
    assertThrows(() => ahead({ eps: NaN }), RangeError, "eps");
    assertThrows(() => ahead({ residual: a }), RangeError, "h_out");
    assertThrows(() => ahead({ rstd: 0 }), RangeError);
    assertThrows(() => ahead({ rows: -2 }), RangeError);
    assertThrows(() => back({ h: 0 }), RangeError);
    assertThrows(() => back({ dim: -2 }), RangeError);
    assertThrows(() => ahead({ dtype: DTYPES.i32 }), KedgeError);
    if (centred) {
      assertThrows(() => ahead({ mean: 0 }), RangeError, "mean");
      assertThrows(() => ahead({ bias: 0 }), RangeError, "bias");
      assertThrows(() => back({ mean: 0 }), RangeError, "mean");
    }
    const before = run.bytes(y, 8);
    ahead({ y: 0, rstd: 0, mean: 0, x: 0, weight: 0, bias: 0, rows: 0 });
    ahead({ dim: 0 });
    back({ dx: 0, dy: 0, h: 0, weight: 0, mean: 0, rstd: 0, rows: 0 });
    assertEquals(run.bytes(y, 8), before);
  });
}

// [tokens, heads, headDim]
const HEADS = [[1, 1, 1], [3, 2, 4], [5, 3, 12], [2, 5, 64], [4, 2, 128], [2, 1, 300]] as const;

opTest("headRmsnormFwd matches float64 on column ranges of a matrix, in place or not", (run) => {
  for (const [tokens, heads, dim] of HEADS) {
    for (const inPlace of [false, true]) {
      const width = heads * dim, values = run.random.normal(tokens * width, 2);
      const x = matrix(run, { rows: tokens, width, stride: width + dim, values }), weight = run.input(run.random.normal(dim));
      const y = inPlace ? x : matrix(run, { rows: tokens, width, stride: width + 4 });
      const rstd = inPlace ? 0 : run.output(tokens * heads, { dtype: "f32" });
      run.device.ops.headRmsnormFwd(
        ...[run.dtypeCode, y.address, y.stride, rstd, x.address, x.stride, weight.address, tokens, heads, dim, EPS] as const,
      );
      const expected = reference(x.values, weight.values);
      run.close(y.read(), expected.y, { what: `y [${tokens}, ${heads}, ${dim}]` });
      if (rstd !== 0) run.close(run.read(rstd, tokens * heads, "f32"), expected.rstd, { what: "rstd" });
    }
  }
});

opTest("headRmsnormBwd matches the gradient of the float64 reference, in place and accumulating, for any number of threads", (run) => {
  for (const [tokens, heads, dim] of [...HEADS, run.small ? [30, 2, 16] as const : [700, 3, 64] as const]) {
    for (const place of ["new", "dy", "accumulate", "no dweight"] as const) {
      const width = heads * dim, n = tokens * width;
      const make = (values: Float64Array, gap: number) => matrix(run, { rows: tokens, width, stride: width + gap, values });
      const x = make(run.random.normal(n, 2), dim), weight = run.input(run.random.normal(dim)), dy = make(run.random.normal(n), 0);
      const old = make(run.random.normal(n), 4), dx = place === "dy" ? dy : old;
      const { rstd } = reference(x.values, weight.values);
      const start = run.random.normal(dim), scales = column(run, rstd);
      const backward = (dweight: Address) =>
        run.device.ops.headRmsnormBwd(
          ...[run.dtypeCode, dx.address, dx.stride, dweight, dy.address, dy.stride, x.address, x.stride] as const,
          ...[weight.address, scales, tokens, heads, dim, place === "accumulate" ? 1 : 0] as const,
        );
      const sums = run.input(start, { dtype: "f32" });
      backward(place === "no dweight" ? 0 : sums.address);
      const expected = gradients(dy.values, x.values, weight.values);
      const what = `[${tokens}, ${heads}, ${dim}] ${place}`;
      const added = expected.dh.map((g, i) => g + (place === "accumulate" ? old.values[i]! : 0));
      run.close(dx.read(), added, { what: `dx ${what}`, factor: 2, scale: 1 });
      const both = sums.values.map((g, i) => g + (place === "no dweight" ? 0 : expected.dweight[i]!));
      run.close(run.read(sums.address, dim, "f32"), both, { what: `dweight ${what}`, factor: 2, scale: 1 + tokens / 10 });
      if (place !== "new" || tokens < 20) continue;
      assertDeterministic(run, () => {
        const sums = column(run, start);
        backward(sums);
        return joinBytes(run.bytes(dx.address, DTYPE_BYTES[run.dtype] * width), run.bytes(sums, dim * 4));
      });
    }
  }
});

opTest("headRmsnorm refuses bad arguments and does nothing for no tokens", (run) => {
  const { ops } = run.device, code = run.dtypeCode, a = run.input([1, 2, 3, 4]).address, y = run.output(4);
  const r = run.output(4, { dtype: "f32" });
  assertThrows(() => ops.headRmsnormFwd(code, y, 4, r, a, 4, a, 1, 2, 2, 0), RangeError, "eps");
  assertThrows(() => ops.headRmsnormFwd(code, y, 3, r, a, 4, a, 1, 2, 2, EPS), RangeError, "y_stride");
  assertThrows(() => ops.headRmsnormFwd(code, y, 4, r, a, 4, 0, 1, 2, 2, EPS), RangeError, "weight");
  assertThrows(() => ops.headRmsnormFwd(code, y, 4, r, a, 4, a, 1, -2, 2, EPS), RangeError, "heads");
  assertThrows(() => ops.headRmsnormBwd(code, y, 4, 0, a, 4, a, 4, a, 0, 1, 2, 2, 0), RangeError, "rstd");
  assertThrows(() => ops.headRmsnormBwd(code, y, 4, 0, a, 4, a, 3, a, r, 1, 2, 2, 0), RangeError, "x_stride");
  const before = run.bytes(y, 8);
  ops.headRmsnormFwd(code, 0, 4, 0, 0, 4, 0, 0, 2, 2, EPS);
  ops.headRmsnormBwd(code, 0, 4, 0, 0, 4, 0, 4, 0, 0, 0, 2, 2, 0);
  assertEquals(run.bytes(y, 8), before);
});
