/**
 * Lists the functions that are bound by hand, by library, and makes a library of stubs with all of them. The compiler sees only the shape
 * of a call.
 *
 * @module
 */
import type { Build } from "../ffi/build.ts";
import { CBLAS_SYMBOLS, SET_THREADS } from "../ffi/cblas.ts";
import { CXX } from "../ffi/cpu_library.ts";
import { CUBLAS_SYMBOLS } from "../ffi/cublas.ts";
import { CUDART_SYMBOLS } from "../ffi/cudart.ts";
import type { SymbolTable } from "../ffi/load.ts";
import { METIS_SYMBOLS } from "../ffi/metis.ts";
import { NCCL_SYMBOLS } from "../ffi/nccl.ts";
import { WORLD_SYMBOLS } from "../ffi/world.ts";

/** The functions of a table but those that run on another thread: what calls them goes on at once, and is not compiled with the call in it. */
const blocking = (table: SymbolTable): SymbolTable =>
  Object.fromEntries(Object.entries(table).filter(([, symbol]) => !("nonblocking" in symbol && symbol.nonblocking)));

/** The functions by the file of ffi/ that binds them. */
export const HAND_BOUND: Readonly<Record<string, SymbolTable>> = {
  "cblas.ts": { ...CBLAS_SYMBOLS, set_threads: SET_THREADS },
  "cublas.ts": CUBLAS_SYMBOLS,
  "cudart.ts": CUDART_SYMBOLS,
  "metis.ts": METIS_SYMBOLS,
  "nccl.ts": NCCL_SYMBOLS,
  "world.ts": blocking(WORLD_SYMBOLS),
};

const C_TYPES: Readonly<Record<string, string>> = {
  buffer: "void*",
  pointer: "void*",
  u64: "uint64_t",
  i64: "int64_t",
  u32: "uint32_t",
  i32: "int32_t",
  f32: "float",
  f64: "double",
  void: "void",
};

/** The bytes of a struct of u64 that is passed by value; undefined for other types. */
export function structBytes(type: unknown): number | undefined {
  const fields = typeof type === "object" && type !== null && "struct" in type && Array.isArray(type.struct) ? type.struct : undefined;
  return fields?.every((field) => field === "u64") ? 8 * fields.length : undefined;
}

function cType(type: unknown): string {
  const bytes = structBytes(type);
  return bytes !== undefined ? `Words<${bytes / 8}>` : C_TYPES[type as string] ?? "an unknown type";
}

/** The stubs, `stub_calls()` which counts their calls, and for the runtime's fault `fault_<type>_<count>` functions. */
export function stubBuild(): Build {
  const functions = new Map<string, string>();
  const add = (name: string, { parameters, result }: Deno.ForeignFunction) => {
    const value = result === "void" ? "" : " 0";
    functions.set(name, `API ${cType(result)} ${name}(${parameters.map(cType).join(", ")}) { calls++; return${value}; }\n`);
  };
  for (const table of Object.values(HAND_BOUND)) {
    for (const [key, symbol] of Object.entries(table)) add(("name" in symbol && symbol.name) || key, symbol as Deno.ForeignFunction);
  }
  for (const type of ["i32", "f64"] as const) {
    for (let count = 24; count <= 33; count++) add(`fault_${type}_${count}`, { parameters: new Array(count).fill(type), result: "i32" });
  }
  const text = `#include <stdint.h>
#define API extern "C" __attribute__((visibility("default")))
static int32_t calls;
template <int N> struct Words { uint64_t words[N]; };
API int32_t stub_calls() { return calls; }
${[...functions.values()].join("")}`;
  return { ...CXX, name: "kedge_stubs", label: "stubs for the tests", sources: { "stubs.cpp": text }, units: ["stubs.cpp"] };
}
