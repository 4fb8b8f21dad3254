/** Errors that a caller may want to catch. A mistake of the caller is a `RangeError` or `TypeError` instead. */
export type KedgeErrorCode =
  | "Actor"
  | "BadCheckpoint"
  | "BadData"
  | "Build"
  | "Device"
  | "Diverged"
  | "Handle"
  | "OutOfMemory"
  | "State"
  | "Unsupported"
  | "World";

/**
 * An error of the world rather than of the program: memory, devices, files, handles.
 *
 * @example
 * ```ts
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new KedgeError("OutOfMemory", "Cannot allocate 2 GiB on cpu: 1 GiB is free", { asked: 2 ** 31 });
 * assertEquals(error.code, "OutOfMemory");
 * assertEquals(error.details.asked, 2 ** 31);
 * ```
 */
export class KedgeError extends Error {
  /** "KedgeError". */
  override readonly name = "KedgeError";

  /**
   * An error with its kind, words and facts.
   *
   * @param code What kind of failure this is.
   * @param message "Cannot <action>: <state>", and what to do.
   * @param details Facts of the failure by name, for programs.
   * @param options As of `Error`.
   */
  constructor(
    readonly code: KedgeErrorCode,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
