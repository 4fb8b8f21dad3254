/**
 * Runs a test of an op on every available backend (see backends.ts) and every dtype of the backend. Inputs are first rounded to the dtype,
 * so that a float64 reference sees the same numbers. A leak, a difference that is not finite, and a write outside an output are failures.
 *
 * @module
 */
import { type Address, plus } from "../../ffi/address.ts";
import { type Device, type DType, DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Backend, backends } from "./backends.ts";

/** Numbers on the device, and the same numbers as the device holds them. */
export interface Input {
  readonly address: Address;
  readonly values: Float64Array;
}

const GUARD = 64; // bytes before and behind each buffer that must not change
const POISON = 0xa5;

export { Random };

/** Rounds to the nearest value of the dtype. */
export function round(x: number, dtype: DType): number {
  if (dtype === "f32") return Math.fround(x);
  if (dtype === "f64") return x;
  if (dtype === "bf16") return bf16ToNumber(toBf16(x));
  throw new TypeError(`Cannot round to ${dtype}`);
}

const scratch = new DataView(new ArrayBuffer(4));
/** The bits of the nearest bf16 (ties to even). */
export function toBf16(x: number): number {
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(x)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
/** The value of bf16 bits. */
export function bf16ToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

interface Buffer {
  base: Address;
  bytes: number;
  offset: number;
}

/** The arguments of a test body. */
export class OpRun {
  readonly #buffers = new Map<Address, Buffer>();

  constructor(readonly backend: Backend, readonly device: Device, readonly dtype: DType, readonly random: Random) {}

  /** The number of `dtype` in the C ABI. */
  get dtypeCode(): number {
    return DTYPES[this.dtype];
  }

  /** Whether shapes should stay small: the emulated device runs a thread at a time, and the fake one repeats the work of the CPU. */
  get small(): boolean {
    return this.backend.tier !== "cpu" && this.backend.tier !== "cuda";
  }

  /**
   * An allocation with guards around it, filled with bytes that read as nonsense.
   * @param misalign Bytes by which the address is off its natural 64-byte alignment (a multiple of the element).
   */
  buffer(bytes: number, misalign = 0): Address {
    const total = bytes + 2 * GUARD + misalign;
    const base = this.device.alloc(total);
    this.device.write(base, new Uint8Array(total).fill(POISON));
    const address = plus(base, GUARD + misalign);
    this.#buffers.set(address, { base, bytes, offset: GUARD + misalign });
    return address;
  }

  /** Uploads numbers as `dtype` (default: the run's). */
  input(values: ArrayLike<number>, options: { dtype?: DType; misalign?: number } = {}): Input {
    const dtype = options.dtype ?? this.dtype;
    const rounded = Float64Array.from(values, (x) => round(x, dtype));
    const address = this.buffer(values.length * DTYPE_BYTES[dtype], options.misalign ?? 0);
    if (dtype === "bf16") this.device.write(address, Uint16Array.from(rounded, toBf16));
    else if (dtype === "f64") this.device.write(address, rounded);
    else this.device.write(address, Float32Array.from(rounded));
    return { address, values: rounded };
  }

  /** Uploads integers as they are. */
  integers(values: Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): Address {
    const address = this.buffer(values.byteLength);
    this.device.write(address, values);
    return address;
  }

  /** Room for `n` elements of `dtype` (default: the run's) that read as nonsense. */
  output(n: number, options: { dtype?: DType; misalign?: number } = {}): Address {
    return this.buffer(n * DTYPE_BYTES[options.dtype ?? this.dtype], options.misalign ?? 0);
  }

  /** Reads `n` elements of `dtype` (default: the run's). */
  read(address: Address, n: number, dtype: DType = this.dtype): Float64Array {
    if (dtype === "bf16") {
      const bits = new Uint16Array(n);
      this.device.read(bits, address);
      return Float64Array.from(bits, bf16ToNumber);
    }
    if (dtype === "f64") {
      const values = new Float64Array(n);
      this.device.read(values, address);
      return values;
    }
    const values = dtype === "i32" ? new Int32Array(n) : dtype === "u8" ? new Uint8Array(n) : new Float32Array(n);
    this.device.read(values, address);
    return Float64Array.from(values);
  }

  /** The raw bytes, for comparisons to the bit. */
  bytes(address: Address, n: number): Uint8Array {
    const bytes = new Uint8Array(n);
    this.device.read(bytes, address);
    return bytes;
  }

  /**
   * Fails unless |actual - expected| <= tolerance * (|expected| + scale) for every element; the default tolerance comes from the dtype (f32: 2e-6,
   * bf16: 2^-7), and `scale` (default: the root mean square of expected) from the values. `factor` widens it for long sums.
   */
  close(
    actual: ArrayLike<number>,
    expected: ArrayLike<number>,
    options: { what: string; factor?: number; dtype?: DType; scale?: number },
  ): void {
    const dtype = options.dtype ?? this.dtype;
    const tolerance = (dtype === "bf16" || this.dtype === "bf16" ? 2 ** -7 : 2e-6) * (options.factor ?? 1);
    if (actual.length !== expected.length) throw new Error(`${options.what}: ${actual.length} values, expected ${expected.length}`);
    let squares = 0;
    for (let i = 0; i < expected.length; i++) squares += expected[i]! ** 2;
    const scale = options.scale ?? Math.sqrt(squares / Math.max(1, expected.length));
    for (let i = 0; i < expected.length; i++) {
      const a = actual[i]!, e = expected[i]!;
      if (Object.is(a, e) || (a === e && !Number.isFinite(e))) continue;
      if (!(Math.abs(a - e) <= tolerance * (Math.abs(e) + scale) + 1e-30)) {
        throw new Error(`${options.what}[${i}] of ${expected.length}: ${a}, expected ${e} within ${tolerance} x ${Math.abs(e) + scale}`);
      }
    }
  }

  /** Frees everything; throws if a guard was overwritten. */
  finish(): void {
    const broken: string[] = [];
    for (const [address, { base, bytes, offset }] of this.#buffers) {
      const front = this.bytes(base, offset), back = this.bytes(plus(address, bytes), GUARD);
      if (![...front, ...back].every((b) => b === POISON)) broken.push(`a buffer of ${bytes} bytes`);
      this.device.free(base);
    }
    this.#buffers.clear();
    if (broken.length > 0) throw new Error(`Written outside: ${broken.join(", ")}`);
  }
}

/** Options of {@linkcode opTest}. */
export interface OpTestOptions {
  /** Dtypes that make sense; default ["f32", "bf16"], of which a backend runs those that it takes. */
  dtypes?: readonly DType[];
  /** Backends to leave out, with the reason, by tier. */
  except?: Partial<Record<Backend["tier"], string>>;
}

/**
 * Registers a test of an op on every available backend and dtype. Each run has a new seed, which is printed on failure; `--seed=N` repeats
 * a run.
 */
export function opTest(name: string, body: (run: OpRun) => void, options: OpTestOptions = {}): void {
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  for (const backend of backends()) {
    backend.open(); // here, since a library that a test loads counts as its leak
    const except = options.except?.[backend.as];
    if (except) {
      Deno.test({ name: `${name} [${backend.tier}] not here: ${except}`, ignore: true, fn: () => {} });
      continue;
    }
    for (const dtype of options.dtypes ?? ["f32", "bf16"]) {
      if (!backend.dtypes.includes(dtype)) continue;
      Deno.test(`${name} [${backend.tier} ${dtype}]`, () => {
        const seed = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
        const device = backend.open();
        const before = device.memory().allocations;
        const run = new OpRun(backend, device, dtype, new Random(seed));
        try {
          body(run);
          run.finish();
          device.synchronize();
          backend.check?.();
          const after = device.memory().allocations;
          // The workspace belongs to the device and may have been created meanwhile.
          if (after > before + 1) throw new Error(`${after - before} allocations were left`);
        } catch (error) {
          throw new Error(`${(error as Error).message} (seed ${seed})`, { cause: error });
        }
      });
    }
  }
}

/**
 * Gradient of sum(reference(inputs) * cotangent) by each input, by central differences in float64 (error about 1e-9 of the values).
 *
 * @param reference A plain float64 implementation; must not change its inputs.
 * @param which Indices of the inputs to differentiate by; default all.
 */
export function numericGradient(
  reference: (inputs: Float64Array[]) => Float64Array,
  inputs: readonly Float64Array[],
  options: { cotangent: ArrayLike<number>; which?: readonly number[]; step?: number },
): Float64Array[] {
  const step = options.step ?? 1e-5;
  const weighted = (values: Float64Array[]) => {
    const out = reference(values);
    let sum = 0;
    for (let i = 0; i < out.length; i++) sum += out[i]! * options.cotangent[i]!;
    return sum;
  };
  return (options.which ?? inputs.map((_, i) => i)).map((w) => {
    const copies = inputs.map((x) => x.slice());
    const x = copies[w]!;
    return Float64Array.from(x, (value, i) => {
      x[i] = value + step;
      const high = weighted(copies);
      x[i] = value - step;
      const low = weighted(copies);
      x[i] = value;
      return (high - low) / (2 * step);
    });
  });
}
