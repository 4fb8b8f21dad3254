/**
 * The one place that loads shared libraries.
 *
 * @module
 */

/** Functions of a library by name, with the types of their parameters as Deno names them. */
export type SymbolTable = Readonly<Record<string, Deno.ForeignFunction>>;
/** A pointer to a NUL-terminated text, which {@linkcode textAt} reads. */
type TextPointer = Deno.PointerValue;
/** A foreign function. 64-bit integers may be passed as numbers. */
export type Foreign = (...values: (number | bigint | BufferSource | null)[]) => number | bigint | TextPointer;

/**
 * Parameters that a bound function may have. V8's optimizing compiler ends the process at a call with 30 or more in general registers, or 32 or more in
 * floating-point ones (docs/log/2026-11.md, 2026-11-30).
 */
export const MAX_PARAMETERS = 24;

// A library stays loaded, since its code may be in use by any thread, so a thread loads it once.
const loaded = new Map<string, Readonly<Record<string, Foreign>>>();

/**
 * Loads a library, for as long as the process lives.
 *
 * @param path A path, or a plain file name, which the system's loader looks for in its own folders.
 * @returns A function for each name. Callers give them their types.
 * @throws {RangeError} A function has more than {@linkcode MAX_PARAMETERS} parameters.
 * @throws {Error} The loader's words, also where a symbol is missing.
 */
export function loadLibrary(path: string, symbols: SymbolTable): Readonly<Record<string, Foreign>> {
  const key = `${path} ${Object.keys(symbols).join(" ")}`;
  let library = loaded.get(key);
  if (!library) {
    for (const [name, { parameters: { length } }] of Object.entries(symbols)) {
      if (length > MAX_PARAMETERS) {
        throw new RangeError(`Cannot bind ${name} of ${path}: it has ${length} parameters, ${MAX_PARAMETERS} are the most that is safe`);
      }
    }
    library = Deno.dlopen(path, symbols).symbols as unknown as Readonly<Record<string, Foreign>>;
    loaded.set(key, library);
  }
  return library;
}

/** The NUL-terminated text behind a pointer that a foreign function gave. */
export function textAt(pointer: ReturnType<Foreign>): string {
  return typeof pointer === "object" && pointer !== null ? new Deno.UnsafePointerView(pointer).getCString() : "?";
}
