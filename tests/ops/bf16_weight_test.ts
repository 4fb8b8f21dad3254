import { assert, assertEquals, assertThrows } from "@std/assert";
import { plus } from "../../ffi/address.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { bf16ToNumber, type OpRun, opTest, toBf16 } from "./harness.ts";

const CPU_ALONE = { dtypes: ["f32"], except: { emu: "the CPU's alone", fake: "the CPU's alone", cuda: "the CPU's alone" } } as const;

/** W [n, k] of bf16 numbers: as f32 rows, and packed. */
function weight(run: OpRun, n: number, k: number) {
  const drawn = run.random.normal(Math.min(n * k, 4099));
  const plain = run.input(Float64Array.from({ length: n * k }, (_, i) => bf16ToNumber(toBf16(drawn[i % 4099]!))));
  const packed = run.buffer(run.device.host.bf16PackedBytes(n, k));
  run.device.host.bf16Pack(packed, n, k, plain.address, DTYPES.f32, k, 0, n);
  return { plain, packed };
}

const drawnSize = (run: OpRun, most: number) => 1 + run.random.integer(0, most);

opTest("bf16 weight: both products have the bits of the f32 GEMM, for few and many rows, odd sizes and any number of threads", (run) => {
  const { device } = run, { ops, host } = device;
  assert(device instanceof CpuDevice);
  const threads = device.threads;
  const sizes = [[1, 5, 3], [1, 200, 700], [2, 97, 260], [3, 70, 40], [6, 16, 256], [12, 128, 257], [13, 33, 300], [40, 129, 520], [
    300,
    77,
    530,
  ], [289, 300, 64]] as [number, number, number][];
  for (let i = 0; i < 12; i++) sizes.push([drawnSize(run, i % 4 === 0 ? 320 : 24), drawnSize(run, 300), drawnSize(run, 600)]);
  try {
    for (const [m, n, k] of sizes) {
      const { plain, packed } = weight(run, n, k);
      for (const turned of [false, true]) {
        const [columns, terms] = turned ? [k, n] : [n, k], gap = run.random.integer(0, 3), lda = terms + gap, ldc = columns + gap;
        const a = run.input(run.random.normal(m * lda)), start = run.random.normal(m * ldc);
        for (const [alpha, beta] of [[1, 0], [1, 1], [0.3, 0.7]] as const) {
          const [expected, found] = [run.input(start), run.input(start)];
          device.threads = threads;
          // deno-fmt-ignore
          ops.gemm(DTYPES.f32, expected.address, DTYPES.f32, ldc, a.address, lda, 0, plain.address, k, turned ? 0 : 1, m, columns, terms, alpha, beta);
          device.threads = 1 + run.random.integer(0, 4);
          host.bf16Gemm(found.address, ldc, a.address, lda, packed, Number(turned), m, n, k, alpha, beta);
          const what = `${m} rows by [${n}, ${k}], turned: ${turned}, alpha ${alpha}, beta ${beta}`;
          assertEquals(run.bytes(found.address, m * ldc * 4), run.bytes(expected.address, m * ldc * 4), what);
        }
      }
    }
  } finally {
    device.threads = threads;
  }
}, CPU_ALONE);

opTest("bf16 weight: rows packed in any pieces and from any type come back, rounded to nearest even", (run) => {
  const { host } = run.device;
  for (let repeat = 0; repeat < 20; repeat++) {
    const n = drawnSize(run, 150), k = drawnSize(run, 600), gap = run.random.integer(0, 3), ld = k + gap;
    const numbers = run.random.normal(n * ld), source = run.input(numbers);
    const narrow = run.input(numbers, { dtype: "bf16" });
    const packed = run.buffer(host.bf16PackedBytes(n, k));
    for (let row = 0; row < n;) { // as a fused weight comes, part by part
      const rows = Math.min(n - row, 1 + run.random.integer(0, 70)), wide = run.random.integer(0, 2) === 0;
      const at = plus((wide ? source : narrow).address, row * ld * (wide ? 4 : 2));
      host.bf16Pack(packed, n, k, at, wide ? DTYPES.f32 : DTYPES.bf16, ld, row, rows);
      row += rows;
    }
    const expected = Float64Array.from({ length: n * k }, (_, i) => narrow.values[Math.floor(i / k) * ld + i % k]!);
    const all = run.output(n * k), some = run.output(3 * (k + 2), { dtype: "bf16" }), first = run.random.integer(0, n);
    host.bf16Rows(all, DTYPES.f32, k, packed, n, k, 0, 0, n);
    assertEquals(run.read(all, n * k), expected, `${n} x ${k}`);
    const index = Int32Array.of(first, -1, n - 1);
    host.bf16Rows(some, DTYPES.bf16, k + 2, packed, n, k, run.integers(index), 0, 3);
    const rows = run.read(some, 3 * (k + 2), "bf16");
    for (const [i, row] of index.entries()) {
      const wanted = row < 0 ? new Float64Array(k) : expected.slice(row * k, (row + 1) * k);
      assertEquals(rows.slice(i * (k + 2), i * (k + 2) + k), wanted, `row ${row}`);
    }
  }
}, CPU_ALONE);

opTest("bf16 weight: f16 rows are rounded to bf16, and what is not finite stays so", (run) => {
  const { host, ops } = run.device, k = 40, n = 33;
  const special = [NaN, Infinity, -Infinity, 65504, -65504, 6e-8, -0, 1 + 2 ** -10];
  const numbers = Float64Array.from(run.random.normal(n * k), (x, i) => i % 5 === 0 ? special[i / 5 % special.length]! : x);
  const wide = run.input(numbers), half = run.buffer(2 * n * k), packed = run.buffer(host.bf16PackedBytes(n, k)), out = run.output(n * k);
  ops.cast(half, DTYPES.f16, wide.address, DTYPES.f32, n * k);
  host.bf16Pack(packed, n, k, half, DTYPES.f16, k, 0, n);
  host.bf16Rows(out, DTYPES.f32, k, packed, n, k, 0, 0, n);
  const exact = run.output(n * k), narrow = run.output(n * k, { dtype: "bf16" });
  ops.cast(exact, DTYPES.f32, half, DTYPES.f16, n * k);
  ops.cast(narrow, DTYPES.bf16, exact, DTYPES.f32, n * k);
  assertEquals(run.read(out, n * k), run.read(narrow, n * k, "bf16"));
}, CPU_ALONE);

opTest("bf16 weight: a bad argument is refused and nothing is written", (run) => {
  const { host } = run.device, x = run.output(4096), before = run.bytes(x, 4096 * 4);
  const at = plus(x, 8192);
  for (
    const call of [
      () => host.bf16Pack(plus(x, 4), 2, 3, at, DTYPES.f32, 3, 0, 2),
      () => host.bf16Pack(0, 2, 3, at, DTYPES.f32, 3, 0, 2),
      () => host.bf16Pack(x, 2, 3, at, DTYPES.f32, 2, 0, 2),
      () => host.bf16Pack(x, 2, 3, at, DTYPES.f32, 3, 1, 2),
      () => host.bf16Pack(x, 2, 3, at, DTYPES.f32, 3, -1, 2),
      () => host.bf16Pack(x, -2, 3, at, DTYPES.f32, 3, 0, 0),
      () => host.bf16Gemm(at, 2, at, 3, plus(x, 4), 0, 1, 2, 3, 1, 0),
      () => host.bf16Gemm(at, 1, at, 3, x, 0, 1, 2, 3, 1, 0),
      () => host.bf16Gemm(at, 2, at, 2, x, 0, 1, 2, 3, 1, 0),
      () => host.bf16Gemm(at, 2, at, 2, x, 1, 1, 2, 3, 1, 0),
      () => host.bf16Rows(at, DTYPES.f32, 2, x, 2, 3, 0, 0, 2),
      () => host.bf16Rows(at, DTYPES.f32, 3, x, 2, 3, 0, 1, 2),
      () => host.bf16Rows(at, DTYPES.f32, 3, x, 2, 3, run.integers(Int32Array.of(2)), 0, 1),
    ]
  ) assertThrows(call, RangeError, undefined, call.toString());
  for (
    const call of [
      () => host.bf16Pack(x, 2, 3, at, DTYPES.i32, 3, 0, 2),
      () => host.bf16Rows(at, DTYPES.f16, 3, x, 2, 3, 0, 0, 2),
    ]
  ) assertEquals((assertThrows(call, KedgeError) as KedgeError).code, "Unsupported");
  assertEquals(run.bytes(x, 4096 * 4), before);
  const c = run.input(new Float64Array(6).fill(NaN));
  host.bf16Gemm(c.address, 3, 0, 0, 0, 0, 2, 3, 0, 1, 0);
  assertEquals([...run.read(c.address, 6), host.bf16PackedBytes(0, 7)], [0, 0, 0, 0, 0, 0, 0], "no terms");
}, CPU_ALONE);
