import { type Address, addressOf } from "./address.ts";
import { structs } from "./generated/bindings.ts";
import { KedgeError } from "./errors.ts";

const CODES = ["OK", "INVALID", "BAD_INDEX", "UNSUPPORTED", "WORKSPACE", "OUT_OF_MEMORY", "DEVICE", "HANDLE"] as const;
/** The name of a `kedge_code`. */
type StatusCode = typeof CODES[number];

const { kedge_status: STATUS, kedge_context: CONTEXT } = structs;

/** A `kedge_status` in host memory. */
export class Status {
  readonly bytes = new Uint8Array(STATUS.bytes);
  readonly #view = new DataView(this.bytes.buffer);

  get code(): StatusCode {
    return CODES[this.#view.getInt32(STATUS.offsets.code, true)] ?? "DEVICE";
  }

  /** Bytes of workspace or memory that the failed call needed. */
  get needed(): number {
    return Number(this.#view.getBigInt64(STATUS.offsets.needed, true));
  }

  get message(): string {
    const text = this.bytes.subarray(STATUS.offsets.message);
    const end = text.indexOf(0);
    return new TextDecoder().decode(end < 0 ? text : text.subarray(0, end));
  }

  /** The failure as an exception: a caller's mistake is a RangeError, the rest a KedgeError. */
  error(action: string): Error {
    const message = `Cannot run ${action}: ${this.message}`;
    switch (this.code) {
      case "INVALID":
      case "BAD_INDEX":
        return new RangeError(message);
      case "UNSUPPORTED":
        return new KedgeError("Unsupported", message);
      case "OUT_OF_MEMORY":
        return new KedgeError("OutOfMemory", message, { asked: this.needed });
      case "HANDLE":
        return new KedgeError("Handle", message);
      default:
        return new KedgeError("Device", message);
    }
  }
}

/** A `kedge_context` in host memory. */
export class Context {
  readonly bytes = new Uint8Array(CONTEXT.bytes);
  readonly #view = new DataView(this.bytes.buffer);

  constructor(ordinal: number) {
    this.#view.setInt32(CONTEXT.offsets.device, ordinal, true);
    this.threads = 1;
  }

  set stream(address: Address) {
    this.#view.setBigUint64(CONTEXT.offsets.stream, BigInt(address), true);
  }

  get threads(): number {
    return this.#view.getInt32(CONTEXT.offsets.threads, true);
  }

  set threads(count: number) {
    this.#view.setInt32(CONTEXT.offsets.threads, count, true);
  }

  /** Whether a row's bits depend on that row alone (KEDGE_BATCH_INVARIANT). */
  get batchInvariant(): boolean {
    return (this.#view.getInt32(CONTEXT.offsets.flags, true) & 1) !== 0;
  }

  set batchInvariant(value: boolean) {
    this.#view.setInt32(CONTEXT.offsets.flags, value ? 1 : 0, true);
  }

  get workspace(): { address: Address; bytes: number } {
    const { workspace, workspace_bytes: bytes } = CONTEXT.offsets;
    return { address: addressOf(this.#view.getBigUint64(workspace, true)), bytes: Number(this.#view.getBigInt64(bytes, true)) };
  }

  setWorkspace(address: Address, bytes: number): void {
    this.#view.setBigUint64(CONTEXT.offsets.workspace, BigInt(address), true);
    this.#view.setBigInt64(CONTEXT.offsets.workspace_bytes, BigInt(bytes), true);
  }
}
