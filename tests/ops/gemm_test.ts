import { type Address, plus } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { type DType, DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { type Input, type OpRun, opTest } from "./harness.ts";

interface Shape {
  m: number;
  n: number;
  k: number;
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
  beta?: number;
  /** Elements between the end of a row and the next one. */
  gap?: number;
  /** Elements by which the addresses are off. */
  shift?: number;
  cDtype?: DType;
}

interface Matrix extends Input {
  readonly stride: number;
}

const OPERANDS = [[false, false], [false, true], [true, false], [true, true]] as const;

/** Rows of normal values; the gaps between them hold NaN, which must not be read. */
function matrix(run: OpRun, rows: number, width: number, options: { gap?: number; shift?: number; dtype?: DType } = {}): Matrix {
  const { gap = 0, shift = 0, dtype = run.dtype } = options;
  const stride = width + gap;
  const drawn = run.random.normal(Math.min(rows * stride, 4099)); // repeated: 4099 is a prime, so rows still differ
  const values = Float64Array.from({ length: rows * stride }, (_, i) => drawn[i % 4099]!);
  for (let i = 0; i < rows; i++) values.fill(NaN, i * stride + width, (i + 1) * stride);
  return { ...run.input(values, { dtype, misalign: shift * DTYPE_BYTES[dtype] }), stride };
}

/** A and B of a shape, as stored. */
function operands(run: OpRun, { m, n, k, transA, transB, gap = 0, shift = 0 }: Shape): { a: Matrix; b: Matrix } {
  return {
    a: matrix(run, transA ? k : m, transA ? m : k, { gap, shift }),
    b: matrix(run, transB ? n : k, transB ? k : n, { gap: gap && gap + 2, shift }),
  };
}

/** alpha op(A) op(B) + beta C in float64, [m, n] without gaps. */
function reference(shape: Shape, a: Matrix, b: Matrix, c: { values: Float64Array; stride: number }): Float64Array {
  const { m, n, k, transA, transB, alpha = 1, beta = 0 } = shape;
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const x = alpha * (transA ? a.values[p * a.stride + i]! : a.values[i * a.stride + p]!);
      const at = transB ? p : p * b.stride, step = transB ? b.stride : 1;
      for (let j = 0; j < n; j++) out[i * n + j]! += x * b.values[at + j * step]!;
    }
    if (beta !== 0) { for (let j = 0; j < n; j++) out[i * n + j]! += beta * c.values[i * c.stride + j]!; }
  }
  return out;
}

function multiply(
  run: OpRun,
  shape: Shape,
  a: { address: Address; stride: number },
  b: { address: Address; stride: number },
  c: Matrix,
): void {
  const { m, n, k, transA, transB, alpha = 1, beta = 0, cDtype = run.dtype } = shape;
  // deno-fmt-ignore
  run.device.ops.gemm(run.dtypeCode, c.address, DTYPES[cDtype], c.stride, a.address, a.stride, Number(transA ?? 0), b.address, b.stride,
    Number(transB ?? 0), m, n, k, alpha, beta);
}

/** Rows of a strided matrix behind one another. */
function dense(values: Float64Array, rows: number, width: number, stride: number): Float64Array {
  return Float64Array.from({ length: rows * width }, (_, i) => values[Math.floor(i / width) * stride + i % width]!);
}

/** One product against the reference; the gaps of C must stay as they are. */
function check(run: OpRun, shape: Shape): void {
  const { m, n, k, gap = 0, shift = 0, cDtype = run.dtype } = shape;
  const { a, b } = operands(run, shape);
  const c = matrix(run, m, n, { gap, shift, dtype: cDtype });
  multiply(run, shape, a, b, c);
  const actual = run.read(c.address, m * c.stride, cDtype);
  const what = JSON.stringify(shape);
  run.close(dense(actual, m, n, c.stride), reference(shape, a, b, c), { what, factor: k > 500 ? 2 : 1 });
  for (let i = 0; i < m; i++) {
    for (let j = n; j < c.stride; j++) assert(Number.isNaN(actual[i * c.stride + j]!), `${what}: the gap behind row ${i} was written`);
  }
}

opTest("gemm: equals the reference for odd shapes, strides, addresses and transposes", (run) => {
  const sizes = run.small ? [1, 3, 7, 17] : [1, 2, 3, 5, 7, 13, 16, 17, 31, 97];
  const pick = () => sizes[run.random.integer(0, sizes.length)]!;
  for (let repeat = 0; repeat < (run.small ? 2 : 30); repeat++) {
    for (const [transA, transB] of OPERANDS) {
      check(run, { m: pick(), n: pick(), k: pick(), transA, transB, gap: run.random.integer(0, 4), shift: run.random.integer(0, 4) });
    }
  }
});

opTest("gemm: equals the reference where a size crosses the blocks", (run) => {
  const shapes = run.small
    ? [[33, 5, 3], [3, 65, 5], [5, 3, 67]] as const
    : [[151, 37, 300], [150, 1040, 1030], [130, 20, 1900], [1, 130, 515], [2, 97, 257], [3, 1030, 40], [29, 64, 256], [
      289,
      49,
      513,
    ]] as const;
  for (const [m, n, k] of shapes) {
    const all = m * n * k < 3e6 ? OPERANDS : [OPERANDS[run.random.integer(0, 4)]!];
    for (const [transA, transB] of all) check(run, { m, n, k, transA, transB, gap: 1 });
  }
});

opTest("gemm: alpha and beta", (run) => {
  for (const [m, n, k] of run.small ? [[3, 5, 7]] as const : [[3, 5, 7], [150, 33, 300], [20, 70, 270]] as const) {
    for (const alpha of [1, 0, -0.5, 1.25]) {
      for (const beta of [0, 1, -1, 0.75]) check(run, { m, n, k, transB: true, alpha, beta, gap: 2 });
    }
  }
});

opTest("gemm: C may be f32 where A and B are not", (run) => {
  for (const beta of [0, 0.5]) check(run, { m: 5, n: 7, k: 11, beta, gap: 1, cDtype: "f32" });
});

opTest("gemm: an empty sum gives beta C, an empty product nothing", (run) => {
  for (const beta of [0, 1, 0.5]) {
    check(run, { m: 5, n: 3, k: 0, beta, gap: 1 });
    check(run, { m: 5, n: 3, k: 0, beta, transA: true, transB: true });
  }
  check(run, { m: 0, n: 3, k: 2 });
  check(run, { m: 3, n: 0, k: 2 });
  run.device.ops.gemm(run.dtypeCode, 0, run.dtypeCode, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2, 1, 0);
});

opTest("gemm: non-finite values go where they belong and nowhere else", (run) => {
  for (const [m, n, k] of run.small ? [[5, 7, 3]] as const : [[5, 7, 3], [5, 33, 300], [151, 19, 40]] as const) {
    for (const [transA, transB] of OPERANDS) {
      const a = run.random.normal(m * k), b = run.random.normal(k * n), row = m - 2, column = n - 2;
      a[transA ? row : row * k] = NaN; // element (row, 0)
      b[transB ? column * k : column] = Infinity; // element (0, column)
      const c = { ...run.input(new Float64Array(m * n).fill(NaN)), stride: n };
      const left = { ...run.input(a), stride: transA ? m : k }, right = { ...run.input(b), stride: transB ? k : n };
      multiply(run, { m, n, k, transA, transB }, left, right, c);
      const actual = run.read(c.address, m * n);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          const x = actual[i * n + j]!;
          if (i === row) assert(Number.isNaN(x), `[${i}, ${j}] is ${x}, a NaN of A was lost`);
          else if (j === column) assert(Math.abs(x) === Infinity, `[${i}, ${j}] is ${x}, an infinity of B was lost`);
          else assert(Number.isFinite(x), `[${i}, ${j}] is ${x}, where all inputs are finite`);
        }
      }
    }
  }
});

opTest("gemm: a row's bits do not depend on the other rows, nor a column's on the other columns", (run) => {
  const [m, n, k] = run.small ? [9, 11, 35] as const : [64, 133, 700] as const;
  const bytes = DTYPE_BYTES[run.dtype];
  for (const [transA, transB] of OPERANDS) {
    const { a, b } = operands(run, { m, n, k, transA, transB });
    const whole = matrix(run, m, n), one = matrix(run, 1, n), part = matrix(run, m, n);
    multiply(run, { m, n, k, transA, transB }, a, b, whole);
    const expected = run.bytes(whole.address, m * n * bytes);
    for (const i of [0, 1, m >> 1, m - 1]) {
      const row = { address: plus(a.address, (transA ? i : i * k) * bytes), stride: a.stride };
      multiply(run, { m: 1, n, k, transA, transB }, row, b, one);
      assertEquals(run.bytes(one.address, n * bytes), expected.slice(i * n * bytes, (i + 1) * n * bytes), `row ${i} alone`);
    }
    // Rows and columns from the second on: another tile, and another position in it.
    const left = { address: plus(a.address, (transA ? 1 : k) * bytes), stride: a.stride };
    const right = { address: plus(b.address, (transB ? k : 1) * bytes), stride: b.stride };
    multiply(run, { m: m - 1, n: n - 1, k, transA, transB }, left, right, { ...part, stride: n });
    for (let i = 1; i < m; i++) {
      const found = run.bytes(plus(part.address, (i - 1) * n * bytes), (n - 1) * bytes);
      assertEquals(found, expected.slice((i * n + 1) * bytes, (i + 1) * n * bytes), `row ${i} of the part`);
    }
  }
});

opTest("gemm: a large product has the bits of its rows", (run) => {
  const m = 200, n = 70, k = 300;
  const { a, b } = operands(run, { m, n, k, transB: true });
  const whole = matrix(run, m, n), few = matrix(run, 7, n);
  const shape = { n, k, transB: true, alpha: 0.3, beta: 0 };
  multiply(run, { m, ...shape }, a, b, whole);
  for (const i of [0, 100, 193]) {
    multiply(run, { m: 7, ...shape }, { address: plus(a.address, i * k * 4), stride: k }, b, few);
    assertEquals(run.bytes(few.address, 7 * n * 4), run.bytes(plus(whole.address, i * n * 4), 7 * n * 4));
  }
}, { dtypes: ["f32"], except: { emu: "too large" } });

opTest("gemm: equal bits for 1, 2, 3 and 7 threads and over 50 repeats", (run) => {
  const device = run.device;
  assert(device instanceof CpuDevice);
  const threads = device.threads;
  try {
    for (const [m, n, k] of [[1, 900, 700], [20, 500, 300], [200, 150, 530], [300, 1100, 80]] as const) {
      const shape = { m, n, k, transA: true, transB: true, alpha: 0.7 };
      const { a, b } = operands(run, shape);
      const c = matrix(run, m, n);
      device.threads = 1;
      multiply(run, shape, a, b, c);
      const expected = run.bytes(c.address, m * n * 4);
      for (let repeat = 0; repeat < 50; repeat++) {
        device.threads = [2, 3, 7, 1][repeat % 4]!;
        run.device.ops.fill(DTYPES.f32, c.address, m * n, NaN);
        multiply(run, shape, a, b, c);
        const found = run.bytes(c.address, m * n * 4);
        assert(found.every((x, i) => x === expected[i]), `${m} x ${n} x ${k}: other bits with ${device.threads} threads, repeat ${repeat}`);
      }
    }
  } finally {
    device.threads = threads;
  }
}, { dtypes: ["f32"], except: { emu: "has no threads", fake: "as cpu", cuda: "has no threads" } });

opTest("gemm: B packed beforehand gives the same bits", (run) => {
  const { ops, host } = run.device;
  for (
    const [m, n, k] of [[1, 5, 3], [1, 200, 700], [2, 97, 260], [3, 70, 40], [6, 16, 256], [7, 33, 300], [40, 129, 520], [
      160,
      50,
      300,
    ]] as const
  ) {
    for (const [transA, transB] of OPERANDS) {
      const { a, b } = operands(run, { m, n, k, transA, transB, gap: 1, shift: 1 });
      const start = run.random.normal(m * n);
      const plain = run.input(start), other = run.input(start);
      const packed = run.output(host.gemmPackedBytes(n, k) / 4);
      host.gemmPack(packed, b.address, b.stride, Number(transB), n, k);
      for (const [alpha, beta] of [[1, 0], [1, 1], [0.3, 0.7]] as const) {
        // deno-fmt-ignore
        ops.gemm(DTYPES.f32, plain.address, DTYPES.f32, n, a.address, a.stride, Number(transA), b.address, b.stride, Number(transB), m, n, k, alpha, beta);
        host.gemmPacked(other.address, n, a.address, a.stride, Number(transA), packed, m, n, k, alpha, beta);
        assertEquals(run.bytes(other.address, m * n * 4), run.bytes(plain.address, m * n * 4), `${m} x ${n} x ${k}, ${transA}, ${transB}`);
      }
    }
  }
  const c = run.input(new Float64Array(6).fill(NaN));
  host.gemmPacked(c.address, 3, 0, 0, 0, 0, 2, 3, 0, 1, 0);
  assertEquals(run.read(c.address, 6), new Float64Array(6), "k = 0");
  assertEquals(host.gemmPackedBytes(0, 7), 0);
}, { dtypes: ["f32"], except: { emu: "the CPU's alone", fake: "the CPU's alone", cuda: "the CPU's alone" } });

opTest("gemm: a bad argument is a RangeError and nothing is written", (run) => {
  const good = { ldc: 3, lda: 4, transA: 0, ldb: 3, transB: 0, m: 2, n: 3, k: 4 };
  const a = run.input(run.random.normal(16)), b = run.input(run.random.normal(16)), c = run.output(12);
  const before = run.bytes(c, 12 * DTYPE_BYTES[run.dtype]);
  // deno-fmt-ignore
  const call = (g: typeof good, at: { a?: Address; b?: Address; c?: Address } = {}) =>
    run.device.ops.gemm(run.dtypeCode, at.c ?? c, run.dtypeCode, g.ldc, at.a ?? a.address, g.lda, g.transA, at.b ?? b.address, g.ldb, g.transB,
      g.m, g.n, g.k, 1, 0);
  for (
    const wrong of [
      { m: -1 },
      { n: -1 },
      { k: -1 },
      { ldc: 2 },
      { lda: 3 },
      { ldb: 2 },
      { transA: 1, lda: 1 },
      { transB: 1, ldb: 3 },
    ]
  ) assertThrows(() => call({ ...good, ...wrong }), RangeError);
  for (const at of [{ a: 0 }, { b: 0 }, { c: 0 }] as const) assertThrows(() => call(good, at), RangeError);
  assertEquals(run.bytes(c, 12 * DTYPE_BYTES[run.dtype]), before);
  call(good);
});

opTest("gemm: the processor takes f32 alone, and packed B on 64-byte addresses", (run) => {
  const { ops, host } = run.device;
  const x = run.output(64);
  for (
    const [dtype, cDtype] of [[DTYPES.bf16, DTYPES.bf16], [DTYPES.bf16, DTYPES.f32], [DTYPES.f32, DTYPES.bf16], [
      DTYPES.f16,
      DTYPES.f16,
    ]] as const
  ) {
    const error = assertThrows(() => ops.gemm(dtype, x, cDtype, 1, x, 1, 0, x, 1, 0, 1, 1, 1, 1, 0), KedgeError);
    assertEquals((error as KedgeError).code, "Unsupported");
  }
  assertThrows(() => host.gemmPack(plus(x, 4), x, 1, 0, 1, 1), RangeError);
  assertThrows(() => host.gemmPack(0, x, 1, 0, 1, 1), RangeError);
  assertThrows(() => host.gemmPack(x, x, 1, 0, 2, 1), RangeError);
  assertThrows(() => host.gemmPack(x, x, 1, 0, -1, 1), RangeError);
  assertThrows(() => host.gemmPacked(x, 1, x, 1, 0, plus(x, 4), 1, 1, 1, 1, 0), RangeError);
  assertThrows(() => host.gemmPacked(x, 1, x, 1, 0, x, 1, 2, 1, 1, 0), RangeError);
}, { dtypes: ["f32"], except: { emu: "other rules", fake: "as cpu", cuda: "other rules" } });
