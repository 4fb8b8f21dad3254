import { type Address, plus } from "../ffi/address.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CpuDevice } from "../ffi/cpu_device.ts";
import type { Device } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { openDevice } from "../ffi/open.ts";

const F32 = 0;
// Loaded here, since a library that a test loads counts as its leak.
CpuDevice.open({ blas: "system" })[Symbol.dispose]();

/** Uploads f32 values. */
function upload(device: Device, values: Float32Array<ArrayBuffer>): Address {
  const address = device.alloc(values.byteLength);
  device.write(address, values);
  return address;
}

Deno.test("the device describes its parts", () => {
  using device = CpuDevice.open();
  assertEquals([device.kind, device.name, device.ordinal, device.batchInvariant], ["cpu", "cpu", -1, true]);
  assertMatch(device.description, /^cpu: \d+ cores, \d+-bit SIMD, GEMM by /);
  assert(device.threads >= 1);
  assertEquals(device.ops.abiVersion(), 3);
});

Deno.test("bytes are read back as they were written, even through views", () => {
  using device = CpuDevice.open();
  const address = device.alloc(64);
  const backing = new Uint8Array(100).map((_, i) => i);
  device.write(plus(address, 3), backing.subarray(10, 20));
  const out = new Uint8Array(30);
  device.read(out.subarray(5, 15), plus(address, 3));
  assertEquals([...out.subarray(5, 15)], [...backing.subarray(10, 20)]);
  assertEquals([out[4], out[15]], [0, 0]);
  device.free(address);
});

Deno.test("memory beyond the budget is an OutOfMemory that names the sizes asked, used and free", () => {
  using device = CpuDevice.open();
  const before = device.memory();
  try {
    device.setBudget(before.used + 1_000_000);
    const held = device.alloc(600_000);
    const error = assertThrows(() => device.alloc(500_000), KedgeError, "Cannot allocate 500000 bytes on cpu");
    const { used, free, budget } = device.memory();
    assertEquals([error.code, error.details], ["OutOfMemory", { asked: 500_000, used, free, budget }]);
    for (const size of [used, free, budget]) assert(error.message.includes(`${size}`), error.message);
    assertEquals([used, free, budget], [before.used + 600_000, 400_000, before.used + 1_000_000]);
    device.free(held);
    device.free(device.alloc(500_000)); // the device still works
  } finally {
    device.setBudget(before.budget);
  }
});

Deno.test("a second free, or a free of unallocated memory, is an error and changes nothing", () => {
  using device = CpuDevice.open();
  const address = device.alloc(100);
  device.free(address);
  const before = device.memory();
  for (const wrong of [address, 12_345 as Address]) {
    const error = assertThrows(() => device.free(wrong), KedgeError, `Cannot free ${wrong} on cpu`);
    assertEquals(error.code, "Device");
  }
  assertEquals(device.memory(), before);
});

Deno.test("the account follows allocations, and the peak counts since its reset", () => {
  using device = CpuDevice.open();
  device.resetPeak();
  const before = device.memory();
  assertEquals(before.peak, before.used);
  const [a, b] = [device.alloc(5000), device.alloc(7000)];
  device.free(a);
  const { used, peak, allocations } = device.memory();
  assertEquals([used, peak, allocations], [before.used + 7000, before.used + 12_000, before.allocations + 1]);
  device.free(b);
  assertEquals(device.memory().used, before.used);
});

Deno.test("an op that needs a workspace gets it, and closing frees it", () => {
  const before = CpuDevice.open().memory();
  const device = CpuDevice.open();
  const rows = 4000, dim = 300;
  const dy = upload(device, new Float32Array(rows * dim).fill(1)), out = upload(device, new Float32Array(dim));
  device.ops.biasGrad(F32, out, dy, dim, rows, dim);
  const sums = new Float32Array(dim);
  device.read(sums, out);
  assertEquals([sums[0], sums[dim - 1]], [rows, rows]);
  device.free(dy);
  device.free(out);
  device[Symbol.dispose]();
  device[Symbol.dispose](); // the second call has no effect
  assertEquals(device.memory().used, before.used);
  assertThrows(() => device.alloc(1), KedgeError, "this device was closed");
});

Deno.test("a caller's mistake is a RangeError with the op's name and message", () => {
  using device = CpuDevice.open();
  assertThrows(() => device.ops.fill(F32, 0, 10, 1), RangeError, "Cannot run fill: ");
  assertThrows(() => device.threads = 0, RangeError, "Cannot set the threads: 0");
});

Deno.test("gemm gives the same with the system's CBLAS, the built-in one, any threads, for all transposes", () => {
  using device = CpuDevice.open({ blas: "system" });
  using builtin = CpuDevice.open({ blas: "builtin" });
  assertEquals(builtin.blas.name, "built-in");
  const m = 70, n = 50, k = 90; // larger than the size below which both use the built-in one
  const a = upload(device, Float32Array.from({ length: m * k }, (_, i) => Math.sin(i))), c = device.alloc(4 * m * n);
  const b = upload(device, Float32Array.from({ length: k * n }, (_, i) => Math.cos(3 * i)));
  const run = (on: CpuDevice, transA: boolean, transB: boolean) => {
    on.ops.fill(F32, c, m * n, 2);
    on.gemm({ dtype: "f32", a, lda: transA ? m : k, transA, b, ldb: transB ? k : n, transB, c, ldc: n, m, n, k, alpha: 0.5, beta: 3 });
    const out = new Float32Array(m * n);
    on.read(out, c);
    return out;
  };
  for (const transA of [false, true]) {
    for (const transB of [false, true]) {
      const ours = run(builtin, transA, transB), theirs = run(device, transA, transB);
      for (let i = 0; i < ours.length; i++) {
        assert(Math.abs(ours[i]! - theirs[i]!) <= 1e-4, `${transA} ${transB} [${i}]: ${ours[i]} ${theirs[i]}`);
      }
    }
  }
  const bad = { dtype: "f32", a, lda: 1, b, ldb: n, c, ldc: n, m, n, k } as const;
  for (const on of [device, builtin]) assertThrows(() => on.gemm(bad), RangeError);
  for (const address of [a, b, c]) device.free(address);
});

Deno.test("a device of one thread leaves the CBLAS, whose threads are the process's, to the others", () => {
  using all = CpuDevice.open({ blas: "system" });
  using one = CpuDevice.open({ threads: 1, blas: "system" });
  if (all.threads > 1) assertEquals(one.blas.name, "built-in");
  one.threads = all.threads;
  assertEquals(one.blas, all.blas);
});

Deno.test("a CBLAS that does not load is an error, and is not replaced silently", () => {
  assertThrows(() => CpuDevice.open({ blas: "/no/such/libblas.so" }), Error, "libblas");
});

Deno.test("devices open by name", () => {
  using device = openDevice("cpu", { threads: 1 });
  assertEquals([device.kind, (device as CpuDevice).threads], ["cpu", 1]);
  for (const name of ["gpu", "cuda:", "cuda:x", "cpu:0", ""]) assertThrows(() => openDevice(name), RangeError, "Cannot open the device");
});
