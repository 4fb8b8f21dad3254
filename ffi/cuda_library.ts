/**
 * The CUDA library: how nvcc builds it, and its symbols.
 *
 * @module
 */
import { join } from "node:path";
import { type Build, buildLibrary, type BuildOptions } from "./build.ts";
import { visible } from "./environment.ts";
import { opSymbols, type Symbols } from "./generated/bindings.ts";
import { kernelSources } from "./generated/sources.ts";
import { toolkitFolders } from "./libraries.ts";
import { loadLibrary } from "./load.ts";

/** Flags for every .cu: machine code for sm_80 and sm_90a, and PTX that newer devices translate for themselves. */
const NVCC_FLAGS: readonly string[] = [
  "-std=c++17",
  "-O3",
  "-gencode=arch=compute_80,code=sm_80",
  "-gencode=arch=compute_90a,code=sm_90a",
  "-gencode=arch=compute_90,code=compute_90",
  "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra",
];

/** How CUDA sources are compiled; the runtime is linked in, so that the library needs nothing but the driver. */
export function cudaBuild(): Build {
  const sources = Object.fromEntries(Object.entries(kernelSources).filter(([path]) => /^kernels\/(include|common|cuda)\//.test(path)));
  const toolkit = toolkitFolders().map((folder) => join(folder, "bin", "nvcc")).filter(visible);
  return {
    name: "kedge_cuda",
    label: "CUDA kernels",
    compilers: ["nvcc", ...toolkit],
    advice: "Install the CUDA toolkit (https://developer.nvidia.com/cuda-downloads, or apt-get install cuda-nvcc-13-0), and g++ beside it.",
    sources,
    units: Object.keys(sources).filter((path) => path.endsWith(".cu")),
    compileFlags: NVCC_FLAGS,
    linkFlags: ["-shared", "-cudart=static"],
    identify: ["--version"],
  };
}

/** Opens the library at `path`, or else builds it if need be. @throws {KedgeError} `Build`. */
export function openCudaLibrary(
  options: BuildOptions & { path?: string | undefined } = {},
): { path: string; ops: Symbols<typeof opSymbols> } {
  const path = options.path ?? buildLibrary(cudaBuild(), options);
  return { path, ops: loadLibrary(path, opSymbols) as Symbols<typeof opSymbols> };
}
