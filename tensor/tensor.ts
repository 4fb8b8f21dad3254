import { type Address, plus } from "../ffi/address.ts";
import { type Device, type DType, DTYPE_BYTES, DTYPES } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { Storage } from "./storage.ts";

/** The sizes of a tensor's axes. */
export type Shape = readonly number[];
/** Numbers in host memory. */
export type TensorArray =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** Options for the functions that allocate. */
export interface TensorOptions {
  /** The element type. Default: "f32". */
  dtype?: DType;
  /** Whether to allocate page-locked host memory that the device can address, instead of device memory. */
  pinned?: boolean;
}

/**
 * A row-major array in device memory. Rows (the first axis) may be `rowStride` elements apart, so that a column range of a matrix, such as
 * a fused projection, is an ordinary tensor.
 *
 * A packed tensor ({@linkcode Tensor.packed}) is a bf16 matrix in the order in which the CPU's GEMM reads it. Products and lookups take it as a weight. Its
 * rows cannot be used in place: `cast` and `unpack` copy them.
 *
 * A tensor holds a reference to its block. `rows`, `columns`, `reshape` and `view` make further references and copy nothing. The last
 * reference frees the block. `using` and `[Symbol.dispose]` do nothing if the tensor is spent already; `free()` throws. Any other use of a
 * spent tensor (freed, moved to another actor, or a view of one) is a KedgeError `Handle`.
 *
 * @example
 * ```ts
 * import { openDevice, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using matrix = Tensor.from(device, [1, 2, 3, 4, 5, 6], { shape: [2, 3] });
 * using right = matrix.columns(1, 3);
 * assertEquals(right.shape, [2, 2]);
 * assertEquals([...right.toArray()], [2, 3, 5, 6]);
 * ```
 */
export class Tensor implements Disposable {
  /** The element type. */
  readonly dtype: DType;
  /** The sizes of the axes. The last axis is contiguous. */
  readonly shape: Shape;
  /** The number of elements between the starts of two rows. */
  readonly rowStride: number;
  /** Whether it is packed. */
  readonly isPacked: boolean;
  readonly #storage: Storage;
  readonly #offset: number; // bytes
  #live = true;

  /** Takes over one reference to the block. Outside this folder use `empty`, `zeros`, `full`, `from`. */
  constructor(storage: Storage, layout: { shape: Shape; dtype: DType; rowStride?: number; offset?: number; packed?: boolean }) {
    this.#storage = storage;
    this.dtype = layout.dtype;
    this.shape = layout.shape;
    this.rowStride = layout.rowStride ?? product(layout.shape, 1);
    this.#offset = layout.offset ?? 0;
    this.isPacked = layout.packed ?? false;
  }

  /** Makes a tensor with undefined contents. @throws {KedgeError} `OutOfMemory`. */
  static empty(device: Device, shape: Shape, options: TensorOptions = {}): Tensor {
    const dtype = options.dtype ?? "f32";
    checkShape(shape);
    const storage = new Storage(device, product(shape) * DTYPE_BYTES[dtype], { pinned: options.pinned });
    return new Tensor(storage, { shape: [...shape], dtype });
  }

  /**
   * Makes a packed bf16 matrix [out, in] on a CPU, with undefined contents: `pack` writes its rows.
   *
   * @throws {KedgeError} `OutOfMemory`.
   */
  static packed(device: Device, shape: readonly [out: number, input: number]): Tensor {
    checkShape(shape);
    if (device.kind !== "cpu") throw new RangeError(`Cannot pack a matrix on ${device.name}: only a CPU's GEMM reads packed weights`);
    const storage = new Storage(device, device.host.bf16PackedBytes(...shape));
    return new Tensor(storage, { shape: [...shape], dtype: "bf16", packed: true });
  }

  /** Makes a tensor of zeros. */
  static zeros(device: Device, shape: Shape, options: TensorOptions = {}): Tensor {
    const tensor = Tensor.empty(device, shape, options);
    if (tensor.#storage.bytes > 0) device.ops.fill(DTYPES.i32, tensor.address, Math.ceil(tensor.#storage.bytes / 4), 0);
    return tensor;
  }

  /** Makes a tensor with one value in all elements. */
  static full(device: Device, shape: Shape, options: TensorOptions & { value: number }): Tensor {
    const tensor = Tensor.empty(device, shape, options);
    tensor.fill(options.value);
    return tensor;
  }

  /**
   * Copies host numbers to the device.
   *
   * Without `dtype`, the array determines it: Float32Array f32, Float64Array f64, Int32Array i32, BigInt64Array i64, Uint8Array u8; plain
   * arrays f32. For "bf16" and "f16", floats are rounded to nearest even; a Uint16Array contains their bits.
   *
   * @param options `shape`: default a single axis.
   * @throws {RangeError} if the shape does not match the number of elements; {TypeError} for a type that does not fit.
   */
  static from(device: Device, data: TensorArray | readonly number[], options: TensorOptions & { shape?: Shape } = {}): Tensor {
    const tensor = Tensor.empty(device, options.shape ?? [data.length], { ...options, dtype: options.dtype ?? nativeType(data) });
    try {
      tensor.write(data);
    } catch (error) {
      tensor.free();
      throw error;
    }
    return tensor;
  }

  /** The device that holds it. */
  get device(): Device {
    return this.#storage.device;
  }

  /**
   * For this folder: the block that it shares.
   *
   * @internal
   */
  get storage(): Storage {
    return this.#storage;
  }

  /** Whether the tensor can still be used. */
  get live(): boolean {
    return this.#live && this.#storage.spent === undefined;
  }

  /** The address of its first element. @throws {KedgeError} `Handle` if the tensor is spent. @throws {RangeError} if it is packed. */
  get address(): Address {
    if (this.isPacked) {
      throw new RangeError(`Cannot use ${describe(this)} in place: it is packed for products with it; cast it to use its rows`);
    }
    return this.#at;
  }

  /**
   * For products and lookups: the address of the block of a packed tensor.
   *
   * @internal
   */
  get packedAddress(): Address {
    if (!this.isPacked) throw new RangeError(`Cannot use ${describe(this)} as packed: its rows lie behind one another`);
    return this.#at;
  }

  get #at(): Address {
    if (!this.live) {
      throw new KedgeError(
        "Handle",
        `Cannot use tensor ${describe(this)} on ${this.device.name}: it was ${this.#storage.spent ?? "freed"}`,
      );
    }
    return plus(this.#storage.address, this.#offset);
  }

  /** The size of the first axis; 1 for a tensor without axes. */
  get rows(): number {
    return this.shape[0] ?? 1;
  }

  /** The number of elements of a row: the product of all axes except the first. */
  get cols(): number {
    return product(this.shape, 1);
  }

  /** The number of elements. */
  get size(): number {
    return product(this.shape);
  }

  /** The number of bytes of its elements; of a packed tensor, with the columns that fill its last panel. */
  get byteLength(): number {
    return this.isPacked ? this.#storage.bytes : this.size * DTYPE_BYTES[this.dtype];
  }

  /** Whether its rows lie behind one another without gaps. */
  get contiguous(): boolean {
    return !this.isPacked && (this.rowStride === this.cols || this.rows <= 1);
  }

  /** The number of its dtype in the C ABI. */
  get dtypeCode(): number {
    return DTYPES[this.dtype];
  }

  /** Returns another reference to the same elements. */
  view(): Tensor {
    if (!this.isPacked) return this.#view(this.shape, this.rowStride, 0);
    void this.packedAddress;
    return new Tensor(this.#storage.retain(), { shape: this.shape, dtype: this.dtype, packed: true });
  }

  /** Returns rows [start, end) without a copy. */
  slice(start: number, end: number): Tensor {
    checkRange("rows", start, end, this.rows);
    return this.#view([end - start, ...this.shape.slice(1)], this.rowStride, start * this.rowStride);
  }

  /** Returns columns [start, end) of every row, seen as a matrix, without a copy: [rows, end - start]. */
  columns(start: number, end: number): Tensor {
    checkRange("columns", start, end, this.cols);
    return this.#view([this.rows, end - start], this.rowStride, start);
  }

  /**
   * Returns the same elements in another shape, without a copy.
   *
   * @throws {RangeError} if the number of elements differs, or rows with gaps would be split.
   */
  reshape(shape: Shape): Tensor {
    checkShape(shape);
    if (product(shape) !== this.size) throw new RangeError(`Cannot reshape ${describe(this)} to [${shape.join(", ")}]: the counts differ`);
    if (this.contiguous) return this.#view([...shape], product(shape, 1), 0);
    if (shape[0] !== this.rows) {
      throw new RangeError(`Cannot reshape ${describe(this)} to [${shape.join(", ")}]: its rows have gaps; copy it first`);
    }
    return this.#view([...shape], this.rowStride, 0);
  }

  #view(shape: Shape, rowStride: number, elements: number): Tensor {
    void this.address;
    const offset = this.#offset + elements * DTYPE_BYTES[this.dtype];
    return new Tensor(this.#storage.retain(), { shape, dtype: this.dtype, rowStride, offset });
  }

  /** Returns a contiguous copy, or a packed one of a packed tensor. */
  copy(): Tensor {
    void this.#at; // checks that it is live, before anything is allocated
    if (this.isPacked) {
      const out = Tensor.packed(this.device, [this.rows, this.cols]);
      this.device.ops.copy(out.packedAddress, this.packedAddress, this.#storage.bytes);
      return out;
    }
    const out = Tensor.empty(this.device, this.shape, { dtype: this.dtype });
    out.copyFrom(this);
    return out;
  }

  /** Returns a contiguous copy in another type, for floats only, rounded to nearest even. */
  cast(dtype: DType): Tensor {
    if (this.isPacked) return this.unpack(0, this.rows, { dtype });
    if (dtype === this.dtype) return this.copy();
    if (!this.contiguous) {
      using dense = this.copy();
      return dense.cast(dtype);
    }
    void this.address;
    const out = Tensor.empty(this.device, this.shape, { dtype });
    try {
      this.device.ops.cast(out.address, DTYPES[dtype], this.address, this.dtypeCode, this.size);
    } catch (error) {
      out.free();
      throw error;
    }
    return out;
  }

  /** Writes rows from `first` on of a packed tensor: those of `source`, f32, bf16 or f16 [rows, in], rounded to nearest even. */
  pack(first: number, source: Tensor): void {
    this.#checkWritable();
    if (source.cols !== this.cols) {
      throw new RangeError(`Cannot pack rows of ${describe(source)} into ${describe(this)}: their lengths differ`);
    }
    const [to, from] = [this.packedAddress, source.address], { rows, cols, device } = this;
    device.host.bf16Pack(to, rows, cols, from, source.dtypeCode, source.rowStride, first, source.rows);
    this.#storage.version++;
  }

  /** Returns a copy of rows [start, end) of a packed tensor that is not packed, in f32 or bf16. */
  unpack(start: number, end: number, { dtype }: { dtype: DType }): Tensor {
    checkRange("rows", start, end, this.rows);
    const { rows, cols, device, packedAddress } = this, out = Tensor.empty(device, [end - start, cols], { dtype });
    try {
      device.host.bf16Rows(out.address, out.dtypeCode, cols, packedAddress, rows, cols, 0, start, end - start);
      return out;
    } catch (error) {
      out.free();
      throw error;
    }
  }

  /** Copies the elements of a tensor of the same size and type into this one. */
  copyFrom(source: Tensor): void {
    if (source.size !== this.size || source.dtype !== this.dtype) {
      throw new RangeError(`Cannot copy ${describe(source)} into ${describe(this)}: size or type differ`);
    }
    this.#checkWritable();
    const bytes = DTYPE_BYTES[this.dtype];
    if (this.contiguous && source.contiguous) this.device.ops.copy(this.address, source.address, this.byteLength);
    else {
      const [rows, cols] = this.contiguous ? [source.rows, source.cols] : [this.rows, this.cols];
      const stride = (t: Tensor) => (t.contiguous ? cols : t.rowStride) * bytes;
      if (!source.contiguous && source.rows !== rows) {
        throw new RangeError(`Cannot copy ${describe(source)} into ${describe(this)}: rows differ`);
      }
      this.device.ops.copyRows(this.address, stride(this), source.address, stride(source), rows, cols * bytes);
    }
    this.#storage.version++;
  }

  /** Sets every element. */
  fill(value: number): void {
    this.#checkWritable();
    if (this.contiguous && (this.dtype === "f32" || this.dtype === "bf16" || this.dtype === "i32")) {
      this.device.ops.fill(this.dtypeCode, this.address, this.size, value);
      this.#storage.version++;
    } else this.write(new Array<number>(this.size).fill(value));
  }

  /** Overwrites the elements with host numbers. `from` describes the conversion. */
  write(data: TensorArray | readonly number[]): void {
    if (data.length !== this.size) {
      throw new RangeError(`Cannot write ${data.length} numbers into ${describe(this)}: it holds ${this.size}`);
    }
    this.#checkWritable();
    const native = nativeType(data);
    const bits = data instanceof Uint16Array && (this.dtype === "bf16" || this.dtype === "f16");
    const narrow = !bits && native === "f32" && (this.dtype === "bf16" || this.dtype === "f16");
    if (!this.contiguous || narrow) {
      using wide = Tensor.from(this.device, data, { shape: this.shape, dtype: narrow ? "f32" : this.dtype });
      using typed = wide.cast(this.dtype);
      this.copyFrom(typed);
      return;
    }
    const typed = bits ? data : typedArray(data, this.dtype);
    if (!typed) throw new TypeError(`Cannot write a ${data.constructor.name} into ${describe(this)}: convert it first`);
    this.writeBytes(new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength));
  }

  /** Overwrites the elements with their little-endian bytes. The tensor must be contiguous. */
  writeBytes(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.byteLength !== this.byteLength || !this.contiguous) {
      throw new RangeError(
        `Cannot write ${bytes.byteLength} bytes into ${describe(this)}: it holds ${this.byteLength}, contiguous: ${this.contiguous}`,
      );
    }
    this.#checkWritable();
    if (bytes.byteLength > 0) {
      if (this.#storage.pinned && this.device.kind !== "cpu") {
        this.device.synchronize();
        this.device.host.hostWrite(this.address, bytes, bytes.byteLength);
      } else this.device.write(this.address, bytes);
    }
    this.#storage.version++;
  }

  /** Reads the elements' little-endian bytes, after all earlier work. */
  toBytes(): Uint8Array<ArrayBuffer> {
    if (!this.contiguous) {
      using dense = this.isPacked ? this.cast(this.dtype) : this.copy();
      return dense.toBytes();
    }
    const bytes = new Uint8Array(this.byteLength);
    const address = this.address;
    if (bytes.byteLength === 0) return bytes;
    if (this.#storage.pinned && this.device.kind !== "cpu") {
      this.device.synchronize();
      this.device.host.hostRead(bytes, address, bytes.byteLength);
    } else this.device.read(bytes, address);
    return bytes;
  }

  /** Reads the elements, after all earlier work: f32, bf16 and f16 as a Float32Array, the others in their own type. */
  toArray():
    | Float32Array<ArrayBuffer>
    | Float64Array<ArrayBuffer>
    | Int32Array<ArrayBuffer>
    | BigInt64Array<ArrayBuffer>
    | Uint8Array<ArrayBuffer> {
    if (this.dtype === "bf16" || this.dtype === "f16") {
      using wide = this.cast("f32");
      return wide.toArray();
    }
    const { buffer } = this.toBytes();
    switch (this.dtype) {
      case "f32":
        return new Float32Array(buffer);
      case "f64":
        return new Float64Array(buffer);
      case "i32":
        return new Int32Array(buffer);
      case "i64":
        return new BigInt64Array(buffer);
      case "u8":
        return new Uint8Array(buffer);
    }
  }

  /** Reads the elements as floats. @throws {TypeError} for integers. */
  toFloats(): Float32Array<ArrayBuffer> {
    const array = this.toArray();
    if (!(array instanceof Float32Array)) throw new TypeError(`Cannot read ${describe(this)} as 32-bit floats`);
    return array;
  }

  /** Reads the only element, after all earlier work. */
  item(): number {
    if (this.size !== 1) throw new RangeError(`Cannot read ${describe(this)} as one number: it holds ${this.size}`);
    return Number(this.toArray()[0]);
  }

  /** Drops this reference. The last one frees the block. @throws {KedgeError} `Handle` if the tensor is spent already. */
  free(): void {
    void this.#at;
    this[Symbol.dispose]();
  }

  /** Like `free`, but does nothing if the tensor is spent already. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#storage.release(); // throws while it is lent, and the tensor stays
    this.#live = false;
  }

  #checkWritable(): void {
    if (this.#storage.borrowed) throw new KedgeError("Handle", `Cannot write ${describe(this)}: it is borrowed; copy it first`);
  }
}

/** Formats dtype and shape for messages. */
export function describe(tensor: { dtype: DType; shape: Shape }): string {
  return `${tensor.dtype}[${tensor.shape.join(", ")}]`;
}

/** Returns the product of the sizes from axis `from` on. */
export function product(shape: Shape, from = 0): number {
  let count = 1;
  for (let i = from; i < shape.length; i++) count *= shape[i]!;
  return count;
}

function checkShape(shape: Shape): void {
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new RangeError(`Cannot make a tensor [${shape.join(", ")}]: sizes must be integers, 0 or more`);
    }
  }
}

function checkRange(what: string, start: number, end: number, limit: number): void {
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= limit)) {
    throw new RangeError(`Cannot take ${what} [${start}, ${end}): there are ${limit}`);
  }
}

function nativeType(data: TensorArray | readonly number[]): DType {
  if (data instanceof Float64Array) return "f64";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof BigInt64Array) return "i64";
  if (data instanceof Uint8Array) return "u8";
  if (data instanceof Uint16Array) return "bf16";
  return "f32";
}

/** Returns the array itself if its type matches `dtype`, a converted plain array or Float32Array, or else undefined. */
function typedArray(data: TensorArray | readonly number[], dtype: DType): TensorArray | undefined {
  if (!Array.isArray(data)) return nativeType(data as TensorArray) === dtype ? data as TensorArray : undefined;
  switch (dtype) {
    case "f32":
      return new Float32Array(data);
    case "f64":
      return new Float64Array(data);
    case "i32":
      return new Int32Array(data);
    case "i64":
      return BigInt64Array.from(data as number[], BigInt);
    case "u8":
      return new Uint8Array(data);
    default:
      return undefined;
  }
}
