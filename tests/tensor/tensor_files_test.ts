import { assertEquals, assertThrows } from "@std/assert";
import type { DType } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { SafetensorsFile, SafetensorsFolder } from "../../tensor/safetensors.ts";
import { writeSafetensors, writeSharded } from "../../tensor/safetensors_writer.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { loadTensor, tensorEntry } from "../../tensor/tensor_files.ts";
import { deviceTest } from "./device_test_case.ts";

deviceTest("tensors of every type go to a file and come back to the bit, in chunks of any size", (device, random) => {
  const path = Deno.makeTempFileSync();
  try {
    for (const chunkBytes of [8, 24, 4096]) {
      const n = 37, floats = Float32Array.from(random.normal(n));
      const types: DType[] = ["f32", "bf16", "f16", "f64", "i32", "i64", "u8"];
      const tensors = types.map((dtype) => {
        if (dtype === "f64") return Tensor.from(device, Float64Array.from(floats));
        if (dtype === "i32") return Tensor.from(device, Int32Array.from(floats, (x) => 1e6 * x));
        if (dtype === "i64") return Tensor.from(device, BigInt64Array.from(floats, (x) => BigInt(Math.round(1e12 * x))));
        if (dtype === "u8") return Tensor.from(device, Uint8Array.from(floats, (x) => 100 * x));
        return Tensor.from(device, floats, { dtype });
      });
      writeSafetensors(path, tensors.map((tensor, i) => tensorEntry(types[i]!, tensor, { chunkBytes })));
      using file = SafetensorsFile.open(path);
      for (const tensor of tensors) {
        using loaded = loadTensor(file, tensor.dtype, { device, chunkBytes });
        assertEquals(loaded.dtype, tensor.dtype);
        assertEquals(loaded.toBytes(), tensor.toBytes());
        if (["f32", "bf16", "f16", "f64"].includes(tensor.dtype)) {
          using wide = loadTensor(file, tensor.dtype, { device, dtype: "f32", chunkBytes });
          assertEquals(wide.toArray(), Float32Array.from(tensor.toArray() as Float32Array));
        }
        tensor.free();
      }
    }
  } finally {
    Deno.removeSync(path);
  }
});

deviceTest("shards, shapes, empty tensors; names and types that do not fit", (device) => {
  const folder = Deno.makeTempDirSync();
  try {
    using a = Tensor.from(device, [1, 2, 3, 4, 5, 6], { shape: [2, 3] });
    using none = Tensor.empty(device, [0, 4]);
    using index = Tensor.from(device, Int32Array.of(7));
    const entries = [tensorEntry("a", a), tensorEntry("none", none), tensorEntry("index", index)];
    writeSharded(folder, entries, { maxShardBytes: 24 });
    using files = SafetensorsFolder.open(folder);
    using again = loadTensor(files, "a", { device, dtype: "bf16" });
    assertEquals([again.dtype, again.shape], ["bf16", [2, 3]]);
    assertEquals([...again.toArray()], [1, 2, 3, 4, 5, 6]);
    using empty = loadTensor(files, "none", { device });
    assertEquals(empty.shape, [0, 4]);
    assertThrows(() => loadTensor(files, "b", { device }), KedgeError, 'Cannot load tensor "b"');
    assertThrows(() => loadTensor(files, "index", { device, dtype: "f32" }), KedgeError, "I32 does not become f32");
    using gaps = a.columns(0, 2);
    assertThrows(() => tensorEntry("gaps", gaps), RangeError, "a view with gaps");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
