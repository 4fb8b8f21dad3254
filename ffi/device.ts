import type { Address } from "./address.ts";
import type { Host, Ops } from "./generated/bindings.ts";

/** Element types, by the number that the C ABI gives them. */
export const DTYPES = { f32: 0, bf16: 1, f16: 2, i32: 3, i64: 4, u8: 5, f64: 6 } as const;
/** The name of an element type. */
export type DType = keyof typeof DTYPES;
/** Bytes of one element. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, f16: 2, i32: 4, i64: 8, u8: 1, f64: 8 };

/** Memory of one device as this process uses it, in bytes. */
export interface MemoryReport {
  /** Bytes of live allocations. */
  used: number;
  /** The highest `used` since the start or the last `resetPeak`. */
  peak: number;
  /** Bytes that can still be allocated. */
  free: number;
  /** Bytes that this process may use in all. */
  budget: number;
  /** Live allocations. */
  allocations: number;
}

/** C = alpha op(A) op(B) + beta C, row-major; op(A): [m, k], op(B): [k, n], C: [m, n]. */
export interface Gemm {
  /** Type of A and B. */
  dtype: DType;
  /** Type of C: `dtype` or "f32". Default `dtype`. */
  cDtype?: DType;
  /** A: stored [m, k], or [k, m] with `transA`. */
  a: Address;
  /** Elements between the starts of two stored rows of A. */
  lda: number;
  /** Whether A is stored transposed. Default false. */
  transA?: boolean;
  /** B: stored [k, n], or [n, k] with `transB`. */
  b: Address;
  /** Elements between the starts of two stored rows of B. */
  ldb: number;
  /** Whether B is stored transposed. Default false. */
  transB?: boolean;
  /** C: [m, n]. */
  c: Address;
  /** Elements between the starts of two rows of C. */
  ldc: number;
  /** Rows of C. */
  m: number;
  /** Columns of C. */
  n: number;
  /** Columns of op(A), rows of op(B). */
  k: number;
  /** Default 1. */
  alpha?: number;
  /** Default 0: C is not read. */
  beta?: number;
}

/** A point in a device's stream; 0 is one that has passed. On the CPU every event is 0. */
export type DeviceEvent = (number & { readonly __event: true }) | 0;

/** A copy to the host that is under way. */
export interface PendingRead extends Disposable {
  /** Waits for the copy, and writes its bytes, or as many as there is room for. Once. @throws {KedgeError} `Device` if work before it failed. */
  take(into: ArrayBufferView<ArrayBuffer>): void;
}

/** Work that a device has recorded, to be run any number of times. */
export interface CapturedWork extends Disposable {
  /** Whether it still can be run: the scratch that its ops were given is the device's still. */
  readonly valid: boolean;
  /** Runs it, in stream order, with the arguments and addresses that it was recorded with. @throws {KedgeError} `Device`. */
  launch(): void;
}

/**
 * A place where tensors live and ops run: one stream of work, in order, on one thread. Workers open a device each; addresses are valid in all of
 * them. Everything is asynchronous on CUDA but `read`, `synchronize` and `write` (which returns once the source may change).
 */
export interface Device extends Disposable {
  /** The kind of hardware. */
  readonly kind: "cpu" | "cuda";
  /** "cpu" or "cuda:0". */
  readonly name: string;
  /** -1 for the CPU, else the CUDA ordinal. */
  readonly ordinal: number;
  /** The hardware and the libraries chosen, for people. */
  readonly description: string;
  /** The ops of kedge.h, bound to this device's stream and workspace. */
  readonly ops: Ops;
  /** The host part of kedge.h, the same for every device. */
  readonly host: Host;
  /**
   * Whether an op's row has bits that depend on that row only, whatever else is in the batch. Default false; `gemm` is then Kedge's own. On the CPU it is
   * always so, but for `gemm` by a system CBLAS that was asked for.
   */
  batchInvariant: boolean;

  /**
   * Allocates memory with undefined contents, 256-byte aligned on CUDA and 64-byte aligned on the CPU; 0 bytes give a valid address.
   * @throws {KedgeError} `OutOfMemory`, with `asked`, `used` and `free` in its details.
   */
  alloc(bytes: number): Address;
  /** Frees, in stream order. @throws {KedgeError} `Device` for an address that is not live. */
  free(address: Address): void;
  /** Copies host bytes to the device. */
  write(address: Address, data: ArrayBufferView<ArrayBuffer>): void;
  /** Copies device bytes to the host, after all work before. */
  read(into: ArrayBufferView<ArrayBuffer>, address: Address): void;
  /** Starts a copy of device bytes to the host, after all work before, on a device whose work is asynchronous. Take it, or dispose of it. */
  readLater?(address: Address, bytes: number): PendingRead;
  /**
   * Records the ops and products that `work` runs, instead of running them, on a device that can. They must have run once before with the same sizes: nothing can
   * be allocated meanwhile, and nothing be waited for.
   *
   * @throws {KedgeError} `Device` for what cannot be recorded.
   */
  capture?: ((work: () => void) => CapturedWork) | undefined;
  /** Page-locked host memory that this device can address; plain memory on the CPU. */
  allocPinned(bytes: number): Address;
  /** Frees what `allocPinned` gave. */
  freePinned(address: Address): void;
  /** The fastest GEMM here: cuBLAS, the system's CBLAS, or the built-in one. */
  gemm(gemm: Gemm): void;
  /** Marks this point of the stream. The event lives until `freeEvent`. */
  recordEvent(): DeviceEvent;
  /** Work enqueued from now on waits for the event, which may come from another stream. */
  waitEvent(event: DeviceEvent): void;
  /** Ends an event's life; 0 is allowed. */
  freeEvent(event: DeviceEvent): void;
  /** Waits for all work. @throws {KedgeError} `Device` with the driver's words, if any of it failed. */
  synchronize(): void;
  /** The memory that is allocated, and that can still be. */
  memory(): MemoryReport;
  /** Resets the peak of `memory` to what is used now. */
  resetPeak(): void;
}
