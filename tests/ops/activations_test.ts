import { type Address, plus } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { numericGradient, opTest } from "./harness.ts";
import { joinBytes, matrix } from "./matrix.ts";

const silu = (x: number) => x / (1 + Math.exp(-x));
function swiglu(gate: Float64Array, up: Float64Array): Float64Array {
  return gate.map((x, i) => silu(x) * up[i]!);
}

/** The normal distribution's Phi with float64's precision, even in the tails. */
function phi(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  let tail: number; // erfc(z)
  if (z < 2) {
    // erf z = 2 / sqrt(pi) exp(-z^2) sum of 2^n z^(2n+1) / (2n+1)!!
    let term = z, sum = z;
    for (let n = 1; n < 200; n++) {
      term *= 2 * z * z / (2 * n + 1);
      sum += term;
    }
    tail = 1 - 2 / Math.sqrt(Math.PI) * Math.exp(-z * z) * sum;
  } else {
    // erfc z = exp(-z^2) / sqrt(pi) / (z + (1/2) / (z + 1 / (z + (3/2) / (z + ...
    let fraction = z;
    for (let n = 200; n > 0; n--) fraction = z + n / 2 / fraction;
    tail = Math.exp(-z * z) / Math.sqrt(Math.PI) / fraction;
  }
  return x < 0 ? tail / 2 : 1 - tail / 2;
}
const gelu = (x: number) => x * phi(x);

/** The forms of GELU in float64: the value, the slope, and what the gate's exponent is, whose rounding shows in the tail. */
const SIGMOID_FORMS = [
  {
    form: 1,
    t: (x: number) => 2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3),
    slope: (x: number) => 2 * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x),
  },
  { form: 2, t: (x: number) => 1.702 * x, slope: () => 1.702 },
];
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const FORMS = [
  { form: 0, y: gelu, slope: (x: number) => phi(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI), exponent: () => 0 },
  ...SIGMOID_FORMS.map(({ form, t, slope }) => ({
    form,
    y: (x: number) => x * sigmoid(t(x)),
    slope: (x: number) => sigmoid(t(x)) + x * sigmoid(t(x)) * sigmoid(-t(x)) * slope(x),
    exponent: (x: number) => Math.max(0, -t(x)),
  })),
];

const shapes = (small: boolean) => [[1, 1], [3, 3], [7, 17], [5, 64], [small ? 5 : 97, 1031]] as const;

opTest("swigluFwd matches float64, with strides, on halves of one matrix", (run) => {
  for (const [rows, dim] of shapes(run.small)) {
    const both = matrix(run, { rows, width: 2 * dim, stride: 2 * dim + 3, misalign: 1, values: run.random.normal(2 * rows * dim, 3) });
    const half = (offset: number) =>
      Float64Array.from({ length: rows * dim }, (_, i) => both.values[Math.floor(i / dim) * 2 * dim + offset + i % dim]!);
    const out = matrix(run, { rows, width: dim, stride: dim + 1 });
    const up = plus(both.address, dim * DTYPE_BYTES[run.dtype]);
    run.device.ops.swigluFwd(run.dtypeCode, out.address, out.stride, both.address, both.stride, up, both.stride, rows, dim);
    run.close(out.read(), swiglu(half(0), half(dim)), { what: `[${rows}, ${dim}]` });
  }
});

opTest("swigluBwd matches differences of the float64 reference, in place and accumulating", (run) => {
  for (const [rows, dim] of [[1, 1], [3, 3], [5, 23]] as const) {
    for (const mode of ["new", "in place", 1, 2, 3] as const) {
      const accumulate = typeof mode === "number" ? mode : 0, n = rows * dim;
      const make = (stride: number) => matrix(run, { rows, width: dim, stride, misalign: 1, values: run.random.normal(n, 2) });
      const gate = make(dim + 1), up = make(dim + 2), dout = make(dim + 3);
      const dgate = mode === "in place" ? gate : make(dim + 4), dup = mode === "in place" ? up : make(dim);
      run.device.ops.swigluBwd(
        ...[run.dtypeCode, dgate.address, dgate.stride, dup.address, dup.stride, dout.address, dout.stride] as const,
        ...[gate.address, gate.stride, up.address, up.stride, rows, dim, accumulate] as const,
      );
      const [byGate, byUp] = numericGradient(([a, b]) => swiglu(a!, b!), [gate.values, up.values], { cotangent: dout.values });
      const options = { factor: 2, scale: 1 };
      run.close(dgate.read(), byGate!.map((g, i) => g + (accumulate & 1 ? dgate.values[i]! : 0)), { what: `dgate ${mode}`, ...options });
      run.close(dup.read(), byUp!.map((g, i) => g + (accumulate & 2 ? dup.values[i]! : 0)), { what: `dup ${mode}`, ...options });
    }
  }
});

opTest("swiglu far from 0 neither overflows nor loses its sign", (run) => {
  const gate = run.input([-1e30, -100, -50, 50, 100, 1e30]), up = run.input(new Float64Array(6).fill(1)), out = run.output(6);
  run.device.ops.swigluFwd(run.dtypeCode, out, 6, gate.address, 6, up.address, 6, 1, 6);
  run.close(run.read(out, 6).slice(0, 5), gate.values.map(silu).slice(0, 5), { what: "out", scale: 1 });
  assertEquals(run.read(out, 6)[5], gate.values[5]);
  const dgate = run.output(6), dup = run.output(6);
  run.device.ops.swigluBwd(run.dtypeCode, dgate, 6, dup, 6, up.address, 6, gate.address, 6, up.address, 6, 1, 6, 0);
  run.close(run.read(dgate, 6), [0, 0, 0, 1, 1, 1], { what: "dgate", scale: 1 });
});

opTest("geluFwd matches float64 to a few units in the last place, also in the tail", (run) => {
  for (const { form, y: gelu, exponent } of FORMS) {
    for (const n of [1, 3, 17, run.small ? 1009 : 100_003]) {
      for (const inPlace of [false, true]) {
        const x = run.input(Float64Array.from({ length: n }, () => 26 * run.random.next() - 13), { misalign: 4 });
        const y = inPlace ? x.address : run.output(n);
        run.device.ops.geluFwd(run.dtypeCode, y, x.address, n, form);
        const got = run.read(y, n);
        run.close(got, x.values.map(gelu), { what: `gelu ${form} of ${n}` });
        // Each value is compared with its own precision, not with that of the largest: 5 ulp of f32 for normal numbers, and those of the
        // exponent where the form has one.
        const tolerance = run.dtype === "f32" ? 5 * 2 ** -23 : 2 ** -8;
        x.values.forEach((v, i) => {
          const expected = gelu(v), error = Math.abs(got[i]! - expected), share = tolerance + exponent(v) * 2 ** -22;
          if (!(error <= share * Math.abs(expected) + 2 ** -119)) {
            throw new Error(`gelu ${form} of ${v} is ${got[i]}, expected ${expected}`);
          }
        });
      }
    }
  }
});

opTest("geluBwd is the slope of gelu: differences of the float64 reference, in place and accumulating", (run) => {
  for (const { form, y: gelu, slope: geluSlope } of FORMS) {
    for (const n of [1, 3, 17, 101]) {
      for (const place of ["new", "dy", "x", "accumulate"] as const) {
        const x = run.input(run.random.normal(n, 2), { misalign: 4 }), dy = run.input(run.random.normal(n), { misalign: 8 });
        const old = run.input(run.random.normal(n));
        const dx = place === "dy" ? dy.address : place === "x" ? x.address : old.address;
        run.device.ops.geluBwd(run.dtypeCode, dx, dy.address, x.address, n, form, place === "accumulate" ? 1 : 0);
        const [slope] = numericGradient(([a]) => a!.map(gelu), [x.values], { cotangent: dy.values });
        const expected = slope!.map((g, i) => g + (place === "accumulate" ? old.values[i]! : 0));
        run.close(run.read(dx, n), expected, { what: `${place} of ${n}, form ${form}`, scale: 1 });
      }
    }
    const n = run.small ? 1009 : 100_003;
    const x = run.input(run.random.normal(n, 4)), dy = run.input(run.random.normal(n)), dx = run.output(n);
    run.device.ops.geluBwd(run.dtypeCode, dx, dy.address, x.address, n, form, 0);
    run.close(run.read(dx, n), x.values.map((v, i) => dy.values[i]! * geluSlope(v)), { what: `dx of ${n}, form ${form}` });
  }
});

opTest("activations pass NaN on", (run) => {
  const x = run.input([NaN, 1, Infinity, -1]), one = run.input([1, 1, 1, 1]), y = run.output(4), z = run.output(4);
  const far = run.input([-1e30, 1e30]);
  let out: Float64Array;
  for (const { form } of FORMS) {
    run.device.ops.geluFwd(run.dtypeCode, y, x.address, 4, form);
    out = run.read(y, 4);
    assert(Number.isNaN(out[0]) && out[2] === Infinity && Number.isFinite(out[1]) && Number.isFinite(out[3]));
    run.device.ops.geluBwd(run.dtypeCode, y, one.address, x.address, 4, form, 0);
    assert(Number.isNaN(run.read(y, 4)[0]));
    run.device.ops.geluBwd(run.dtypeCode, y, one.address, far.address, 2, form, 0);
    assertEquals(run.read(y, 2).map(Math.abs), Float64Array.of(0, 1));
  }
  run.device.ops.swigluFwd(run.dtypeCode, y, 4, x.address, 4, one.address, 4, 1, 4);
  out = run.read(y, 4);
  assert(Number.isNaN(out[0]) && out[2] === Infinity && Number.isFinite(out[1]) && Number.isFinite(out[3]));
  run.device.ops.swigluBwd(run.dtypeCode, y, 4, z, 4, one.address, 4, x.address, 4, one.address, 4, 1, 4, 0);
  assert(Number.isNaN(run.read(y, 4)[0]) && Number.isNaN(run.read(z, 4)[0]));
});

opTest("activations give equal bits for any number of threads", (run) => {
  const rows = run.small ? 3 : 61, dim = run.small ? 100 : 1031, n = rows * dim, bytes = n * DTYPE_BYTES[run.dtype];
  const a = run.input(run.random.normal(n)), b = run.input(run.random.normal(n)), c = run.input(run.random.normal(n));
  const { ops } = run.device, code = run.dtypeCode;
  assertDeterministic(run, () => {
    const [y, dx, out, dgate, dup] = Array.from({ length: 5 }, () => run.output(n)) as [Address, Address, Address, Address, Address];
    ops.geluFwd(code, y, a.address, n, 1);
    ops.geluBwd(code, dx, b.address, a.address, n, 0, 0);
    ops.swigluFwd(code, out, dim, a.address, dim, b.address, dim, rows, dim);
    ops.swigluBwd(code, dgate, dim, dup, dim, c.address, dim, a.address, dim, b.address, dim, rows, dim, 0);
    return joinBytes(...[y, dx, out, dgate, dup].map((address) => run.bytes(address, bytes)));
  });
});

opTest("activations refuse bad arguments and do nothing for empties", (run) => {
  const { ops } = run.device, code = run.dtypeCode, a = run.input([1, 2, 3, 4]).address, y = run.output(4), z = run.output(4);
  for (const [so, sg, su] of [[1, 2, 2], [2, 1, 2], [2, 2, 1]] as const) {
    assertThrows(() => ops.swigluFwd(code, y, so, a, sg, a, su, 2, 2), RangeError);
  }
  assertThrows(() => ops.swigluFwd(code, y, 2, 0, 2, a, 2, 2, 2), RangeError);
  assertThrows(() => ops.swigluFwd(code, y, 2, a, 2, a, 2, -2, 2), RangeError);
  for (let bad = 0; bad < 5; bad++) {
    const s = [2, 2, 2, 2, 2].map((stride, i) => i === bad ? 1 : stride) as [number, number, number, number, number];
    assertThrows(() => ops.swigluBwd(code, y, s[0], z, s[1], a, s[2], a, s[3], a, s[4], 2, 2, 0), RangeError);
  }
  assertThrows(() => ops.swigluBwd(code, y, 2, 0, 2, a, 2, a, 2, a, 2, 2, 2, 0), RangeError);
  assertThrows(() => ops.geluFwd(code, 0, a, 4, 0), RangeError);
  assertThrows(() => ops.geluFwd(code, y, a, -4, 0), RangeError);
  assertThrows(() => ops.geluBwd(code, y, a, 0, 4, 0, 0), RangeError);
  for (const form of [-1, 3]) {
    assertThrows(() => ops.geluFwd(code, y, a, 4, form), RangeError, "form");
    assertThrows(() => ops.geluBwd(code, y, a, a, 4, form, 0), RangeError, "form");
  }
  assertThrows(() => ops.geluFwd(DTYPES.f64, y, a, 4, 0), KedgeError);
  ops.swigluFwd(code, 0, 2, 0, 2, 0, 2, 0, 2);
  ops.swigluBwd(code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0);
  ops.geluFwd(code, 0, 0, 0, 0);
  ops.geluBwd(code, 0, 0, 0, 0, 0, 1);
});
