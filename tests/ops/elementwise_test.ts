import { assertEquals, assertThrows } from "@std/assert";
import { type DType, DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { assertDeterministic } from "./determinism.ts";
import { opTest } from "./harness.ts";
import { checksArrays } from "./matrix.ts";

const F32 = { dtypes: ["f32"] as const };
const sizes = (small: boolean) => [1, 3, 7, 31, 1009, small ? 2053 : 100_003];

opTest("noop and the ABI's version", (run) => {
  run.device.ops.noop();
  assertEquals(run.device.ops.abiVersion(), 3);
}, F32);

opTest("fill sets every element, f32, bf16 and i32", (run) => {
  for (const dtype of ["f32", "bf16", "i32"] as const) {
    for (const n of sizes(run.small)) {
      for (const value of [0, -2.5, 1e-3, ...(dtype === "i32" ? [2147483647, -2147483648] : [Infinity, NaN, -0])]) {
        const x = run.output(n, { dtype, misalign: DTYPE_BYTES[dtype] });
        run.device.ops.fill(DTYPES[dtype], x, n, value);
        // Ties go to the even integer: -2.5 becomes -2.
        const expected = dtype === "i32"
          ? (value === -2.5 ? -2 : Math.round(value))
          : run.read(run.input([value], { dtype }).address, 1, dtype)[0]!;
        const wrong = run.read(x, n, dtype).findIndex((v) => !Object.is(v, expected === 0 && dtype === "i32" ? 0 : expected));
        assertEquals(wrong, -1, `${dtype} ${value} of ${n}`);
      }
    }
  }
  const untouched = run.input([1, 2, 3]);
  run.device.ops.fill(DTYPES.f32, untouched.address, 0, 9);
  run.device.ops.fill(DTYPES.f32, 0, 0, 9);
  assertEquals([...run.read(untouched.address, 3)], [1, 2, 3]);
  assertThrows(() => run.device.ops.fill(DTYPES.f32, 0, 1, 9), RangeError);
  assertThrows(() => run.device.ops.fill(DTYPES.f32, untouched.address, -1, 9), RangeError);
  assertThrows(() => run.device.ops.fill(DTYPES.i32, untouched.address, 1, 2 ** 31), RangeError);
  assertThrows(() => run.device.ops.fill(DTYPES.u8, untouched.address, 1, 1), KedgeError);
}, F32);

opTest("copy moves any bytes at any address", (run) => {
  for (const n of [1, 3, 4099, run.small ? 9001 : 3_000_017]) {
    const data = Uint8Array.from({ length: n }, () => run.random.integer(0, 256));
    const src = run.buffer(n, 1), dst = run.buffer(n, 3);
    run.device.write(src, data);
    run.device.ops.copy(dst, src, n);
    assertEquals(run.bytes(dst, n).every((b, i) => b === data[i]), true, `${n} bytes`);
  }
  run.device.ops.copy(0, 0, 0);
  const one = run.buffer(1);
  assertThrows(() => run.device.ops.copy(one, 0, 1), RangeError);
  assertThrows(() => run.device.ops.copy(0, one, 1), RangeError);
  assertThrows(() => run.device.ops.copy(one, one, -1), RangeError);
}, F32);

opTest("copyRows moves rows between strides and leaves the gaps", (run) => {
  const shapes = [[1, 1, 1, 1], [3, 5, 7, 11], [17, 4, 4, 4], [5, 12, 32, 16], [run.small ? 13 : 1013, 129, 300, 129]] as const;
  for (const [rows, width, from, to] of shapes) {
    const data = Uint8Array.from({ length: rows * from }, () => run.random.integer(0, 256));
    const src = run.buffer(rows * from, 1), dst = run.buffer(rows * to);
    run.device.write(src, data);
    const before = run.bytes(dst, rows * to);
    run.device.ops.copyRows(dst, to, src, from, rows, width);
    const expected = before.map((b, i) => i % to < width ? data[Math.floor(i / to) * from + i % to]! : b);
    assertEquals(run.bytes(dst, rows * to), expected);
  }
  const a = run.buffer(64), b = run.buffer(64);
  run.device.ops.copyRows(0, 4, 0, 4, 0, 4);
  run.device.ops.copyRows(0, 4, 0, 4, 4, 0);
  assertThrows(() => run.device.ops.copyRows(a, 3, b, 4, 2, 4), RangeError);
  assertThrows(() => run.device.ops.copyRows(a, 4, b, 3, 2, 4), RangeError);
  assertThrows(() => run.device.ops.copyRows(a, 4, 0, 4, 2, 4), RangeError);
  assertThrows(() => run.device.ops.copyRows(a, 4, b, 4, -2, 4), RangeError);
}, F32);

/** Bits of f32 values that round in every way to 16 bits. */
function hardBits(random: { integer(low: number, high: number): number }, n: number): Uint32Array<ArrayBuffer> {
  const bits = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    const low = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, random.integer(0, 65536)];
    bits[i] = random.integer(0, 65536) * 65536 + low[random.integer(0, low.length)]!;
  }
  const plain = [0, -0, 1, Infinity, -Infinity, NaN, 65504, 65519.996, 65520, -65520, 65536];
  const special = [...plain, 2 ** -14, 2 ** -24, 2 ** -25, 3 * 2 ** -26, 2 ** -149];
  bits.set(new Uint32Array(Float32Array.from(special).buffer));
  return bits;
}

opTest("cast rounds to the nearest, ties to even, for every pair of f32, bf16 and f16", (run) => {
  const types = ["f32", "bf16", "f16"] as const;
  const all16 = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const bits = hardBits(run.random, run.small ? 4001 : 200_003);
  const bf16Value = (b: number) => new Float32Array(Uint32Array.of(b << 16).buffer)[0]!;
  const source = {
    f32: { data: bits, values: new Float32Array(bits.buffer) },
    bf16: { data: all16, values: Float32Array.from(all16, bf16Value) },
    f16: { data: all16, values: Float32Array.from(new Float16Array(all16.buffer)) },
  };
  for (const from of types) {
    const { data, values } = source[from];
    const src = run.buffer(data.byteLength, DTYPE_BYTES[from]);
    run.device.write(src, data);
    for (const to of types) {
      const bytes = values.length * DTYPE_BYTES[to];
      const dst = run.buffer(bytes, DTYPE_BYTES[to]);
      run.device.ops.cast(dst, DTYPES[to], src, DTYPES[from], values.length);
      const raw = run.bytes(dst, bytes).buffer as ArrayBuffer;
      const got: ArrayLike<number> = to === "f32"
        ? new Float32Array(raw)
        : to === "f16"
        ? new Float16Array(raw)
        : Float32Array.from(new Uint16Array(raw), bf16Value);
      for (let i = 0; i < values.length; i++) {
        const x = values[i]!;
        const expected = to === "f32" ? x : to === "f16" ? Math.f16round(x) : nearestBf16(x);
        if (!Object.is(got[i], expected)) throw new Error(`${from} ${x} to ${to}: ${got[i]}, expected ${expected}`);
      }
    }
  }
  const x = run.input([1]).address;
  run.device.ops.cast(0, DTYPES.f32, 0, DTYPES.bf16, 0);
  assertThrows(() => run.device.ops.cast(x, DTYPES.f32, 0, DTYPES.bf16, 1), RangeError);
  assertThrows(() => run.device.ops.cast(x, DTYPES.f32, x, DTYPES.bf16, -1), RangeError);
  assertThrows(() => run.device.ops.cast(x, DTYPES.i32, x, DTYPES.bf16, 1), KedgeError);
}, F32);

/** The nearest bf16 by arithmetic rather than by bits. */
function nearestBf16(x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(x))));
  const spacing = 2 ** ((Math.abs(x) < 2 ** exponent ? exponent - 1 : Math.abs(x) >= 2 ** (exponent + 1) ? exponent + 1 : exponent) - 7);
  const unit = Math.max(spacing, 2 ** -133);
  const scaled = Math.abs(x) / unit, down = Math.floor(scaled), rest = scaled - down;
  const whole = rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
  const rounded = whole * unit >= 2 ** 128 ? Infinity : whole * unit;
  return x < 0 ? -rounded : rounded;
}

opTest("scaleAdd is y = alpha factor x + beta y", (run) => {
  const dtypes: DType[] = checksArrays(run) ? ["f32", "bf16"] : [run.dtype];
  for (const dtype of dtypes) {
    for (const n of sizes(run.small)) {
      for (const [alpha, factor, beta] of [[2, undefined, 0], [-0.5, 3, 1], [1, 0.25, -2], [0, undefined, 0.5]] as const) {
        for (const inPlace of [false, true]) {
          const x = run.input(run.random.normal(n), { dtype, misalign: DTYPE_BYTES[dtype] });
          const f = factor === undefined ? 0 : run.input([factor], { dtype: "f32" }).address;
          // With beta 0, y must not be read: it is full of NaN.
          const y = inPlace ? x : run.input(beta === 0 ? new Float64Array(n).fill(NaN) : run.random.normal(n), { dtype });
          const expected = x.values.map((v, i) => alpha * (factor ?? 1) * v + (beta === 0 ? 0 : beta * y.values[i]!));
          run.device.ops.scaleAdd(DTYPES[dtype], y.address, x.address, n, alpha, f, beta);
          run.close(run.read(y.address, n, dtype), expected, { what: `scaleAdd ${dtype} ${n}`, dtype });
        }
      }
    }
  }
  const x = run.input([1, Infinity, NaN]), y = run.output(3);
  run.device.ops.scaleAdd(run.dtypeCode, y, x.address, 3, 0, 0, 0);
  assertEquals([...run.read(y, 3)], [0, NaN, NaN]);
  run.device.ops.scaleAdd(run.dtypeCode, 0, 0, 0, 1, 0, 1);
  assertThrows(() => run.device.ops.scaleAdd(run.dtypeCode, y, 0, 3, 1, 0, 0), RangeError);
  assertThrows(() => run.device.ops.scaleAdd(run.dtypeCode, y, x.address, -3, 1, 0, 0), RangeError);
  assertThrows(() => run.device.ops.scaleAdd(DTYPES.i32, y, x.address, 3, 1, 0, 0), KedgeError);
});

opTest("add and mul, in place with either input, and mul that accumulates", (run) => {
  const { ops } = run.device, code = run.dtypeCode, element = DTYPE_BYTES[run.dtype];
  for (const n of sizes(run.small)) {
    for (const place of ["out", "a", "b"] as const) {
      for (const op of ["add", "mul", "mul accumulate"] as const) {
        if (op === "mul accumulate" && place !== "out") continue;
        const a = run.input(run.random.normal(n), { misalign: element }), b = run.input(run.random.normal(n), { misalign: 3 * element });
        const o = run.input(run.random.normal(n));
        const out = place === "a" ? a.address : place === "b" ? b.address : o.address;
        if (op === "add") ops.add(code, out, a.address, b.address, n);
        else ops.mul(code, out, a.address, b.address, n, op === "mul" ? 0 : 1);
        const expected = a.values.map((x, i) => {
          const y = b.values[i]!;
          return op === "add" ? x + y : op === "mul" ? x * y : o.values[i]! + x * y;
        });
        run.close(run.read(out, n), expected, { what: `${op} into ${place} of ${n}` });
      }
    }
  }
  const x = run.input([Infinity, NaN, 1]), y = run.input([-Infinity, 1, 2]), out = run.output(3);
  ops.add(code, out, x.address, y.address, 3);
  assertEquals([...run.read(out, 3)], [NaN, NaN, 3]);
  ops.mul(code, out, x.address, y.address, 3, 0);
  assertEquals([...run.read(out, 3)], [-Infinity, NaN, 2]);
  ops.add(code, 0, 0, 0, 0);
  ops.mul(code, 0, 0, 0, 0, 1);
  assertThrows(() => ops.add(code, out, x.address, 0, 3), RangeError);
  assertThrows(() => ops.add(code, out, x.address, y.address, -1), RangeError);
  assertThrows(() => ops.mul(code, 0, x.address, y.address, 3, 0), RangeError);
  assertThrows(() => ops.mul(code, out, x.address, y.address, -1, 0), RangeError);
  assertThrows(() => ops.add(DTYPES.i64, out, x.address, y.address, 3), KedgeError);
});

opTest("dot sums in f64, with and without b, and accumulates", (run) => {
  const { ops } = run.device, code = run.dtypeCode, element = DTYPE_BYTES[run.dtype];
  for (const n of [...sizes(run.small), ...(run.small ? [] : [1_000_003])]) {
    const a = run.input(run.random.normal(n), { misalign: element }), b = run.input(run.random.normal(n));
    for (const second of [b, undefined]) {
      for (const accumulate of [0, 1]) {
        const out = run.input([0.75], { dtype: "f32" });
        ops.dot(code, out.address, a.address, second?.address ?? 0, n, accumulate);
        let sum = accumulate ? 0.75 : 0;
        for (let i = 0; i < n; i++) sum += a.values[i]! * (second ? second.values[i]! : 1);
        // One rounding to f32 and nothing else: the scale is the result alone.
        const got = run.read(out.address, 1, "f32")[0]!;
        if (!(Math.abs(got - sum) <= 6.1e-8 * Math.abs(sum) + 1e-12 * n)) throw new Error(`dot of ${n}: ${got}, expected ${sum}`);
      }
    }
  }
  const out = run.input([5], { dtype: "f32" }), bad = run.input([1, NaN, 2]), big = run.input([1, Infinity]);
  ops.dot(code, out.address, 0, 0, 0, 1);
  assertEquals(run.read(out.address, 1, "f32")[0], 5);
  ops.dot(code, out.address, 0, 0, 0, 0);
  assertEquals(run.read(out.address, 1, "f32")[0], 0);
  ops.dot(code, out.address, bad.address, 0, 3, 0);
  assertEquals(run.read(out.address, 1, "f32")[0], NaN);
  ops.dot(code, out.address, big.address, 0, 2, 0);
  assertEquals(run.read(out.address, 1, "f32")[0], Infinity);
  assertThrows(() => ops.dot(code, 0, bad.address, 0, 3, 0), RangeError);
  assertThrows(() => ops.dot(code, out.address, 0, 0, 3, 0), RangeError);
  assertThrows(() => ops.dot(code, out.address, bad.address, 0, -3, 0), RangeError);
});

opTest("dot gives equal bits for any number of threads", (run) => {
  const n = run.small ? 3001 : 300_007;
  const a = run.input(run.random.normal(n)), b = run.input(run.random.normal(n));
  assertDeterministic(run, () => {
    const out = run.output(1, { dtype: "f32" });
    run.device.ops.dot(run.dtypeCode, out, a.address, b.address, n, 0);
    return run.bytes(out, 4);
  });
});
