/**
 * The CPU library: how it is built, and its symbols.
 *
 * @module
 */
import { type Build, buildLibrary, type BuildOptions } from "./build.ts";
import { hostSymbols, opSymbols, type Symbols } from "./generated/bindings.ts";
import { kernelSources } from "./generated/sources.ts";
import { loadLibrary } from "./load.ts";

/** The CPU library in this process. Its globals (memory, handles) are those of every worker that opened the same path. */
export interface CpuLibrary {
  readonly path: string;
  readonly ops: Symbols<typeof opSymbols>;
  readonly host: Symbols<typeof hostSymbols>;
}

const MAC = Deno.build.os === "darwin", ARM = Deno.build.arch === "aarch64";
const NATIVE = MAC && ARM ? "-mcpu=native" : "-march=native";

/** How C++ is compiled here, for this very processor. */
const CXX_FLAGS: readonly string[] = [
  "-std=c++17",
  "-O3",
  NATIVE,
  "-pthread",
  "-fno-math-errno",
  "-fPIC",
  "-fvisibility=hidden",
];

/** Build settings of every C++ library of Kedge: the compilers, the message if there is none, the linker's options. */
export const CXX = {
  compilers: ["c++", "g++"],
  advice: MAC
    ? 'Install one: "xcode-select --install".'
    : 'Install one: "apt-get install g++" (Debian, Ubuntu), "dnf install gcc-c++" (Fedora), "apk add g++" (Alpine).',
  compileFlags: CXX_FLAGS,
  linkFlags: ["-shared", "-pthread", ...(MAC ? [] : ["-ldl"])],
  // The predefined macros: the compiler's version and every instruction set that -march=native switched on.
  identify: [NATIVE, "-dM", "-E", "-x", "c++", "/dev/null"],
} as const satisfies Partial<Build>;

/** The build of the CPU library. */
export function cpuBuild(): Build {
  const sources = Object.fromEntries(Object.entries(kernelSources).filter(([path]) => /^kernels\/(include|common|cpu)\//.test(path)));
  const units = Object.keys(sources).filter((path) => path.endsWith(".cpp"));
  return { ...CXX, name: "kedge_cpu", label: "CPU kernels", sources, units };
}

// Looking for the built library runs the compiler for its identity, 40 ms: once for a thread and a cache folder.
const opened = new Map<string | undefined, CpuLibrary>();

/** Builds the library if need be and opens it. @throws {KedgeError} `Build`. */
export function openCpuLibrary(options: BuildOptions = {}): CpuLibrary {
  const before = opened.get(options.cache);
  if (before) return before;
  const path = buildLibrary(cpuBuild(), options);
  const symbols = loadLibrary(path, { ...opSymbols, ...hostSymbols });
  const library = { path, ops: symbols as CpuLibrary["ops"], host: symbols as CpuLibrary["host"] };
  opened.set(options.cache, library);
  return library;
}
