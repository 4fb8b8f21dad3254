/**
 * The messages between threads. They are plain data; a tensor is sent as its handle.
 *
 * @module
 */
import { KedgeError, type KedgeErrorCode } from "../../ffi/errors.ts";
import type { OwnerId } from "../../tensor/owner.ts";
import type { TensorHandle, TensorReturn } from "../../tensor/handle.ts";

/** A message that an actor answers. Its `type` tells it from the others. */
export interface Message {
  /** The name of the message. */
  readonly type: string;
}

/** An error as plain data. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code?: KedgeErrorCode;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What two actors send to each other. */
export type Envelope =
  | {
    readonly kind: "request";
    readonly id: number;
    readonly body: Message;
    readonly lent: readonly TensorHandle[];
    readonly flag: SharedArrayBuffer | undefined;
  }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "reply"; readonly id: number; readonly body: unknown; readonly returns: readonly TensorReturn[] }
  | { readonly kind: "failure"; readonly id: number; readonly error: PlainError; readonly returns: readonly TensorReturn[] }
  /** A part of an answer, sent before its reply. */
  | { readonly kind: "part"; readonly id: number; readonly body: unknown }
  | { readonly kind: "event"; readonly body: unknown };

/** What a supervisor sends to a worker. */
export type Order =
  | {
    readonly kind: "start";
    readonly owner: OwnerId;
    readonly device: string;
    readonly threads: number | undefined;
    readonly options: unknown;
  }
  | { readonly kind: "connect"; readonly port: MessagePort; readonly owner: OwnerId; readonly name?: string | undefined }
  /** `keep`: the thread stays, for another actor of the same module. */
  | { readonly kind: "close"; readonly keep: boolean };

/** What a worker sends to its supervisor. */
export type Notice =
  | { readonly kind: "ready" }
  | { readonly kind: "connected"; readonly name: string }
  | { readonly kind: "failed"; readonly error: PlainError }
  | { readonly kind: "closed"; readonly error: PlainError | undefined };

/** Returns an error as plain data. */
export function toPlain(error: unknown): PlainError {
  const cause = error instanceof Error ? error : new Error(String(error));
  const plain = { name: cause.name, message: cause.message, stack: cause.stack };
  if (!(cause instanceof KedgeError)) return plain;
  // Details are for programs. Those that are no plain data are left out.
  const details = Object.fromEntries(
    Object.entries(cause.details).filter(([, value]) => value === null || ["string", "number", "boolean"].includes(typeof value)),
  );
  return { ...plain, code: cause.code, details };
}

/**
 * Makes the error again. It has the same class if that is KedgeError, RangeError or TypeError.
 *
 * @example
 * ```ts
 * import { fromPlain, toPlain } from "./protocol.ts";
 * import { KedgeError } from "@kedge/kedge/tensor";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const error = fromPlain(structuredClone(toPlain(new KedgeError("BadData", "row 7", { row: 7 }))));
 * assert(error instanceof KedgeError);
 * assertEquals([error.code, error.details.row], ["BadData", 7]);
 * assert(fromPlain(toPlain(new RangeError("no"))) instanceof RangeError);
 * ```
 */
export function fromPlain(plain: PlainError): Error {
  const { name, message, code, details, stack } = plain;
  const error = code !== undefined
    ? new KedgeError(code, message, details)
    : name === "RangeError"
    ? new RangeError(message)
    : name === "TypeError"
    ? new TypeError(message)
    : Object.assign(new Error(message), { name });
  if (stack !== undefined) error.stack = stack;
  return error;
}
