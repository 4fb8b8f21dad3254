/**
 * Loads a user's modules that replace a part of the algorithm: how a configuration names them, and which function is called.
 *
 * @module
 */

/** The name of a user's module in a configuration. */
export interface ModuleUse {
  /** A path that begins with "./", "../" or "/", or a "file:" URL. */
  use: string;
  /** The second argument of the module's function. */
  options?: Record<string, unknown> | undefined;
}

/** A user's function, and the names of it for errors. */
export interface UserFunction<F> {
  /** The function to call. */
  readonly call: F;
  /** Its second argument. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The URL of its module. */
  readonly source: string;
}

/**
 * Returns the function that a module exports.
 *
 * @param module The module, from `import`.
 * @param about `name`: the export that is looked for, before `default`; `source`: the module's URL; `key`: the configuration's key that names it.
 * @throws {TypeError} if it exports neither.
 * @example
 * ```ts
 * import { exportedFunction } from "./user_module.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const about = { name: "credit", source: "file:///mine.ts", key: "algorithm.credit" };
 * assertEquals((exportedFunction({ default: () => 7 }, about) as () => number)(), 7);
 * assertThrows(() => exportedFunction({ weights: 1 }, about), TypeError, "Cannot use file:///mine.ts as algorithm.credit");
 * ```
 */
export function exportedFunction(
  module: Readonly<Record<string, unknown>>,
  { name, source, key }: { name: string; source: string; key: string },
): unknown {
  const exported = module[name] ?? module["default"];
  if (typeof exported === "function") return exported;
  throw new TypeError(`Cannot use ${source} as ${key}: it exports no function "${name}" or "default"`);
}

/** Describes a value that has the wrong type. */
export function shown(value: unknown): string {
  if (value instanceof Promise) return "a promise, and the function may not be async";
  return typeof value === "number" ? String(value) : value === null ? "null" : typeof value === "object" ? "an object" : typeof value;
}

/** Returns the numbers of an array or typed array; undefined for anything else. */
export function numbersOf(value: unknown): ArrayLike<unknown> | undefined {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView)) ? value as ArrayLike<unknown> : undefined;
}
