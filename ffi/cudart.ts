/**
 * The CUDA runtime through FFI: the calls used, found in the usual places, every status turned into an exception with the driver's words.
 *
 * @module
 */
import { KedgeError } from "./errors.ts";
import { candidates } from "./libraries.ts";
import { type Foreign, loadLibrary, textAt } from "./load.ts";

/** The functions that are bound. */
export const CUDART_SYMBOLS = {
  cudaRuntimeGetVersion: { parameters: ["buffer"], result: "i32" },
  cudaDriverGetVersion: { parameters: ["buffer"], result: "i32" },
  cudaGetDeviceCount: { parameters: ["buffer"], result: "i32" },
  cudaGetDeviceProperties: { parameters: ["buffer", "i32"], result: "i32" },
  cudaDeviceGetAttribute: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  cudaDeviceSynchronize: { parameters: [], result: "i32" },
  cudaSetDevice: { parameters: ["i32"], result: "i32" },
  cudaGetLastError: { parameters: [], result: "i32" },
  cudaGetErrorName: { parameters: ["i32"], result: "pointer" },
  cudaGetErrorString: { parameters: ["i32"], result: "pointer" },
  cudaStreamCreateWithFlags: { parameters: ["buffer", "u32"], result: "i32" },
  cudaStreamDestroy: { parameters: ["u64"], result: "i32" },
  cudaStreamSynchronize: { parameters: ["u64"], result: "i32" },
  cudaStreamWaitEvent: { parameters: ["u64", "u64", "u32"], result: "i32" },
  cudaEventCreateWithFlags: { parameters: ["buffer", "u32"], result: "i32" },
  cudaEventRecord: { parameters: ["u64", "u64"], result: "i32" },
  cudaEventSynchronize: { parameters: ["u64"], result: "i32" },
  cudaEventElapsedTime: { parameters: ["buffer", "u64", "u64"], result: "i32" },
  cudaEventDestroy: { parameters: ["u64"], result: "i32" },
  cudaStreamBeginCapture: { parameters: ["u64", "i32"], result: "i32" },
  cudaStreamEndCapture: { parameters: ["u64", "buffer"], result: "i32" },
  cudaGraphInstantiate: { parameters: ["buffer", "u64", "u64"], result: "i32" },
  cudaGraphLaunch: { parameters: ["u64", "u64"], result: "i32" },
  cudaGraphDestroy: { parameters: ["u64"], result: "i32" },
  cudaGraphExecDestroy: { parameters: ["u64"], result: "i32" },
  cudaMallocAsync: { parameters: ["buffer", "u64", "u64"], result: "i32" },
  cudaFreeAsync: { parameters: ["u64", "u64"], result: "i32" },
  cudaDeviceGetDefaultMemPool: { parameters: ["buffer", "i32"], result: "i32" },
  cudaMemPoolSetAttribute: { parameters: ["u64", "i32", "buffer"], result: "i32" },
  cudaMemPoolGetAttribute: { parameters: ["u64", "i32", "buffer"], result: "i32" },
  cudaMemPoolTrimTo: { parameters: ["u64", "u64"], result: "i32" },
  cudaMemGetInfo: { parameters: ["buffer", "buffer"], result: "i32" },
  cudaHostAlloc: { parameters: ["buffer", "u64", "u32"], result: "i32" },
  cudaFreeHost: { parameters: ["u64"], result: "i32" },
  copy: { name: "cudaMemcpyAsync", parameters: ["u64", "u64", "u64", "i32", "u64"], result: "i32" },
  copyOut: { name: "cudaMemcpyAsync", parameters: ["buffer", "u64", "u64", "i32", "u64"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Values of cudaError_t that are handled. */
export const CUDA_ERROR = { memoryAllocation: 2, insufficientDriver: 35, noDevice: 100 } as const;
/** cudaDeviceAttr values. */
export const CUDA_ATTRIBUTE = { multiprocessors: 16, major: 75, minor: 76, memoryPools: 115 } as const;
/** cudaMemPoolAttr values. */
export const CUDA_POOL = { releaseThreshold: 4, reserved: 5, used: 7, usedHigh: 8 } as const;
/** cudaHostAllocPortable and cudaHostAllocMapped: page-locked for all devices, and addressable by them. */
export const PINNED_PORTABLE_MAPPED = 1 | 2;
/** cudaEventDisableTiming. */
export const DISABLE_TIMING = 2;
/** cudaStreamCaptureModeThreadLocal: calls of other threads do not break a capture. */
export const CAPTURE_THREAD_LOCAL = 1;
/** cudaMemcpyDefault: the direction follows from the addresses. */
export const COPY_DEFAULT = 4;

// These leave the device's context unusable: the driver answers every later call of the process with them (CUDA Runtime API, cudaError_t).
const STICKY: ReadonlySet<number> = new Set([214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721]);

type Call = (...values: (number | BufferSource)[]) => number;

/** 13020 is 13.2. */
export function versionText(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

/** A loaded CUDA runtime. Calls take numbers for addresses and answer a cudaError_t. */
export class Cudart {
  /** The name or path by which it was loaded. */
  readonly path: string;
  readonly call: Readonly<Record<Exclude<keyof typeof CUDART_SYMBOLS, "cudaGetErrorName" | "cudaGetErrorString">, Call>>;
  /** CUDA version of the runtime, such as 13000. */
  readonly runtimeVersion: number;
  /** CUDA version that the driver can serve; 0 without a driver. */
  readonly driverVersion: number;
  /** Devices that it sees. */
  readonly deviceCount: number;
  /** Why there is no device, in the driver's words. */
  readonly noDevice: string | undefined;
  readonly #name: Foreign;
  readonly #text: Foreign;

  private constructor(path: string) {
    const symbols = loadLibrary(path, CUDART_SYMBOLS);
    this.path = path;
    this.call = symbols as Cudart["call"];
    this.#name = symbols.cudaGetErrorName!;
    this.#text = symbols.cudaGetErrorString!;
    const out = new Int32Array(1);
    this.check(this.call.cudaRuntimeGetVersion(out), "ask for the runtime's version");
    this.runtimeVersion = out[0]!;
    this.driverVersion = this.call.cudaDriverGetVersion(out) === 0 ? out[0]! : 0;
    const code = this.call.cudaGetDeviceCount(out);
    this.deviceCount = code === 0 ? out[0]! : 0;
    this.noDevice = code !== 0 ? this.words(code) : this.deviceCount === 0 ? "the driver lists none" : undefined;
    if (code !== 0) this.call.cudaGetLastError();
  }

  /** Loads the runtime from a path. @throws {Error} The loader's. */
  static load(path: string): Cudart {
    return new Cudart(path);
  }

  /**
   * The first runtime that sees a device; else the first that loads, else undefined. A runtime newer than the driver is ignored.
   */
  static find(): Cudart | undefined {
    let loaded: Cudart | undefined;
    if (Deno.build.os !== "linux") return undefined;
    for (const path of candidates("libcudart", ["13", "12"])) {
      try {
        const cudart = new Cudart(path);
        if (cudart.deviceCount > 0) return cudart;
        loaded ??= cudart;
      } catch {
        continue; // not installed
      }
    }
    return loaded;
  }

  /** Name and words of an error. */
  words(code: number): string {
    return `${textAt(this.#name(code))}: ${textAt(this.#text(code))}`;
  }

  /** @throws {KedgeError} `Device` for a code other than 0: "Cannot <action>: ..." */
  check(code: number, action: string): void {
    if (code === 0) return;
    this.call.cudaGetLastError(); // errors that pass do not stay for the next caller
    const lost = STICKY.has(code) ? ". The device is lost to this process: restart it. Work queued earlier may be what failed" : "";
    throw new KedgeError("Device", `Cannot ${action}: ${this.words(code)}${lost}`, { cuda: code, sticky: STICKY.has(code) });
  }

  /** A device's name, from the start of its properties (a struct that differs between versions behind it). */
  deviceName(ordinal: number): string {
    const properties = new Uint8Array(8192);
    this.check(this.call.cudaGetDeviceProperties(properties, ordinal), `read the properties of cuda:${ordinal}`);
    return new TextDecoder().decode(properties.subarray(0, Math.min(256, properties.indexOf(0))));
  }

  /** A number of {@linkcode CUDA_ATTRIBUTE}. */
  attribute(ordinal: number, attribute: number): number {
    const out = new Int32Array(1);
    this.check(this.call.cudaDeviceGetAttribute(out, attribute, ordinal), `read an attribute of cuda:${ordinal}`);
    return out[0]!;
  }
}
