/**
 * The system's CBLAS, if there is one, as another GEMM for training on the CPU.
 *
 * @module
 */
import type { Address } from "./address.ts";
import { loadLibrary } from "./load.ts";

/** A loaded CBLAS. */
export interface Cblas {
  /** Such as "OpenBLAS". */
  readonly name: string;
  /** The name or path by which it was loaded. */
  readonly path: string;
  /** Row-major C = alpha op(A) op(B) + beta C, as of CBLAS; addresses are host addresses. */
  // deno-fmt-ignore
  readonly sgemm: (order: number, transA: number, transB: number, m: number, n: number, k: number, alpha: number, a: Address, lda: number,
    b: Address, ldb: number, beta: number, c: Address, ldc: number) => void;
  /** Sets the library's threads, for the whole process; undefined if the library has no such function. */
  readonly setThreads?: (threads: number) => void;
}

/** The function that is bound. */
export const CBLAS_SYMBOLS = {
  cblas_sgemm: {
    parameters: ["i32", "i32", "i32", "i32", "i32", "i32", "f32", "u64", "i32", "u64", "i32", "f32", "u64", "i32"],
    result: "void",
  },
} as const satisfies Deno.ForeignLibraryInterface;
/** How the threads are set, by a name of each library's own. BLIS takes a 64-bit count, the others an int: a register holds either. */
export const SET_THREADS = { parameters: ["i64"], result: "void" } as const satisfies Deno.ForeignFunction;

// Each by the names of its shared object. Reference CBLAS is not among them: it is slower than the built-in GEMM.
// `preferred`: taken by "auto". Accelerate reaches Apple's matrix units, which no other code can. The others are as fast as the built-in GEMM alone
// and slower beside Kedge's own ops, since two pools of threads then spin for the same cores (docs/log/2026-11.md, 2026-11-22).
const KNOWN: readonly { name: string; files: readonly string[]; threads: string; preferred?: boolean }[] = [
  { name: "Accelerate", files: ["/System/Library/Frameworks/Accelerate.framework/Accelerate"], threads: "", preferred: true },
  { name: "MKL", files: ["libmkl_rt.so.2", "libmkl_rt.so"], threads: "MKL_Set_Num_Threads" },
  {
    name: "OpenBLAS",
    files: ["libopenblas.so.0", "libopenblas.so", "libopenblas.dylib", "/opt/homebrew/opt/openblas/lib/libopenblas.dylib"],
    threads: "openblas_set_num_threads",
  },
  { name: "BLIS", files: ["libblis.so.4", "libblis.so"], threads: "bli_thread_set_num_threads" },
];

function load(path: string, name: string, threads: string): Cblas {
  const sgemm = loadLibrary(path, CBLAS_SYMBOLS).cblas_sgemm as unknown as Cblas["sgemm"];
  if (!threads) return { name, path, sgemm };
  try {
    const set = loadLibrary(path, { [threads]: SET_THREADS })[threads]!;
    return { name, path, sgemm, setThreads: (count) => void set(count) };
  } catch {
    return { name, path, sgemm };
  }
}

/**
 * Loads a CBLAS.
 *
 * @param choice "builtin": none; "auto": Accelerate on macOS, else none; "system": the first known one that loads, none if there is none; else a path or
 *   file name, which must load.
 * @throws {Error} The loader's, for a path that does not load.
 */
export function openCblas(choice: string): Cblas | undefined {
  if (choice === "builtin") return undefined;
  if (choice !== "auto" && choice !== "system") {
    const library = KNOWN.find(({ name }) => choice.toLowerCase().includes(name === "MKL" ? "mkl_rt" : name.toLowerCase()));
    return load(choice, library?.name ?? "CBLAS", library?.threads ?? "openblas_set_num_threads");
  }
  for (const { name, files, threads, preferred } of KNOWN) {
    if (choice === "auto" && !preferred) continue;
    for (const file of files) {
      if ((file.endsWith(".dylib") || file.includes(".framework/")) !== (Deno.build.os === "darwin")) continue;
      try {
        return load(file, name, threads);
      } catch {
        continue; // not here, or without cblas_sgemm
      }
    }
  }
  return undefined;
}
