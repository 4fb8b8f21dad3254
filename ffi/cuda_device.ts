import { type Address, addressOf } from "./address.ts";
import { openCpuLibrary } from "./cpu_library.ts";
import { Cublas, CUBLAS_WORKSPACE_BYTES, type CublasHandle } from "./cublas.ts";
import { openCudaLibrary } from "./cuda_library.ts";
import {
  CAPTURE_THREAD_LOCAL,
  COPY_DEFAULT,
  CUDA_ATTRIBUTE,
  CUDA_ERROR,
  CUDA_POOL,
  Cudart,
  DISABLE_TIMING,
  PINNED_PORTABLE_MAPPED,
  versionText,
} from "./cudart.ts";
import { type CapturedWork, type Device, type DeviceEvent, DTYPES, type Gemm, type MemoryReport, type PendingRead } from "./device.ts";
import { KedgeError } from "./errors.ts";
import type { Host, hostSymbols, Ops, opSymbols, Symbols } from "./generated/bindings.ts";
import { environment } from "./environment.ts";
import { OpBinding } from "./op_binding.ts";
import { ReadRing } from "./read_ring.ts";
import { WriteRing } from "./write_ring.ts";

/** Options of {@linkcode CudaDevice.open}. */
export interface CudaOptions {
  /** The number of the device. Default 0. */
  ordinal?: number;
  /** Whether f32 products may round their inputs to TF32 (10 bits), for speed. Default false. */
  tf32?: boolean;
  /**
   * Whether the device finishes each op, product and copy before the next one starts, so that a failure names the call that it belongs to. It is slow. Default: whether
   * the environment has `KEDGE_SYNC=1`.
   */
  synchronous?: boolean;
  /** Folder of the built kernels. */
  cache?: string;
  /** Paths of libraries to use in place of those that are found or built. */
  libraries?: { cudart?: string; cublas?: string; kernels?: string };
}

interface Parts {
  cudart: Cudart;
  cublas: Cublas | undefined;
  kernels: { path: string; ops: Symbols<typeof opSymbols> };
  host: Symbols<typeof hostSymbols>;
  ordinal: number;
  tf32: boolean;
  synchronous: boolean;
}

const NON_BLOCKING_STREAM = 1;

/** Loads the runtime and sees that it has the device. */
function openCudart(path: string | undefined, ordinal: number): Cudart {
  const cudart = path === undefined ? Cudart.find() : Cudart.load(path);
  if (!cudart) {
    throw new KedgeError(
      "Device",
      `Cannot open cuda:${ordinal}: libcudart.so.13 or .12 is neither in the loader's path, nor under CUDA_HOME or /usr/local/cuda, nor in a Python ` +
        `wheel. Install the CUDA toolkit, or "pip install nvidia-cuda-runtime".`,
    );
  }
  if (cudart.deviceCount === 0) {
    const { runtimeVersion, driverVersion } = cudart;
    const versions = `CUDA runtime ${versionText(runtimeVersion)}, ${
      driverVersion ? `driver for ${versionText(driverVersion)}` : "no driver"
    }`;
    throw new KedgeError("Device", `Cannot open cuda:${ordinal}: ${cudart.noDevice} (${versions}, ${cudart.path})`);
  }
  if (!Number.isInteger(ordinal) || ordinal < 0 || ordinal >= cudart.deviceCount) {
    throw new KedgeError("Device", `Cannot open cuda:${ordinal}: there are ${cudart.deviceCount} devices, numbered from 0`);
  }
  return cudart;
}

/**
 * An NVIDIA device, with one stream. Memory comes from the device's default pool, which keeps what is freed; the account is the process's, as the
 * pool keeps it. A failure of asynchronous work shows at a later call, unless the device was opened with `synchronous`.
 *
 * @example
 * ```ts
 * import { CudaDevice } from "@kedge/kedge/tensor";
 * import { assertThrows } from "@std/assert";
 *
 * // Where there is a GPU: `using device = CudaDevice.open({ ordinal: 0 })`. What is missing is named:
 * assertThrows(() => CudaDevice.open({ libraries: { cudart: "no/such/libcudart.so" } }), Error, "no/such/libcudart.so");
 * ```
 */
export class CudaDevice implements Device {
  /** "cuda". */
  readonly kind = "cuda";
  readonly name: string;
  readonly ordinal: number;
  readonly description: string;
  readonly ops: Ops;
  readonly host: Host;
  /** The GEMM of {@linkcode CudaDevice.gemm}: cuBLAS's version and path, or "built-in". */
  readonly blas: { readonly name: string; readonly path: string };
  /** Undefined on a device that is synchronous. */
  readonly capture: ((work: () => void) => CapturedWork) | undefined;
  /** The library of kernels. */
  readonly library: string;
  /** "9.0". */
  readonly computeCapability: string;
  readonly #cudart: Cudart;
  readonly #cublas: Cublas | undefined;
  readonly #binding: OpBinding;
  readonly #stream: Address;
  readonly #pool: Address;
  readonly #tf32: boolean;
  readonly #out = new BigUint64Array(1);
  readonly #out2 = new BigUint64Array(1);
  readonly #synchronous: boolean;
  #ring: WriteRing | undefined;
  #reads: ReadRing | undefined;
  #blasHandle: CublasHandle | undefined;
  #blasWorkspace: Address = 0;
  #allocations = 0;
  #closed = false;

  private constructor({ cudart, cublas, kernels, host, ordinal, tf32, synchronous }: Parts) {
    this.#cudart = cudart;
    this.#synchronous = synchronous;
    this.capture = synchronous ? undefined : (work) => this.#capture(work);
    this.#cublas = cublas;
    this.#tf32 = tf32;
    this.ordinal = ordinal;
    this.name = `cuda:${ordinal}`;
    this.library = kernels.path;
    this.blas = cublas ? { name: `cuBLAS ${cublas.version}`, path: cublas.path } : { name: "built-in", path: kernels.path };
    const name = cudart.deviceName(ordinal);
    if (cudart.attribute(ordinal, CUDA_ATTRIBUTE.memoryPools) === 0) {
      throw new KedgeError("Unsupported", `Cannot open ${this.name}: ${name} has no memory pools (virtual GPUs lack them)`);
    }
    const major = cudart.attribute(ordinal, CUDA_ATTRIBUTE.major), minor = cudart.attribute(ordinal, CUDA_ATTRIBUTE.minor);
    this.computeCapability = `${major}.${minor}`;
    if (major < 8) {
      throw new KedgeError(
        "Unsupported",
        `Cannot open ${this.name}: ${name} has compute capability ${major}.${minor}; the kernels need 8.0 or more`,
      );
    }
    this.#check(cudart.call.cudaSetDevice(ordinal), "use");
    this.#check(cudart.call.cudaStreamCreateWithFlags(this.#out, NON_BLOCKING_STREAM), "make a stream on");
    this.#stream = addressOf(this.#out[0]!);
    this.#check(cudart.call.cudaDeviceGetDefaultMemPool(this.#out, ordinal), "find the memory pool of");
    this.#pool = addressOf(this.#out[0]!);
    // Freed memory stays in the pool: giving it back at every synchronisation would cost more than the kernels.
    this.#out[0] = 2n ** 64n - 1n;
    this.#check(cudart.call.cudaMemPoolSetAttribute(this.#pool, CUDA_POOL.releaseThreshold, this.#out), "set up the memory pool of");
    const memory = { alloc: (bytes: number) => this.#take(bytes), free: (address: Address) => this.#give(address) };
    this.#binding = new OpBinding(kernels.ops, { ordinal, memory });
    this.#binding.context.stream = this.#stream;
    this.ops = synchronous ? this.#finishing(this.#binding.ops) : this.#binding.ops;
    this.host = this.#binding.bindHost(host);
    const versions = `CUDA ${versionText(cudart.runtimeVersion)} (driver for ${versionText(cudart.driverVersion)})`;
    this.description = `${this.name}: ${name}, compute capability ${this.computeCapability}, ` +
      `${cudart.attribute(ordinal, CUDA_ATTRIBUTE.multiprocessors)} multiprocessors, ${versions}, GEMM by ${this.blas.name}${
        synchronous ? ", synchronous" : ""
      }`;
  }

  /**
   * Opens a device on a stream of its own, building the kernels on first use.
   *
   * @throws {KedgeError} `Device` if there is no such device or no runtime; `Build` with the compiler's words; `Unsupported` for one too old.
   */
  static open(options: CudaOptions = {}): CudaDevice {
    const { ordinal = 0, tf32 = false, libraries = {}, synchronous = environment("KEDGE_SYNC") === "1" } = options;
    const build = options.cache === undefined ? {} : { cache: options.cache };
    const cudart = openCudart(libraries.cudart, ordinal);
    const cublas = libraries.cublas === undefined ? Cublas.find(Math.floor(cudart.runtimeVersion / 1000)) : Cublas.load(libraries.cublas);
    const kernels = openCudaLibrary({ ...build, path: libraries.kernels });
    const { host } = openCpuLibrary(build);
    return new CudaDevice({ cudart, cublas, kernels, host, ordinal, tf32, synchronous });
  }

  get batchInvariant(): boolean {
    return this.#binding.context.batchInvariant;
  }

  set batchInvariant(value: boolean) {
    this.#binding.context.batchInvariant = value;
  }

  alloc(bytes: number): Address {
    const address = this.#take(bytes);
    this.#allocations++;
    return address;
  }

  free(address: Address): void {
    this.#give(address);
    this.#allocations--;
  }

  /** Copies host bytes to the device, in stream order. `data` may change when this returns. */
  write(address: Address, data: ArrayBufferView<ArrayBuffer>): void {
    if (data.byteLength === 0) return;
    this.#enter();
    this.#ring ??= new WriteRing(this.#cudart, this.#stream);
    const action = `write ${data.byteLength} bytes to`;
    this.#check(this.#ring.write(address, data), action);
    if (this.#synchronous) this.#finish(action);
  }

  read(into: ArrayBufferView<ArrayBuffer>, address: Address): void {
    this.#enter();
    if (into.byteLength > 0) {
      this.#check(
        this.#cudart.call.copyOut(into, address, into.byteLength, COPY_DEFAULT, this.#stream),
        `read ${into.byteLength} bytes from`,
      );
    }
    this.synchronize();
  }

  #capture(work: () => void): CapturedWork {
    const { call } = this.#cudart, out = new BigUint64Array(1), binding = this.#binding;
    this.#enter();
    this.#check(call.cudaStreamBeginCapture(this.#stream, CAPTURE_THREAD_LOCAL), "record work of");
    binding.recording = true;
    let done = false;
    try {
      work();
      done = true;
    } finally {
      binding.recording = false;
      const ended = call.cudaStreamEndCapture(this.#stream, out);
      if (done) this.#check(ended, "record work of");
      else if (ended === 0) call.cudaGraphDestroy(addressOf(out[0]!));
    }
    const graph = addressOf(out[0]!), instantiated = call.cudaGraphInstantiate(out, graph, 0);
    call.cudaGraphDestroy(graph);
    this.#check(instantiated, "make recorded work ready on");
    const executable = addressOf(out[0]!), workspace = binding.context.workspace.address;
    let open = true;
    return {
      get valid() {
        return open && binding.context.workspace.address === workspace;
      },
      launch: () => {
        this.#enter();
        this.#check(call.cudaGraphLaunch(executable, this.#stream), "run recorded work on");
      },
      [Symbol.dispose]: () => {
        if (open) call.cudaGraphExecDestroy(executable);
        open = false;
      },
    };
  }

  readLater(address: Address, bytes: number): PendingRead {
    this.#enter();
    this.#reads ??= new ReadRing(this.#cudart, this.#stream);
    return this.#reads.read(address, bytes);
  }

  allocPinned(bytes: number): Address {
    this.#enter();
    const code = this.#cudart.call.cudaHostAlloc(this.#out, Math.max(1, bytes), PINNED_PORTABLE_MAPPED);
    if (code === CUDA_ERROR.memoryAllocation) {
      this.#cudart.call.cudaGetLastError();
      const { used, free } = this.memory();
      throw new KedgeError("OutOfMemory", `Cannot page-lock ${bytes} bytes of host memory for ${this.name}: ${this.#cudart.words(code)}`, {
        asked: bytes,
        used,
        free,
      });
    }
    this.#check(code, `page-lock ${bytes} bytes of host memory for`);
    this.#allocations++;
    return addressOf(this.#out[0]!);
  }

  freePinned(address: Address): void {
    this.synchronize(); // the driver does not wait for copies that still read it
    this.#check(this.#cudart.call.cudaFreeHost(address), `free the page-locked ${address} of`);
    this.#allocations--;
  }

  gemm(gemm: Gemm): void {
    const { a, b, c, lda, ldb, ldc, m, n, k, dtype, cDtype = dtype } = gemm;
    if (m === 0 || n === 0) return;
    if (!this.#cublas || this.batchInvariant || k === 0 || (dtype !== "f32" && dtype !== "bf16")) {
      // deno-fmt-ignore
      this.ops.gemm(DTYPES[dtype], c, DTYPES[cDtype], ldc, a, lda, gemm.transA ? 1 : 0, b, ldb, gemm.transB ? 1 : 0, m, n, k, gemm.alpha ?? 1,
        gemm.beta ?? 0);
      return;
    }
    if (
      !(lda >= (gemm.transA ? m : k) && ldb >= (gemm.transB ? k : n) && ldc >= n && a && b && c) ||
      Math.max(m, n, k, lda, ldb, ldc) >= 2 ** 31
    ) {
      throw new RangeError(`Cannot multiply [${m}, ${k}] by [${k}, ${n}]: lda ${lda}, ldb ${ldb}, ldc ${ldc}, addresses ${a}, ${b}, ${c}`);
    }
    this.#enter();
    if (!this.#blasHandle) {
      this.#blasWorkspace ||= this.#take(CUBLAS_WORKSPACE_BYTES);
      this.#blasHandle = this.#cublas.open({ stream: this.#stream, workspace: this.#blasWorkspace });
    }
    this.#blasHandle.gemm(gemm, this.#tf32);
    if (this.#synchronous) this.#finish("run gemm (cuBLAS) on");
  }

  /** Calls another library that works on the device's stream, with this device in use on the thread. @param call Gets the stream. */
  inStream<T>(call: (stream: Address) => T): T {
    this.#enter();
    return call(this.#stream);
  }

  recordEvent(): DeviceEvent {
    return this.#record(DISABLE_TIMING);
  }

  /** Runs work on the device and waits for it. @returns The seconds that the device took, between two events of its stream. */
  timed(work: () => void): number {
    const start = this.#record(0), milliseconds = new Float32Array(1);
    work();
    const end = this.#record(0);
    this.synchronize();
    this.#check(this.#cudart.call.cudaEventElapsedTime(milliseconds, start, end), "take the time of");
    for (const event of [start, end]) this.freeEvent(event);
    return milliseconds[0]! / 1000;
  }

  waitEvent(event: DeviceEvent): void {
    if (event === 0) return;
    this.#enter();
    this.#check(this.#cudart.call.cudaStreamWaitEvent(this.#stream, event, 0), "wait for an event on");
  }

  freeEvent(event: DeviceEvent): void {
    if (event !== 0) this.#check(this.#cudart.call.cudaEventDestroy(event), "end an event of");
  }

  synchronize(): void {
    this.#enter();
    this.#check(this.#cudart.call.cudaStreamSynchronize(this.#stream), "finish the work on");
  }

  /** Memory of the device's pool: what the process holds, and what is free. */
  memory(): MemoryReport {
    this.#enter();
    const used = this.#poolAttribute(CUDA_POOL.used), peak = this.#poolAttribute(CUDA_POOL.usedHigh);
    const reserved = this.#poolAttribute(CUDA_POOL.reserved);
    this.#check(this.#cudart.call.cudaMemGetInfo(this.#out, this.#out2), "ask for the memory of");
    const free = Number(this.#out[0]!) + Math.max(0, reserved - used);
    return { used, peak, free, budget: used + free, allocations: this.#allocations };
  }

  /** Resets the peak to what is used now. */
  resetPeak(): void {
    this.#enter();
    this.#out[0] = 0n;
    this.#check(this.#cudart.call.cudaMemPoolSetAttribute(this.#pool, CUDA_POOL.usedHigh, this.#out), "reset the peak of");
  }

  /** Waits for all work, and frees the stream and its workspaces. Allocations stay. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    try {
      this.synchronize();
      this.#blasHandle?.close();
      if (this.#blasWorkspace) this.#give(this.#blasWorkspace);
      this.#binding.release();
      this.synchronize();
      this.#ring?.free();
      this.#reads?.free();
    } finally {
      this.#closed = true;
      this.#cudart.call.cudaStreamDestroy(this.#stream);
    }
  }

  #record(flags: number): DeviceEvent {
    this.#enter();
    this.#check(this.#cudart.call.cudaEventCreateWithFlags(this.#out, flags), "make an event on");
    const event = Number(this.#out[0]!) as DeviceEvent, code = this.#cudart.call.cudaEventRecord(event, this.#stream);
    if (code !== 0) this.#cudart.call.cudaEventDestroy(event);
    this.#check(code, "record an event on");
    return event;
  }

  #check(code: number, action: string): void {
    if (code !== 0) this.#cudart.check(code, `${action} ${this.name}`);
  }

  /** The ops, each of which finishes before it returns. */
  #finishing(ops: Ops): Ops {
    const finishing = Object.entries(ops).map(([name, op]: [string, (...values: never[]) => unknown]) => [name, (...values: never[]) => {
      const result = op(...values);
      this.#finish(`run ${name} on`);
      return result;
    }]);
    return Object.fromEntries(finishing);
  }

  #finish(action: string): void {
    this.#check(this.#cudart.call.cudaStreamSynchronize(this.#stream), action);
  }

  /** The current device belongs to the system's thread, and another device may have been used on it since. */
  #enter(): void {
    if (this.#closed) throw new KedgeError("Device", `Cannot use ${this.name}: this device was closed`);
    this.#check(this.#cudart.call.cudaSetDevice(this.ordinal), "use");
  }

  #poolAttribute(attribute: number): number {
    this.#check(this.#cudart.call.cudaMemPoolGetAttribute(this.#pool, attribute, this.#out), "ask for the memory of");
    return Number(this.#out[0]!);
  }

  /** Memory from the pool. Where there is none: what was freed but is still in use comes back with a synchronisation, what is in pieces with a trim. */
  #take(bytes: number): Address {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`Cannot allocate ${bytes} bytes: not a size`);
    this.#enter();
    const ask = () => this.#cudart.call.cudaMallocAsync(this.#out, Math.max(1, bytes), this.#stream);
    let code = ask();
    if (code === CUDA_ERROR.memoryAllocation) {
      this.#cudart.call.cudaGetLastError();
      this.#check(this.#cudart.call.cudaDeviceSynchronize(), "finish the work on"); // of all its streams
      this.#check(this.#cudart.call.cudaMemPoolTrimTo(this.#pool, 0), "trim the memory pool of");
      code = ask();
    }
    if (code === CUDA_ERROR.memoryAllocation) {
      this.#cudart.call.cudaGetLastError();
      const { used, free, budget } = this.memory();
      throw new KedgeError(
        "OutOfMemory",
        `Cannot allocate ${bytes} bytes on ${this.name}: ${used} of ${budget} bytes are used, ${free} are free (in pieces that are too small, or taken by others)`,
        { asked: bytes, used, free, budget },
      );
    }
    this.#check(code, `allocate ${bytes} bytes on`);
    return addressOf(this.#out[0]!);
  }

  #give(address: Address): void {
    this.#enter();
    this.#check(this.#cudart.call.cudaFreeAsync(address, this.#stream), `free ${address} on`);
  }
}
