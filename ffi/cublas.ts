/**
 * cuBLAS through FFI: the GEMMs of training on CUDA.
 *
 * @module
 */
import type { DType, Gemm } from "./device.ts";
import { KedgeError } from "./errors.ts";
import { type Address, addressOf } from "./address.ts";
import { firstLoaded } from "./libraries.ts";
import { type Foreign, loadLibrary, textAt } from "./load.ts";

/** The functions that are bound. */
export const CUBLAS_SYMBOLS = {
  cublasGetProperty: { parameters: ["i32", "buffer"], result: "i32" },
  cublasGetStatusString: { parameters: ["i32"], result: "pointer" },
  cublasCreate_v2: { parameters: ["buffer"], result: "i32" },
  cublasDestroy_v2: { parameters: ["u64"], result: "i32" },
  cublasSetStream_v2: { parameters: ["u64", "u64"], result: "i32" },
  cublasSetMathMode: { parameters: ["u64", "i32"], result: "i32" },
  cublasSetWorkspace_v2: { parameters: ["u64", "u64", "u64"], result: "i32" },
  cublasGemmEx: {
    // deno-fmt-ignore
    parameters: ["u64", "i32", "i32", "i32", "i32", "i32", "buffer", "u64", "i32", "i32", "u64", "i32", "i32", "buffer", "u64", "i32", "i32", "i32", "i32"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

type Call = (...values: (number | BufferSource)[]) => number;

/** cudaDataType. */
const TYPES: Partial<Record<DType, number>> = { f32: 0, f16: 2, bf16: 14 };
const COMPUTE_32F = 68, COMPUTE_TF32 = 77, GEMM_DEFAULT = -1, ALLOC_FAILED = 3;
/** Partial sums of a product that cuBLAS splits along k meet in f32, not in bf16 (CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION). */
const FULL_PRECISION_REDUCTION = 16;
/** Bytes of the scratch that cuBLAS's documentation advises for Hopper; a buffer of our own keeps results equal from run to run. */
export const CUBLAS_WORKSPACE_BYTES = 32 * 2 ** 20;

/** A loaded cuBLAS. */
export class Cublas {
  /** The name or path by which it was loaded. */
  readonly path: string;
  /** Such as "13.0.2". */
  readonly version: string;
  readonly #call: Readonly<Record<keyof typeof CUBLAS_SYMBOLS, Call>>;
  readonly #text: Foreign;

  private constructor(path: string) {
    const symbols = loadLibrary(path, CUBLAS_SYMBOLS);
    this.path = path;
    this.#call = symbols as Readonly<Record<keyof typeof CUBLAS_SYMBOLS, Call>>;
    this.#text = symbols.cublasGetStatusString!;
    const part = new Int32Array(1);
    this.version = [0, 1, 2].map((property) => {
      this.#check(this.#call.cublasGetProperty(property, part), "ask cuBLAS for its version");
      return part[0]!;
    }).join(".");
  }

  /** Loads cuBLAS from a path. @throws {Error} The loader's. */
  static load(path: string): Cublas {
    return new Cublas(path);
  }

  /** The first cuBLAS of a major version that loads. */
  static find(major: number): Cublas | undefined {
    return firstLoaded("libcublas", [`${major}`], (path) => new Cublas(path));
  }

  /** A handle on a stream, with its own workspace: with both fixed, cuBLAS gives equal bits in every run. */
  open(options: { stream: Address; workspace: Address }): CublasHandle {
    const out = new BigUint64Array(1);
    this.#check(this.#call.cublasCreate_v2(out), "start cuBLAS");
    const handle = addressOf(out[0]!);
    try {
      this.#check(this.#call.cublasSetStream_v2(handle, options.stream), "give cuBLAS its stream"); // this resets the workspace
      this.#check(this.#call.cublasSetWorkspace_v2(handle, options.workspace, CUBLAS_WORKSPACE_BYTES), "give cuBLAS its workspace");
      this.#check(this.#call.cublasSetMathMode(handle, FULL_PRECISION_REDUCTION), "set cuBLAS's precision");
    } catch (error) {
      this.#call.cublasDestroy_v2(handle);
      throw error;
    }
    return {
      gemm: (gemm, tf32) => this.#gemm(handle, gemm, tf32),
      close: () => this.#check(this.#call.cublasDestroy_v2(handle), "close cuBLAS"),
    };
  }

  readonly #alpha = new Float32Array(1);
  readonly #beta = new Float32Array(1);

  // cuBLAS is column-major: a row-major C is its C transposed, so the operands change places.
  #gemm(handle: Address, gemm: Gemm, tf32: boolean): void {
    const { dtype, cDtype = dtype, m, n, k } = gemm;
    const type = TYPES[dtype], cType = TYPES[cDtype];
    if (type === undefined || cType === undefined || (cDtype !== dtype && cDtype !== "f32")) {
      throw new KedgeError("Unsupported", `Cannot multiply ${dtype} into ${cDtype} with cuBLAS`);
    }
    this.#alpha[0] = gemm.alpha ?? 1;
    this.#beta[0] = gemm.beta ?? 0;
    const compute = tf32 && dtype === "f32" ? COMPUTE_TF32 : COMPUTE_32F;
    // deno-fmt-ignore
    const code = this.#call.cublasGemmEx(handle, gemm.transB ? 1 : 0, gemm.transA ? 1 : 0, n, m, k, this.#alpha, gemm.b, type, gemm.ldb, gemm.a, type,
      gemm.lda, this.#beta, gemm.c, cType, gemm.ldc, compute, GEMM_DEFAULT);
    this.#check(code, `multiply [${m}, ${k}] by [${k}, ${n}] of ${dtype}`);
  }

  #check(code: number, action: string): void {
    if (code === 0) return;
    const kind = code === ALLOC_FAILED ? "OutOfMemory" : "Device";
    throw new KedgeError(kind, `Cannot ${action}: ${textAt(this.#text(code))}`, { cublas: code });
  }
}

/** cuBLAS on one stream. */
export interface CublasHandle {
  /** Enqueues a product; `tf32`: f32 inputs may be rounded to TF32. */
  gemm(gemm: Gemm, tf32: boolean): void;
  close(): void;
}
