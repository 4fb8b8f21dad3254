/**
 * Runs the code of the CUDA kernels on host memory. g++ compiles it with tests/cuda_emu/, and threads run one at a time.
 *
 * @module
 */
import { type Build, buildLibrary } from "../../ffi/build.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { CXX } from "../../ffi/cpu_library.ts";
import { type Device, type DeviceEvent, DTYPES, type Gemm, type MemoryReport } from "../../ffi/device.ts";
import type { Address } from "../../ffi/address.ts";
import type { Host, Ops, opSymbols, Symbols } from "../../ffi/generated/bindings.ts";
import { opSymbols as symbols } from "../../ffi/generated/bindings.ts";
import { kernelSources } from "../../ffi/generated/sources.ts";
import { type Foreign, loadLibrary } from "../../ffi/load.ts";
import { OpBinding } from "../../ffi/op_binding.ts";
import emulator from "../cuda_emu/cuda_emu.cpp" with { type: "text" };
import emulatorHeader from "../cuda_emu/cuda_emu.h" with { type: "text" };
import race from "../cuda_emu/race.cpp" with { type: "text" };
import raceHeader from "../cuda_emu/race.h" with { type: "text" };

/** How the emulated library is built. @param options `races`: with the race checker of tests/cuda_emu/race.h, which is slow. */
export function emulationBuild(options: { races?: boolean } = {}): Build {
  const { races = false } = options;
  const kernels = Object.entries(kernelSources).filter(([path]) => /^kernels\/(include|common|cuda)\//.test(path));
  const folder = "tests/cuda_emu";
  const sources = {
    ...Object.fromEntries(kernels),
    [`${folder}/cuda_emu.h`]: emulatorHeader,
    [`${folder}/cuda_emu.cpp`]: emulator,
    [`${folder}/race.h`]: raceHeader,
    ...(races && { [`${folder}/race.cpp`]: race }),
  };
  // deno-fmt-ignore
  const compileFlags = ["-std=c++17", "-O2", "-march=native", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-DKEDGE_CUDA_EMU", "-include",
    `${folder}/cuda_emu.h`, ...(races ? ["-DKEDGE_EMU_RACE", "-g", "-fno-tree-vectorize"] : []), "-x", "c++"];
  return {
    ...CXX,
    name: races ? "kedge_emu_races" : "kedge_emu",
    label: `emulated CUDA kernels for the tests${races ? ", with the race checker" : ""}`,
    sources,
    units: Object.keys(sources).filter((path) => /\.(cu|cpp)$/.test(path)),
    compileFlags,
    ...(races && { unitFlags: watched(Object.keys(sources)) }),
    linkFlags: ["-shared"],
  };
}

/** The flags with which the kernels among these files report every access to memory; the emulator itself does not. */
export function watched(paths: readonly string[]): Record<string, readonly string[]> {
  return Object.fromEntries(paths.filter((path) => path.endsWith(".cu")).map((path) => [path, ["-fsanitize=thread"]]));
}

/** Launches that ran, and kernels that cannot run emulated. */
export interface EmulationCounts {
  launches: number;
  excluded: number;
}

/** A CPU device whose ops are the emulated CUDA kernels. */
export class EmulatedDevice implements Device {
  readonly kind = "cuda";
  readonly name = "emu";
  readonly ordinal = 0;
  readonly description: string;
  readonly ops: Ops;
  readonly host: Host;
  readonly #binding: OpBinding;
  readonly #counts: () => EmulationCounts;
  readonly #races: Foreign | undefined;

  private constructor(readonly cpu: CpuDevice, path: string, races: boolean) {
    this.#binding = new OpBinding(loadLibrary(path, symbols) as Symbols<typeof opSymbols>, {
      ordinal: 0,
      memory: { alloc: (bytes) => this.alloc(bytes), free: (address) => this.free(address) },
    });
    this.ops = this.#binding.ops;
    this.host = cpu.host;
    this.description = `emulated CUDA kernels over ${cpu.description}`;
    const { kedge_emu_launches, kedge_emu_excluded } = loadLibrary(path, {
      kedge_emu_launches: { parameters: [], result: "i64" },
      kedge_emu_excluded: { parameters: [], result: "i32" },
    });
    if (races) this.#races = loadLibrary(path, { kedge_emu_races: { parameters: ["buffer", "i64"], result: "i64" } }).kedge_emu_races!;
    this.#counts = () => ({ launches: Number(kedge_emu_launches!()), excluded: Number(kedge_emu_excluded!()) });
  }

  /** Builds the library if need be. @param options `races`: with the race checker. */
  static open(options: { races?: boolean } = {}): EmulatedDevice {
    return new EmulatedDevice(CpuDevice.open({ blas: "builtin" }), buildLibrary(emulationBuild(options)), options.races ?? false);
  }

  /** The races since the last call; none without the race checker. */
  races(): string[] {
    const text = new Uint8Array(1 << 16);
    this.#races?.(text, text.length);
    return new TextDecoder().decode(text.subarray(0, text.indexOf(0))).split("\n").filter((line) => line !== "");
  }

  /** The launches so far in this process. */
  get counts(): EmulationCounts {
    return this.#counts();
  }

  get batchInvariant(): boolean {
    return this.#binding.context.batchInvariant;
  }

  set batchInvariant(value: boolean) {
    this.#binding.context.batchInvariant = value;
  }

  /** Memory that holds NaN of any type, and -1 as integers: an op that reads what nobody wrote does not find zeros by chance. */
  alloc(bytes: number): Address {
    const address = this.cpu.alloc(bytes);
    if (bytes > 0) new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(BigInt(address))!, bytes)).fill(0xff);
    return address;
  }

  free(address: Address): void {
    this.cpu.free(address);
  }

  write(address: Address, data: ArrayBufferView<ArrayBuffer>): void {
    this.cpu.write(address, data);
  }

  read(into: ArrayBufferView<ArrayBuffer>, address: Address): void {
    this.cpu.read(into, address);
  }

  allocPinned(bytes: number): Address {
    return this.cpu.alloc(bytes);
  }

  freePinned(address: Address): void {
    this.cpu.free(address);
  }

  gemm(gemm: Gemm): void {
    const { dtype, cDtype = dtype, a, b, c, lda, ldb, ldc, m, n, k, alpha = 1, beta = 0 } = gemm;
    const transA = gemm.transA ? 1 : 0, transB = gemm.transB ? 1 : 0;
    this.ops.gemm(DTYPES[dtype], c, DTYPES[cDtype], ldc, a, lda, transA, b, ldb, transB, m, n, k, alpha, beta);
  }

  recordEvent(): DeviceEvent {
    return 0;
  }

  waitEvent(_event: DeviceEvent): void {}

  freeEvent(_event: DeviceEvent): void {}

  synchronize(): void {}

  memory(): MemoryReport {
    return this.cpu.memory();
  }

  resetPeak(): void {
    this.cpu.resetPeak();
  }

  [Symbol.dispose](): void {
    this.#binding.release();
    this.cpu[Symbol.dispose]();
  }
}
