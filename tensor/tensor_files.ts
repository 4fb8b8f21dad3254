/**
 * Copies tensors between safetensors files and the device, one chunk at a time, so that no tensor is ever whole in host memory.
 *
 * @module
 */
import { plus } from "../ffi/address.ts";
import { type Device, type DType, DTYPE_BYTES, DTYPES } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";
import type { SafetensorsDType, SafetensorsFile, SafetensorsFolder, TensorInfo } from "./safetensors.ts";
import type { SafetensorsEntry } from "./safetensors_writer.ts";
import { describe, product, Tensor } from "./tensor.ts";

const CHUNK_BYTES = 16 * 2 ** 20;
const FILE_DTYPES = { f32: "F32", bf16: "BF16", f16: "F16", i32: "I32", i64: "I64", u8: "U8", f64: "F64" } as const satisfies Record<
  DType,
  SafetensorsDType
>;
const FLOATS: ReadonlySet<DType> = new Set(["f32", "bf16", "f16"]);

/** Options for {@linkcode loadTensor}. */
export interface LoadOptions {
  /** The device to load to. */
  device: Device;
  /** The type on the device. Default: the file's own type. Floats (F32, BF16, F16; F64 to f32) are rounded to nearest even. */
  dtype?: DType;
  /** The number of bytes of the file that are in host memory at a time. Default: 16 MiB. */
  chunkBytes?: number;
}

/**
 * Reads a tensor of a file or folder into device memory.
 *
 * @throws {KedgeError} `BadCheckpoint` if there is no such name; `Unsupported` for a type that cannot be converted; `OutOfMemory`.
 * @example
 * ```ts
 * import { loadTensor, openDevice, SafetensorsFile, Tensor, tensorEntry, writeSafetensors } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using weight = Tensor.from(device, [1, 2.5, -3], { dtype: "bf16" });
 * const path = Deno.makeTempFileSync();
 * writeSafetensors(path, [tensorEntry("weight", weight)]);
 * using file = SafetensorsFile.open(path);
 * using loaded = loadTensor(file, "weight", { device, dtype: "f32" });
 * assertEquals([...loaded.toArray()], [1, 2.5, -3]);
 * Deno.removeSync(path);
 * ```
 */
export function loadTensor(source: SafetensorsFile | SafetensorsFolder, name: string, options: LoadOptions): Tensor {
  const { info, stored } = find(source, name);
  const dtype = options.dtype ?? stored;
  check({ source, name }, { info, stored, dtype });
  const tensor = Tensor.empty(options.device, info.shape, { dtype });
  try {
    loadInto(source, name, { target: tensor, chunkBytes: options.chunkBytes });
    return tensor;
  } catch (error) {
    tensor.free();
    throw error;
  }
}

/**
 * Reads a tensor of a file or folder into an existing one and converts it to its type, as {@linkcode loadTensor} does.
 *
 * @param options `target`: a contiguous tensor with as many elements, in any shape. `chunkBytes`: default 16 MiB.
 * @throws {RangeError} if the target has another number of elements, has gaps, or is borrowed.
 * @throws {KedgeError} as `loadTensor` does. The target's elements are then undefined.
 */
export function loadInto(
  source: SafetensorsFile | SafetensorsFolder,
  name: string,
  options: { target: Tensor; chunkBytes?: number },
): void {
  const { target, chunkBytes = CHUNK_BYTES } = options, { device, dtype } = target;
  const { info, stored } = find(source, name);
  check({ source, name }, { info, stored, dtype });
  const size = product(info.shape);
  if (size !== target.size || !target.contiguous || target.storage.borrowed) {
    throw new RangeError(
      `Cannot load tensor "${name}" of [${info.shape.join(", ")}] into ${describe(target)}: sizes differ, or it has gaps, or is borrowed`,
    );
  }
  const narrow = stored === "f64" && dtype === "f32";
  const step = Math.max(1, Math.floor(chunkBytes / DTYPE_BYTES[stored]));
  using staging = stored !== dtype && !narrow ? Tensor.empty(device, [Math.min(step, size)], { dtype: stored }) : undefined;
  for (let start = 0; start < size; start += step) {
    const count = Math.min(step, size - start);
    const bytes = new Uint8Array(count * DTYPE_BYTES[stored]);
    source.readRange(name, { offset: start * DTYPE_BYTES[stored], into: bytes });
    const address = plus(target.address, start * DTYPE_BYTES[dtype]);
    if (narrow) device.write(address, Float32Array.from(new Float64Array(bytes.buffer)));
    else device.write(staging?.address ?? address, bytes);
    if (staging) device.ops.cast(address, DTYPES[dtype], staging.address, DTYPES[stored], count);
  }
  target.storage.version++;
}

interface Found {
  info: TensorInfo;
  /** Kedge's type for the file's type. */
  stored: DType;
}

function find(source: SafetensorsFile | SafetensorsFolder, name: string): Found {
  const info = source.tensors.get(name);
  if (!info) throw new KedgeError("BadCheckpoint", `Cannot load tensor "${name}": ${source.path} does not hold it`, { name });
  const stored = (Object.keys(FILE_DTYPES) as DType[]).find((dtype) => FILE_DTYPES[dtype] === info.dtype);
  if (!stored) throw unsupported({ source, name }, { info, dtype: "any type here" });
  return { info, stored };
}

type Place = { source: SafetensorsFile | SafetensorsFolder; name: string };

function unsupported({ source, name }: Place, { info, dtype }: { info: TensorInfo; dtype: string }): KedgeError {
  return new KedgeError("Unsupported", `Cannot load tensor "${name}" of ${source.path}: ${info.dtype} does not become ${dtype}`);
}

function check(place: Place, { info, stored, dtype }: Found & { dtype: DType }): void {
  const converts = stored === dtype || (stored === "f64" && dtype === "f32") || (FLOATS.has(stored) && FLOATS.has(dtype));
  if (!converts) throw unsupported(place, { info, dtype });
}

/**
 * Makes an entry for the writers from a contiguous tensor. Its elements are read when they are written.
 *
 * @example
 * ```ts
 * import { openDevice, Tensor, tensorEntry } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using tensor = Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] });
 * const { name, dtype, shape } = tensorEntry("weight", tensor);
 * assertEquals([name, dtype, shape], ["weight", "F32", [2, 2]]);
 * ```
 */
export function tensorEntry(name: string, tensor: Tensor, options: { chunkBytes?: number } = {}): SafetensorsEntry {
  if (!tensor.contiguous) throw new RangeError(`Cannot write "${name}": ${describe(tensor)} is a view with gaps; copy it first`);
  const step = options.chunkBytes ?? CHUNK_BYTES;
  return {
    name,
    dtype: FILE_DTYPES[tensor.dtype],
    shape: tensor.shape,
    data: function* () {
      for (let start = 0; start < tensor.byteLength; start += step) {
        const bytes = new Uint8Array(Math.min(step, tensor.byteLength - start));
        tensor.device.read(bytes, plus(tensor.address, start));
        yield bytes;
      }
    },
  };
}
