import { type Address, addressOf } from "./address.ts";
import { type Cblas, openCblas } from "./cblas.ts";
import { type CpuLibrary, openCpuLibrary } from "./cpu_library.ts";
import { type Device, type DeviceEvent, DTYPES, type Gemm, type MemoryReport } from "./device.ts";
import { KedgeError } from "./errors.ts";
import type { Host, Ops } from "./generated/bindings.ts";
import { OpBinding } from "./op_binding.ts";

/** Options of {@linkcode CpuDevice.open}. */
export interface CpuOptions {
  /** Threads of an op; default: the cores that this process may use. Results do not depend on it. */
  threads?: number;
  /**
   * The GEMM of {@linkcode CpuDevice.gemm}. "builtin": Kedge's own, whose bits depend neither on the threads nor on the batch; "system": the system's
   * CBLAS, if one is found; "auto" (default): Accelerate on macOS, else the built-in; or the path of a CBLAS.
   */
  blas?: "auto" | "builtin" | "system" | string;
  /** Folder of the built kernels. */
  cache?: string;
}

/** A product below this size (m n k) is done by the built-in GEMM: a library's own set-up would cost more. */
const SMALL_PRODUCT = 32 ** 3;

/**
 * The processor and its memory as a {@linkcode Device}. Memory, its budget and its account are the process's: all CPU devices of all workers share them.
 *
 * @example
 * ```ts
 * import { CpuDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = CpuDevice.open({ threads: 1 });
 * const address = device.alloc(8);
 * device.write(address, Float32Array.of(1, 2));
 * const numbers = new Float32Array(2);
 * device.read(numbers, address);
 * device.free(address);
 * assertEquals([...numbers], [1, 2]);
 * ```
 */
export class CpuDevice implements Device {
  /** "cpu". */
  readonly kind = "cpu";
  readonly name = "cpu";
  readonly ordinal: number = -1;
  readonly description: string;
  readonly ops: Ops;
  readonly host: Host;
  /** The library of kernels. */
  readonly library: string;
  readonly #binding: OpBinding;
  readonly #cblas: Cblas | undefined;
  readonly #cores: number;
  readonly #out = new BigUint64Array(1);
  readonly #report = new BigInt64Array(6);
  #closed = false;

  private constructor(library: CpuLibrary, options: CpuOptions) {
    this.#binding = new OpBinding(library.ops, { ordinal: -1, memory: this });
    this.ops = this.#binding.ops;
    this.host = this.#binding.bindHost(library.host);
    this.library = library.path;
    const info = new Int32Array(4);
    this.host.hostInfo(info);
    const cores = Math.max(1, info[0]!);
    this.#cblas = openCblas(options.blas ?? "auto");
    this.#cores = cores;
    this.threads = options.threads ?? cores;
    this.description = `cpu: ${cores} cores, ${8 * info[2]!}-bit SIMD, GEMM by ${this.blas.name}`;
  }

  /**
   * Opens the processor, building the kernels on first use.
   *
   * @throws {KedgeError} `Build`, with the compiler's words.
   */
  static open(options: CpuOptions = {}): CpuDevice {
    return new CpuDevice(openCpuLibrary(options.cache === undefined ? {} : { cache: options.cache }), options);
  }

  /** The GEMM of {@linkcode CpuDevice.gemm}: a library's name and path, or "built-in". */
  get blas(): { readonly name: string; readonly path: string } {
    const chosen = this.#chosen;
    return chosen ? { name: chosen.name, path: chosen.path } : { name: "built-in", path: this.library };
  }

  // A CBLAS has one count of threads for the whole process: a device that wants one thread of several leaves it to the others.
  get #chosen(): Cblas | undefined {
    return this.threads > 1 || this.#cores === 1 ? this.#cblas : undefined;
  }

  /** Threads of an op, and of the system's CBLAS. A device with one thread uses the built-in GEMM, where there are more cores. */
  get threads(): number {
    return this.#binding.context.threads;
  }

  set threads(count: number) {
    if (!Number.isSafeInteger(count) || count < 1) throw new RangeError(`Cannot set the threads: ${count} is not a positive integer`);
    this.#binding.context.threads = count;
    this.#chosen?.setThreads?.(count);
  }

  /** Always true. */
  get batchInvariant(): boolean {
    return true;
  }

  set batchInvariant(_value: boolean) {}

  alloc(bytes: number): Address {
    this.#live();
    try {
      this.host.hostAlloc(bytes, this.#out);
    } catch (error) {
      if (!(error instanceof KedgeError && error.code === "OutOfMemory")) throw error;
      const { used, free, budget } = this.memory();
      throw new KedgeError(
        "OutOfMemory",
        `Cannot allocate ${bytes} bytes on cpu: ${used} of ${budget} bytes are used, ${free} are free`,
        { asked: bytes, used, free, budget },
        { cause: error },
      );
    }
    return addressOf(this.#out[0]!);
  }

  free(address: Address): void {
    try {
      this.host.hostFree(address);
    } catch (error) {
      throw new KedgeError("Device", `Cannot free ${address} on cpu: ${this.#binding.status.message}`, { address }, { cause: error });
    }
  }

  write(address: Address, data: ArrayBufferView<ArrayBuffer>): void {
    this.host.hostWrite(address, data, data.byteLength);
  }

  read(into: ArrayBufferView<ArrayBuffer>, address: Address): void {
    this.host.hostRead(into, address, into.byteLength);
  }

  allocPinned(bytes: number): Address {
    return this.alloc(bytes);
  }

  freePinned(address: Address): void {
    this.free(address);
  }

  gemm(gemm: Gemm): void {
    const { a, b, c, lda, ldb, ldc, m, n, k, alpha = 1, beta = 0, dtype, cDtype = dtype } = gemm;
    const transA = gemm.transA ? 1 : 0, transB = gemm.transB ? 1 : 0;
    const cblas = this.#chosen;
    if (cblas && dtype === "f32" && cDtype === "f32" && m * n * k >= SMALL_PRODUCT && Math.max(m, n, k, lda, ldb, ldc) < 2 ** 31) {
      if (lda < (transA ? m : k) || ldb < (transB ? k : n) || ldc < n || !a || !b || !c) {
        throw new RangeError(
          `Cannot multiply [${m}, ${k}] by [${k}, ${n}]: lda ${lda}, ldb ${ldb}, ldc ${ldc}, addresses ${a}, ${b}, ${c}`,
        );
      }
      cblas.sgemm(101, 111 + transA, 111 + transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
      return;
    }
    this.ops.gemm(DTYPES[dtype], c, DTYPES[cDtype], ldc, a, lda, transA, b, ldb, transB, m, n, k, alpha, beta);
  }

  recordEvent(): DeviceEvent {
    return 0;
  }

  waitEvent(_event: DeviceEvent): void {}

  freeEvent(_event: DeviceEvent): void {}

  synchronize(): void {}

  /** Memory of the process: what all its CPU devices hold, and their budget. */
  memory(): MemoryReport {
    this.host.hostMemory(this.#report);
    const [used, peak, , budget, allocations] = Array.from(this.#report, Number) as [number, number, number, number, number, number];
    return { used, peak, free: Math.max(0, budget - used), budget, allocations };
  }

  /** Resets the peak to what is used now. */
  resetPeak(): void {
    this.host.hostBudget(this.memory().budget, 1);
  }

  /** Sets what this process may use; default: 0.8 of what the machine or its cgroup has free now. */
  setBudget(bytes = 0): void {
    this.host.hostBudget(bytes, 0);
  }

  /** Frees the workspace of the ops. Allocations stay. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#binding.release();
  }

  #live(): void {
    if (this.#closed) throw new KedgeError("Device", "Cannot use cpu: this device was closed");
  }
}
