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
    loadInto(source, name, { target: tensor, ...(options.chunkBytes && { buffer: new Uint8Array(options.chunkBytes) }) });
    return tensor;
  } catch (error) {
    tensor.free();
    throw error;
  }
}

/** Options of {@linkcode loadInto}. */
export interface LoadIntoOptions {
  /** A contiguous tensor, or a packed one. */
  target: Tensor;
  /** The row of the target at which the numbers begin. Default: 0, and they must fill the target. */
  row?: number;
  /** Host memory through which the file is read. Default: 16 MiB, new. */
  buffer?: Uint8Array<ArrayBuffer>;
}

/**
 * Reads a tensor of a file or folder into an existing one and converts it to its type, as {@linkcode loadTensor} does. The tensor's own shape in the file does
 * not matter, if its elements fill whole rows of the target.
 *
 * @throws {RangeError} if the elements do not fill the target or rows of it, or the target has gaps or is borrowed.
 * @throws {KedgeError} as `loadTensor` does. The target's elements are then undefined.
 */
export function loadInto(source: SafetensorsFile | SafetensorsFolder, name: string, options: LoadIntoOptions): void {
  const { target, row } = options, { device, dtype, cols } = target;
  const { info, stored } = find(source, name), width = DTYPE_BYTES[stored];
  check({ source, name }, { info, stored, dtype });
  const size = product(info.shape), rows = cols > 0 ? size / cols : 0;
  const fits = row === undefined ? size === target.size : Number.isInteger(rows) && row + rows <= target.rows;
  if (!fits || !(target.contiguous || target.isPacked) || target.storage.borrowed) {
    throw new RangeError(
      `Cannot load tensor "${name}" of [${info.shape.join(", ")}] into ${describe(target)}: sizes differ, or it has gaps, or is borrowed`,
    );
  }
  const buffer = options.buffer ?? new Uint8Array(Math.min(CHUNK_BYTES, Math.ceil(size * width / 8) * 8));
  const most = Math.max(1, Math.floor(buffer.byteLength / width)), narrow = stored === "f64" && dtype === "f32";
  const step = target.isPacked ? packedRows(most, cols) * cols : most, type = narrow ? "f32" : stored;
  const staged = target.isPacked || type !== dtype;
  using staging = staged ? Tensor.empty(device, [Math.min(step, size)], { dtype: type }) : undefined;
  for (let start = 0; start < size; start += step) {
    const count = Math.min(step, size - start), at = (row ?? 0) * cols + start;
    const bytes = count * width <= buffer.byteLength ? buffer.subarray(0, count * width) : new Uint8Array(count * width);
    source.readRange(name, { offset: start * width, into: bytes });
    const numbers = narrow ? Float32Array.from(new Float64Array(bytes.buffer, bytes.byteOffset, count)) : bytes;
    const into = staging?.address ?? plus(target.address, at * DTYPE_BYTES[dtype]);
    device.write(into, numbers);
    if (target.isPacked) {
      using part = staging!.slice(0, count);
      using matrix = part.reshape([count / cols, cols]);
      target.pack(at / cols, matrix);
    } else if (staging) device.ops.cast(plus(target.address, at * DTYPE_BYTES[dtype]), DTYPES[dtype], into, DTYPES[type], count);
  }
  target.storage.version++;
}

/** Rows that are packed at a time, from `most` elements: whole panels, if there are any. */
function packedRows(most: number, cols: number): number {
  const rows = Math.max(1, Math.floor(most / cols));
  return rows > 64 ? rows - rows % 64 : rows;
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
