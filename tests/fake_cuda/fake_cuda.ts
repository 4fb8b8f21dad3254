/**
 * Two CUDA devices on host memory, for tests of `CudaDevice` without a GPU: see fake_cuda.h for what they defer, check and break.
 *
 * @module
 */
import { type Build, buildLibrary } from "../../ffi/build.ts";
import { CXX, openCpuLibrary } from "../../ffi/cpu_library.ts";
import { CudaDevice } from "../../ffi/cuda_device.ts";
import { kernelSources } from "../../ffi/generated/sources.ts";
import { type Foreign, loadLibrary } from "../../ffi/load.ts";
import { fakeKernels } from "./kernels.ts";
import cublas from "./cublas.cpp" with { type: "text" };
import cudart from "./cudart.cpp" with { type: "text" };
import fakeHeader from "./fake_cuda.h" with { type: "text" };
import nccl from "./nccl.cpp" with { type: "text" };
import machine from "./machine.cpp" with { type: "text" };
import machineHeader from "./machine.h" with { type: "text" };

const HEADER = "kernels/include/kedge.h", STATUS = "kernels/common/status.h", FOLDER = "tests/fake_cuda";

/** How the fake is built. */
export function fakeBuild(): Build {
  const sources = {
    [HEADER]: kernelSources[HEADER]!,
    [STATUS]: kernelSources[STATUS]!,
    [`${FOLDER}/fake_cuda.h`]: fakeHeader,
    [`${FOLDER}/machine.h`]: machineHeader,
    [`${FOLDER}/machine.cpp`]: machine,
    [`${FOLDER}/cudart.cpp`]: cudart,
    [`${FOLDER}/cublas.cpp`]: cublas,
    [`${FOLDER}/nccl.cpp`]: nccl,
    [`${FOLDER}/kernels.cpp`]: fakeKernels(kernelSources[HEADER]!),
  };
  const units = Object.keys(sources).filter((path) => path.endsWith(".cpp"));
  const compileFlags = ["-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"];
  return {
    ...CXX,
    name: "kedge_fake_cuda",
    label: "fake CUDA for the tests",
    sources,
    units,
    compileFlags,
    linkFlags: ["-shared", "-ldl"],
  };
}

/** The live objects of a fake. */
export interface Live {
  allocations: number;
  pinned: number;
  events: number;
  streams: number;
  cublas: number;
  graphs: number;
}

/** The fake's controls. One for the process: its devices are the library's globals. */
export class FakeCuda {
  readonly #call: Readonly<Record<string, Foreign>>;

  /** @param path The built library, which is libcudart, libcublas, libnccl and the kernels in one. */
  private constructor(readonly path: string) {
    this.#call = loadLibrary(path, {
      fake_cuda_kernels: { parameters: ["buffer"], result: "i32" },
      fake_cuda_reset: { parameters: [], result: "void" },
      fake_cuda_fail_alloc: { parameters: ["i64", "i64"], result: "void" },
      fake_cuda_fail_launch: { parameters: ["i64"], result: "void" },
      fake_cuda_defer: { parameters: ["i32"], result: "void" },
      fake_cuda_set_memory: { parameters: ["i64"], result: "void" },
      fake_cuda_live: { parameters: ["buffer"], result: "void" },
      fake_cuda_replays: { parameters: [], result: "i64" },
      fake_cuda_violations: { parameters: ["buffer", "i64"], result: "i64" },
    });
    const kernels = new TextEncoder().encode(`${openCpuLibrary().path}\0`);
    if (this.#call.fake_cuda_kernels!(kernels) !== 0) throw new Error("Cannot load the CPU library behind the fake kernels");
  }

  /** Builds the fake if need be and loads it. */
  static load(): FakeCuda {
    return new FakeCuda(buildLibrary(fakeBuild()));
  }

  /** A device over the fake. */
  open(ordinal = 0): CudaDevice {
    return CudaDevice.open({ ordinal, libraries: { cudart: this.path, cublas: this.path, kernels: this.path } });
  }

  /** Forgets everything, also what is alive: only devices opened later work. */
  reset(): void {
    this.#call.fake_cuda_reset!();
  }

  /** The n-th allocation from now (1: the next) and the `times` - 1 after it find no memory. */
  failAlloc(n: number, times = 1): void {
    this.#call.fake_cuda_fail_alloc!(n, times);
  }

  /** The n-th kernel or product from now breaks its device when it runs. */
  failLaunch(n: number): void {
    this.#call.fake_cuda_fail_launch!(n);
  }

  /** Whether kernels wait in their streams too, as copies always do; they must then need no workspace and accept their arguments. */
  set defer(value: boolean) {
    this.#call.fake_cuda_defer!(value ? 1 : 0);
  }

  /** Bytes of every device. */
  set memory(bytes: number) {
    this.#call.fake_cuda_set_memory!(bytes);
  }

  /** Returns the live objects. */
  live(): Live {
    const out = new BigInt64Array(6);
    this.#call.fake_cuda_live!(out);
    const [allocations, pinned, events, streams, cublas, graphs] = Array.from(out, Number);
    return { allocations: allocations!, pinned: pinned!, events: events!, streams: streams!, cublas: cublas!, graphs: graphs! };
  }

  /** Launches of graphs since the last reset. */
  replays(): number {
    return Number(this.#call.fake_cuda_replays!());
  }

  /** The misuses since the last reset. */
  violations(): string[] {
    const out = new Uint8Array(1 << 16);
    this.#call.fake_cuda_violations!(out, out.length);
    return new TextDecoder().decode(out.subarray(0, out.indexOf(0))).split("\n").filter((line) => line !== "");
  }
}
