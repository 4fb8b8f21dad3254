import { type Address, addressOf } from "../ffi/address.ts";
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { cacheFolder } from "../ffi/build.ts";
import { CudaDevice } from "../ffi/cuda_device.ts";
import { Cudart } from "../ffi/cudart.ts";
import { type Device, type DeviceEvent, type DType, DTYPE_BYTES } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { candidates } from "../ffi/libraries.ts";
import { openDevice } from "../ffi/open.ts";
import { FakeCuda } from "./fake_cuda/fake_cuda.ts";
import { bf16ToNumber, Random, toBf16 } from "./ops/harness.ts";

const F32 = 0;
const fake = FakeCuda.load();
// Loaded here, since a library that a test loads counts as its leak.
fake.open()[Symbol.dispose]();

/** Registers a test with a new fake. Unless `misuses` is set, the test must leave no misuse and no live objects. */
function fakeTest(name: string, body: () => void, options: { misuses?: boolean } = {}): void {
  Deno.test(name, () => {
    fake.reset();
    try {
      body();
      if (!options.misuses) {
        assertEquals(fake.violations(), []);
        assertEquals(fake.live(), { allocations: 0, pinned: 0, events: 0, streams: 0, cublas: 0, graphs: 0 });
      }
    } finally {
      fake.reset();
    }
  });
}

function upload(device: Device, values: ArrayLike<number>): Address {
  const address = device.alloc(4 * values.length);
  device.write(address, Float32Array.from(values));
  return address;
}

function download(device: Device, address: Address, n: number): number[] {
  const out = new Float32Array(n);
  device.read(out, address);
  return [...out];
}

fakeTest("an op runs through the CUDA path, and the account returns to zero", () => {
  using device = fake.open();
  assertMatch(
    device.description,
    /^cuda:0: Fake GPU, compute capability 9\.0, 2 multiprocessors, CUDA 13\.0 \(driver for 13\.2\), GEMM by cuBLAS 13/,
  );
  const a = upload(device, [1, 2, 3]), b = upload(device, [10, 20, 30]);
  device.ops.add(F32, a, a, b, 3);
  assertEquals(download(device, a, 3), [11, 22, 33]);
  assertEquals(device.memory(), { used: 24, peak: 24, free: 2 ** 30 - 24, budget: 2 ** 30, allocations: 2 });
  device.free(a);
  device.free(b);
  device.synchronize();
  assertEquals(device.memory(), { used: 0, peak: 24, free: 2 ** 30, budget: 2 ** 30, allocations: 0 });
  device.resetPeak();
  assertEquals(device.memory().peak, 0);
});

fakeTest("an op that wants a workspace gets it on the device", () => {
  using device = fake.open();
  const rows = 4000, dim = 300;
  const dy = upload(device, new Float32Array(rows * dim).fill(1)), out = upload(device, new Float32Array(dim));
  device.ops.biasGrad(F32, out, dy, dim, rows, dim);
  assertEquals(download(device, out, 1), [rows]);
  device.free(dy);
  device.free(out);
});

fakeTest("the source of a write may change at once", () => {
  using device = fake.open();
  const values = Float32Array.of(1, 2, 3), address = device.alloc(12);
  device.write(address, values);
  values.fill(9);
  assertEquals(download(device, address, 3), [1, 2, 3]);
  device.write(address, new Uint8Array(0));
  device.read(new Uint8Array(0), address);
  device.free(address);
});

fakeTest("many writes wait in the stream, more than page-locked memory holds, and each has its own bytes", () => {
  using device = fake.open();
  const sizes = [100_001, 1_000_000, 3_000_000, 1, 700_000, 2_500_000, 64, 1_800_000];
  const written = sizes.map((size, i) => {
    const values = new Uint8Array(size).map((_, j) => (j * 7 + i * 31 + (j >> 13)) & 255), address = device.alloc(size);
    const source = values.slice();
    device.write(address, source);
    source.fill(0);
    return { address, values };
  });
  for (const { address, values } of written.toReversed()) {
    const out = new Uint8Array(values.length);
    device.read(out, address);
    assert(out.every((byte, i) => byte === values[i]), `${values.length} bytes`);
    device.free(address);
  }
});

fakeTest("recorded work runs at each launch, in stream order, with what its addresses hold then", () => {
  using device = fake.open();
  const a = upload(device, [1, 2, 3]), b = upload(device, [10, 20, 30]), c = upload(device, [0]);
  const run = () => {
    device.ops.add(F32, a, a, b, 3);
    device.gemm({ dtype: "f32", a, lda: 3, b, ldb: 3, transB: true, c, ldc: 1, m: 1, n: 1, k: 3 });
  };
  run(); // the product's handle and its scratch are made at its first use
  {
    using work = device.capture!(run);
    assertEquals(download(device, a, 3), [11, 22, 33]);
    work.launch();
    device.write(b, Float32Array.of(0, 0, 1));
    work.launch();
    assertEquals([download(device, a, 3), download(device, c, 1)], [[21, 42, 64], [64]]);
    assertEquals([work.valid, fake.replays()], [true, 2]);
  }
  for (const address of [a, b, c]) device.free(address);
});

fakeTest("a recording refuses allocations, waits and copies of ordinary memory, and the device still works", () => {
  using device = fake.open();
  const a = upload(device, [1, 2, 3]), out = new Float32Array(3);
  const refused: [string, () => void][] = [
    ["allocation", () => device.alloc(100)],
    ["free", () => device.free(a)],
    ["wait", () => device.synchronize()],
    ["read", () => device.read(out, a)],
    ["event", () => void device.recordEvent()],
    ["page-locked memory", () => void device.allocPinned(10)],
  ];
  for (const [what, action] of refused) {
    const error = assertThrows(() => device.capture!(action), KedgeError, "cudaErrorStreamCaptureUnsupported", what);
    assertEquals(error.code, "Device", what);
    // What the caller of the refused action swallowed still ends the recording.
    assertThrows(
      () =>
        device.capture!(() => {
          try {
            action();
          } catch {
            device.ops.noop();
          }
        }),
      KedgeError,
      "cudaErrorStreamCaptureInvalidated",
      what,
    );
    assertEquals(download(device, a, 3), [1, 2, 3], what);
  }
  const rows = 4000, dim = 300, wide = device.alloc(4 * rows * dim), sums = device.alloc(4 * dim);
  device.ops.fill(F32, wide, rows * dim, 1);
  device.ops.fill(F32, sums, dim, 0);
  device.ops.biasGrad(F32, sums, wide, dim, rows, dim); // the workspace grows
  {
    using work = device.capture!(() => device.ops.biasGrad(F32, sums, wide, dim, rows, dim));
    work.launch();
    assertEquals([work.valid, download(device, sums, 1)], [true, [2 * rows]]);
    using wider = { address: device.alloc(8 * rows * dim), [Symbol.dispose]: () => device.free(wider.address) };
    const more = device.alloc(8 * dim);
    device.ops.fill(F32, wider.address, 2 * rows * dim, 1);
    device.ops.biasGrad(F32, more, wider.address, 2 * dim, rows, 2 * dim); // and again: what was recorded would use memory that is free now
    assertEquals(work.valid, false);
    device.free(more);
  }
  for (const address of [a, wide, sums]) device.free(address);
});

fakeTest("a copy to the host that is under way gives what the device held at its turn, and its memory is used again", () => {
  using device = fake.open();
  const a = upload(device, [1, 2, 3]), out = new Float32Array(3);
  const first = device.readLater(a, 12);
  device.write(a, Float32Array.of(4, 5, 6));
  const second = device.readLater(a, 12);
  first.take(out);
  assertEquals([...out], [1, 2, 3]);
  assertThrows(() => first.take(out), RangeError, "Cannot take what was read");
  second.take(out);
  assertEquals([...out], [4, 5, 6]);
  for (let i = 0; i < 5; i++) device.readLater(a, 12)[Symbol.dispose]();
  assertEquals(fake.live().pinned, 3); // two for these copies, one for writes
  device.free(a);
});

fakeTest("a synchronous device names the op that failed", () => {
  const device = CudaDevice.open({ synchronous: true, libraries: { cudart: fake.path, cublas: fake.path, kernels: fake.path } });
  assertMatch(device.description, /, synchronous$/);
  const address = device.alloc(400);
  fake.defer = true;
  fake.failLaunch(2);
  device.ops.fill(F32, address, 100, 1);
  const error = assertThrows(() => device.ops.scaleAdd(F32, address, address, 100, 2, 0, 0), KedgeError);
  assertMatch(error.message, /^Cannot run scaleAdd on cuda:0: cudaErrorIllegalAddress: .* The device is lost to this process/);
  assertThrows(() => device[Symbol.dispose](), KedgeError);
}, { misuses: true });

fakeTest("copies beyond an allocation are refused with the driver's message", () => {
  using device = fake.open();
  const address = device.alloc(12);
  const error = assertThrows(
    () => device.write(address, new Uint8Array(13)),
    KedgeError,
    "Cannot write 13 bytes to cuda:0: cudaErrorInvalidValue: ",
  );
  assertEquals([error.code, error.details], ["Device", { cuda: 1, sticky: false }]);
  assertThrows(() => device.read(new Uint8Array(13), address), KedgeError, "Cannot read 13 bytes from cuda:0");
  device.free(address);
});

fakeTest("running out of memory twice is an OutOfMemory that names the sizes, and the device still works", () => {
  using device = fake.open();
  const held = device.alloc(1000);
  fake.failAlloc(2, 2);
  device.free(device.alloc(10));
  const error = assertThrows(
    () => device.alloc(5000),
    KedgeError,
    "Cannot allocate 5000 bytes on cuda:0: 1000 of 1073741824 bytes are used",
  );
  assertEquals([error.code, error.details], ["OutOfMemory", { asked: 5000, used: 1000, free: 2 ** 30 - 1000, budget: 2 ** 30 }]);
  device.free(device.alloc(5000));
  device.free(held);
});

fakeTest("running out of memory once is retried after a synchronisation and a trim", () => {
  using device = fake.open();
  fake.failAlloc(1);
  device.free(device.alloc(5000));
  fake.memory = 1_000_000;
  const first = device.alloc(800_000);
  device.free(first); // in stream order: not yet back
  device.free(device.alloc(800_000));
});

fakeTest("a workspace that cannot grow fails the op, and the op works later", () => {
  using device = fake.open();
  const rows = 4000, dim = 300;
  const dy = upload(device, new Float32Array(rows * dim).fill(1)), out = upload(device, new Float32Array(dim));
  fake.failAlloc(1, 2);
  const error = assertThrows(() => device.ops.biasGrad(F32, out, dy, dim, rows, dim), KedgeError);
  assertEquals(error.code, "OutOfMemory");
  device.ops.biasGrad(F32, out, dy, dim, rows, dim);
  assertEquals(download(device, out, 1), [rows]);
  device.free(dy);
  device.free(out);
});

fakeTest("a kernel's failure is reported at the next synchronisation with the driver's message, and the device stays unusable", () => {
  const device = fake.open();
  const address = device.alloc(400);
  fake.defer = true;
  fake.failLaunch(2);
  device.ops.fill(F32, address, 100, 1);
  device.ops.fill(F32, address, 100, 2);
  const words = "cudaErrorIllegalAddress: an illegal memory access was encountered. The device is lost to this process";
  const error = assertThrows(() => device.synchronize(), KedgeError, `Cannot finish the work on cuda:0: ${words}`);
  assertEquals([error.code, error.details], ["Device", { cuda: 700, sticky: true }]);
  assertThrows(() => device.read(new Uint8Array(4), address), KedgeError, words);
  assertThrows(() => device.alloc(4), KedgeError, words);
  assertThrows(() => device.ops.fill(F32, address, 1, 1), KedgeError, "Cannot run fill: ");
  assertThrows(() => device[Symbol.dispose](), KedgeError, words);
  assertThrows(() => device.alloc(4), KedgeError, "this device was closed");
}, { misuses: true });

fakeTest("a kernel that runs later has the block of arguments it was called with", () => {
  using device = fake.open();
  // Two keys, at 1 and 0 along the query: the higher the scale, the more of the first value.
  const q = upload(device, Float32Array.of(1, 0, 0, 0)), k = upload(device, Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  const v = upload(device, Float32Array.of(1, 1, 1, 1, 0, 0, 0, 0)), lse = upload(device, new Float32Array(1));
  const table = device.alloc(32), outs = [1, 2, 3].map(() => upload(device, new Float32Array(4)));
  device.write(table, Int32Array.of(0, 1, 0, 2, -1, 0, 0, 0));
  const sizes = { qStride: 4, kStride: 4, vStride: 4, outStride: 4, nSegments: 1, maxQ: 1, maxKv: 2, qTokens: 1, kvTokens: 2 };
  const attend = (scale: number, out: Address) => {
    const shape = { ...sizes, heads: 1, kvHeads: 1, headDim: 4, scale, causal: 0 };
    device.ops.attentionFwd(F32, shape, out, lse, q, k, v, table);
  };
  attend(1, outs[0]!); // the workspace must grow here, which a waiting kernel prevents
  fake.defer = true;
  outs.forEach((out, i) => attend(i, out));
  outs.forEach((out, i) => assertAlmostEquals(download(device, out, 1)[0]!, 1 / (1 + Math.exp(-i)), 1e-6));
  for (const address of [q, k, v, lse, table, ...outs]) device.free(address);
});

fakeTest("a second free is an error, and so is freeing memory of another device", () => {
  using device = fake.open();
  const address = device.alloc(100);
  device.free(address);
  for (const wrong of [address, 12_345 as Address]) {
    assertThrows(() => device.free(wrong), KedgeError, `Cannot free ${wrong} on cuda:0: cudaErrorInvalidValue`);
  }
  assertEquals(device.memory().allocations, 0);
});

/** Runs a body with two streams of one device, as two actors have them. */
function twoStreams(body: (first: CudaDevice, second: CudaDevice) => void): void {
  using first = fake.open();
  using second = fake.open();
  fake.defer = true;
  body(first, second);
}

fakeTest("another stream's work is visible after waiting for its event", () =>
  twoStreams((producer, consumer) => {
    const x = producer.alloc(40), y = consumer.alloc(40);
    producer.ops.fill(F32, x, 10, 4);
    const event = producer.recordEvent();
    consumer.waitEvent(event);
    consumer.freeEvent(event);
    consumer.ops.copy(y, x, 40);
    assertEquals(download(consumer, y, 2), [4, 4]);
    const read = consumer.recordEvent();
    producer.waitEvent(read);
    producer.freeEvent(read);
    producer.free(x);
    consumer.free(y);
    consumer.waitEvent(0);
    consumer.freeEvent(0);
  }));

fakeTest("memory may be freed on another stream than its own, in order", () =>
  twoStreams((producer, consumer) => {
    const x = producer.alloc(40);
    producer.ops.fill(F32, x, 10, 4);
    const event = producer.recordEvent();
    consumer.waitEvent(event);
    producer.freeEvent(event);
    consumer.free(x);
    consumer.synchronize();
    assertEquals(producer.memory().used, 0);
  }));

fakeTest("the fake detects a read that does not wait, which reads old bytes", () =>
  twoStreams((producer, consumer) => {
    const x = producer.alloc(40), y = consumer.alloc(40);
    producer.ops.fill(F32, x, 10, 4);
    consumer.ops.copy(y, x, 40);
    assert(download(consumer, y, 1)[0] !== 4);
    assertMatch(fake.violations().join(), /kedge_copy reads 0x[0-9a-f]+ without waiting for the stream that wrote it/);
  }), { misuses: true });

fakeTest("the fake detects a write over data that another stream still reads", () =>
  twoStreams((producer, consumer) => {
    const x = producer.alloc(40), y = consumer.alloc(40);
    producer.ops.fill(F32, x, 10, 4);
    consumer.waitEvent(producer.recordEvent());
    consumer.ops.copy(y, x, 40);
    producer.ops.fill(F32, x, 10, 5);
    assertMatch(fake.violations().join(), /kedge_fill writes 0x[0-9a-f]+, which another stream may still read/);
  }), { misuses: true });

fakeTest("the fake detects freeing memory that another stream still uses, and a use after free", () =>
  twoStreams((producer, consumer) => {
    const x = producer.alloc(40);
    const event = producer.recordEvent();
    consumer.waitEvent(event);
    consumer.ops.fill(F32, x, 10, 4);
    producer.free(x);
    assertMatch(fake.violations().join(), /a free writes 0x[0-9a-f]+ without waiting/);
    consumer.ops.fill(F32, x, 10, 4);
    assertMatch(fake.violations().join(), /kedge_fill uses 0x[0-9a-f]+ after it was freed/);
  }), { misuses: true });

fakeTest("the fake detects waiting for an event that was never recorded, and destroying an event twice", () => {
  const device = fake.open();
  const out = new BigUint64Array(1), { call } = Cudart.load(fake.path);
  call.cudaEventCreateWithFlags(out, 2);
  device.waitEvent(Number(out[0]!) as DeviceEvent);
  assertMatch(fake.violations().join(), /a wait for an event that was never recorded/);
  device.freeEvent(Number(out[0]!) as DeviceEvent);
  assertThrows(() => device.freeEvent(Number(out[0]!) as DeviceEvent), KedgeError, "cudaErrorInvalidResourceHandle");
}, { misuses: true });

fakeTest("each call goes to its own device, and the fake detects memory of another device", () => {
  using first = fake.open(0);
  using second = fake.open(1);
  const x = first.alloc(40), y = second.alloc(40);
  const event = first.recordEvent(), other = second.recordEvent();
  first.freeEvent(event);
  second.freeEvent(other);
  assertEquals([first.memory().used, second.memory().used], [40, 40]);
  assertEquals(fake.violations(), []);
  second.ops.fill(F32, x, 10, 1);
  assertMatch(fake.violations().join(), /kedge_fill on device 1 uses 0x[0-9a-f]+ of device 0/);
  first.free(x);
  second.free(y);
}, { misuses: true });

fakeTest("the fake detects a host address, and allocations that are never freed", () => {
  const device = fake.open();
  device.alloc(40);
  device.recordEvent();
  const host = device.host, out = new BigUint64Array(1);
  host.hostAlloc(40, out);
  device.ops.fill(F32, addressOf(out[0]!), 10, 1);
  host.hostFree(Number(out[0]!));
  assertMatch(fake.violations().join(), /kedge_fill uses 0x[0-9a-f]+, which is no device memory/);
  assertEquals(fake.live(), { allocations: 1, pinned: 0, events: 1, streams: 1, cublas: 0, graphs: 0 });
}, { misuses: true });

fakeTest("the device can use page-locked memory, which is freed only after the device has finished with it", () => {
  using device = fake.open();
  const pinned = device.allocPinned(40), x = device.alloc(40);
  device.write(pinned, new Float32Array(10).fill(3));
  fake.defer = true;
  device.ops.copy(x, pinned, 40);
  device.ops.scaleAdd(F32, pinned, pinned, 10, 2, 0, 0);
  device.freePinned(pinned);
  assertEquals(download(device, x, 2), [3, 3]);
  assertThrows(() => device.freePinned(pinned), KedgeError, "cudaErrorInvalidValue");
  device.free(x);
});

fakeTest("with batchInvariant the product is Kedge's own: cuBLAS chooses its kernel by the batch", () => {
  using device = fake.open();
  const [a, c] = [device.alloc(16), device.alloc(16)];
  device.write(a, Float32Array.of(1, 2, 3, 4));
  const out = new Float32Array(4);
  for (const [invariant, handles] of [[true, 0], [false, 1]] as const) {
    device.batchInvariant = invariant;
    device.gemm({ dtype: "f32", a, lda: 2, b: a, ldb: 2, c, ldc: 2, m: 2, n: 2, k: 2 });
    device.read(out, c);
    assertEquals([...out], [7, 10, 15, 22]);
    assertEquals(fake.live().cublas, handles);
  }
  for (const address of [a, c]) device.free(address);
});

fakeTest("gemm is the product for every transpose, dtype and stride, and 0 rows or columns", () => {
  using device = fake.open();
  const random = new Random(7);
  const m = 5, n = 7, k = 9, lda = 12, ldb = 11, ldc = 8;
  for (const [dtype, cDtype] of [["f32", "f32"], ["bf16", "bf16"], ["bf16", "f32"]] as const) {
    for (const [transA, transB] of [[false, false], [true, false], [false, true], [true, true]] as const) {
      const av = random.normal(lda * 12), bv = random.normal(ldb * 12), cv = random.normal(ldc * m);
      const a = put(device, av, dtype), b = put(device, bv, dtype), c = put(device, cv, cDtype);
      device.gemm({ dtype, cDtype, a, lda, transA, b, ldb, transB, c, ldc, m, n, k, alpha: 0.5, beta: 2 });
      const out = get(device, c, cv.length, cDtype);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < ldc; j++) {
          let expected = cv[i * ldc + j]!;
          if (j < n) {
            expected *= 2;
            for (let l = 0; l < k; l++) expected += 0.5 * av[transA ? l * lda + i : i * lda + l]! * bv[transB ? j * ldb + l : l * ldb + j]!;
          }
          const tolerance = cDtype === "f32" ? 1e-5 : 2 ** -6;
          assert(
            Math.abs(out[i * ldc + j]! - expected) <= tolerance * (1 + Math.abs(expected)),
            `${dtype} ${transA} ${transB} [${i}, ${j}]`,
          );
        }
      }
      device.gemm({ dtype, cDtype, a, lda, b, ldb, c, ldc, m: 0, n, k });
      for (const address of [a, b, c]) device.free(address);
    }
  }
  const some = 256 as Address;
  assertThrows(() => device.gemm({ dtype: "f32", a: some, lda: 1, b: some, ldb: n, c: some, ldc: n, m, n, k }), RangeError, "lda 1");
});

/** Uploads numbers as a dtype, and rounds the given array to that dtype. */
function put(device: Device, values: Float64Array, dtype: DType): Address {
  const address = device.alloc(values.length * DTYPE_BYTES[dtype]);
  const bits = dtype === "bf16" ? Uint16Array.from(values, toBf16) : Float32Array.from(values);
  device.write(address, bits);
  values.set(dtype === "bf16" ? Float64Array.from(bits, bf16ToNumber) : Float64Array.from(bits));
  return address;
}

function get(device: Device, address: Address, n: number, dtype: DType): Float64Array {
  const bits = dtype === "bf16" ? new Uint16Array(n) : new Float32Array(n);
  device.read(bits, address);
  return dtype === "bf16" ? Float64Array.from(bits, bf16ToNumber) : Float64Array.from(bits);
}

fakeTest("a failing product and a missing device are reported", () => {
  assertThrows(() => fake.open(2), KedgeError, "Cannot open cuda:2: there are 2 devices");
  const device = fake.open();
  const a = upload(device, [1]);
  fake.failLaunch(1);
  device.gemm({ dtype: "f32", a, lda: 1, b: a, ldb: 1, c: a, ldc: 1, m: 1, n: 1, k: 1 });
  assertThrows(() => device.synchronize(), KedgeError, "cudaErrorIllegalAddress");
  assertThrows(
    () => device.gemm({ dtype: "f32", a, lda: 1, b: a, ldb: 1, c: a, ldc: 1, m: 1, n: 1, k: 1 }),
    KedgeError,
    "CUBLAS_STATUS_EXECUTION_FAILED",
  );
}, { misuses: true });

fakeTest("devices open by name over the libraries given", () => {
  const libraries = { cudart: fake.path, cublas: fake.path, kernels: fake.path };
  for (const [name, ordinal] of [["auto", 0], ["cuda", 0], ["cuda:1", 1]] as const) {
    using device = openDevice(name, { libraries });
    assertEquals([device.kind, device.ordinal, device.name], ["cuda", ordinal, `cuda:${ordinal}`]);
  }
  assertThrows(() => CudaDevice.open({ libraries: { ...libraries, cudart: "/no/such/libcudart.so" } }), Error, "libcudart");
});

Deno.test("CUDA's libraries are searched by name, in the toolkit, and in Python wheels", () => {
  const root = Deno.makeTempDirSync({ dir: cacheFolder(), prefix: "test-find-" });
  const paths = [`${root}/cuda/lib64`, `${root}/venv/lib/python3.12/site-packages/nvidia/cu13/lib`].map((folder) => {
    Deno.mkdirSync(folder, { recursive: true });
    Deno.writeTextFileSync(`${folder}/libcudart.so.13`, "");
    return `${folder}/libcudart.so.13`;
  });
  const before = ["CUDA_HOME", "VIRTUAL_ENV", "PATH"].map((name) => [name, Deno.env.get(name)] as const);
  try {
    Deno.env.set("CUDA_HOME", `${root}/cuda`);
    Deno.env.set("VIRTUAL_ENV", `${root}/venv`);
    const found = candidates("libcudart", ["13", "12"]);
    assertEquals(found.slice(0, 2), ["libcudart.so.13", "libcudart.so.12"]);
    assertEquals(found.filter((path) => path.startsWith(root)), paths);
    // An environment that is not active, but whose python3 PATH finds first.
    Deno.env.delete("CUDA_HOME");
    Deno.env.set("VIRTUAL_ENV", "");
    Deno.mkdirSync(`${root}/venv/bin`);
    Deno.writeTextFileSync(`${root}/venv/bin/python3`, "");
    Deno.env.set("PATH", `${root}/venv/bin:/usr/bin`);
    assertEquals(candidates("libcudart", ["13"]).filter((path) => path.startsWith(root)), [paths[1]]);
  } finally {
    for (const [name, value] of before) value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
    Deno.removeSync(root, { recursive: true });
  }
});

fakeTest("closing twice is the same as closing once", () => {
  const device = fake.open();
  device[Symbol.dispose]();
  device[Symbol.dispose]();
});
