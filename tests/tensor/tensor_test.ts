import { assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { bf16ToNumber, toBf16 } from "../ops/harness.ts";
import { deviceTest as register } from "./device_test_case.ts";

const deviceTest: typeof register = (name, body) => register(name, body, { workspace: false });
const spent = (run: () => unknown, words: string) => assertEquals(assertThrows(run, KedgeError, words).code, "Handle");

deviceTest("numbers of every type are read back unchanged", (device) => {
  const arrays = [
    Float32Array.of(1.5, -0, NaN, Infinity),
    Float64Array.of(Math.PI, -1e300),
    Int32Array.of(-(2 ** 31), 7),
    BigInt64Array.of(-(2n ** 63n), 5n),
    Uint8Array.of(0, 255, 3),
    new Float32Array(0),
  ];
  for (const array of arrays) {
    using tensor = Tensor.from(device, array);
    assertEquals(tensor.toArray(), array);
  }
  using plain = Tensor.from(device, [1, 2, 3], { dtype: "i32" });
  assertEquals(plain.toArray(), Int32Array.of(1, 2, 3));
});

deviceTest("bf16 is rounded to the nearest, and takes bits", (device, random) => {
  const numbers = Float32Array.from(random.normal(257));
  using tensor = Tensor.from(device, numbers, { dtype: "bf16", shape: [257] });
  assertEquals(tensor.byteLength, 514);
  assertEquals(tensor.toFloats(), Float32Array.from(numbers, (x) => bf16ToNumber(toBf16(x))));
  using bits = Tensor.from(device, Uint16Array.from(numbers, toBf16));
  assertEquals(bits.dtype, "bf16");
  assertEquals(bits.toBytes(), tensor.toBytes());
  using half = Tensor.from(device, [1 / 3, 65504, 1e6], { dtype: "f16" });
  assertEquals([...half.toFloats()], [0.333251953125, 65504, Infinity]);
});

deviceTest("zeros, full and fill, of every type", (device) => {
  for (const dtype of ["f32", "bf16", "f16", "i32", "u8", "f64"] as const) {
    using zeros = Tensor.zeros(device, [3], { dtype });
    assertEquals([...zeros.toArray()].map(Number), [0, 0, 0]);
    using sevens = Tensor.full(device, [3], { dtype, value: 7 });
    assertEquals([...sevens.toArray()].map(Number), [7, 7, 7]);
  }
  using tensor = Tensor.zeros(device, [2, 4]);
  using part = tensor.columns(1, 3);
  part.fill(5);
  assertEquals([...tensor.toFloats()], [0, 5, 5, 0, 0, 5, 5, 0]);
});

deviceTest("views share memory: rows, columns, views of views, shapes", (device) => {
  using tensor = Tensor.from(device, Float32Array.from({ length: 24 }, (_, i) => i), { shape: [4, 6] });
  using rows = tensor.slice(1, 3);
  using part = rows.columns(2, 5);
  using last = part.slice(1, 2);
  assertEquals(part.shape, [2, 3]);
  assertEquals([part.contiguous, last.contiguous], [false, true]);
  assertEquals([...part.toFloats()], [8, 9, 10, 14, 15, 16]);
  assertEquals([...last.toFloats()], [14, 15, 16]);
  part.write([1, 2, 3, 4, 5, 6]);
  assertEquals([...tensor.toFloats().slice(6, 18)], [6, 7, 1, 2, 3, 11, 12, 13, 4, 5, 6, 17]);
  using heads = part.reshape([2, 3, 1]);
  assertEquals([...heads.toFloats()], [1, 2, 3, 4, 5, 6]);
  using flat = tensor.reshape([24]);
  using eighth = flat.slice(8, 9);
  assertEquals(eighth.item(), 1);
  using copy = part.copy();
  copy.fill(0);
  assertEquals(eighth.item(), 1);
  assertThrows(() => part.reshape([3, 2]), RangeError, "gaps");
  assertThrows(() => tensor.reshape([5, 5]), RangeError, "the counts differ");
  assertThrows(() => tensor.slice(3, 5), RangeError, "there are 4");
  assertThrows(() => tensor.columns(-1, 2), RangeError, "there are 6");
  using cast = part.cast("bf16");
  assertEquals([...cast.toFloats()], [1, 2, 3, 4, 5, 6]);
});

deviceTest("a block lives as long as its last view", (device) => {
  const before = device.memory().allocations;
  const tensor = Tensor.from(device, [1, 2, 3, 4]);
  const view = tensor.slice(1, 3);
  tensor.free();
  assertEquals([tensor.live, view.live], [false, true]);
  assertEquals([...view.toFloats()], [2, 3]);
  assertEquals(device.memory().allocations - before, 1);
  view.free();
  assertEquals(device.memory().allocations - before, 0);
});

deviceTest("use after free, and freeing twice, are errors of code Handle", (device) => {
  const tensor = Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] });
  tensor.free();
  spent(() => tensor.address, "Cannot use tensor f32[2, 2] on");
  spent(() => tensor.toArray(), "it was freed");
  spent(() => tensor.slice(0, 1), "it was freed");
  spent(() => tensor.write([1, 2, 3, 4]), "it was freed");
  spent(() => tensor.copy(), "it was freed");
  spent(() => tensor.free(), "it was freed");
  tensor[Symbol.dispose](); // quiet: `using` may come after free
});

deviceTest("sizes and types that do not fit are refused, and nothing stays allocated", (device) => {
  assertThrows(() => Tensor.empty(device, [2, -1]), RangeError, "sizes must be integers");
  assertThrows(() => Tensor.empty(device, [0.5]), RangeError, "sizes must be integers");
  assertThrows(() => Tensor.from(device, [1, 2, 3], { shape: [2, 2] }), RangeError, "Cannot write 3 numbers into f32[2, 2]");
  assertThrows(() => Tensor.from(device, Int32Array.of(1), { dtype: "f32" }), TypeError, "convert it first");
  using a = Tensor.empty(device, [2]);
  using b = Tensor.empty(device, [3]);
  assertThrows(() => a.copyFrom(b), RangeError, "size or type differ");
  assertThrows(() => b.item(), RangeError, "as one number");
});

deviceTest("out of memory is an error that names the size, and leaves the device usable", (device) => {
  const error = assertThrows(() => Tensor.empty(device, [2 ** 40]), KedgeError);
  assertEquals([error.code, error.details.asked], ["OutOfMemory", 2 ** 42]);
  using tensor = Tensor.from(device, [1]);
  assertEquals(tensor.item(), 1);
});

deviceTest("pinned memory reads and writes like any other", (device) => {
  using pinned = Tensor.zeros(device, [3], { pinned: true });
  assertEquals([...pinned.toFloats()], [0, 0, 0]);
  pinned.write([1, 2, 3]);
  device.ops.scaleAdd(0, pinned.address, pinned.address, 3, 2, 0, 0);
  assertEquals([...pinned.toFloats()], [2, 4, 6]);
});
