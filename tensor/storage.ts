import type { Address } from "../ffi/address.ts";
import type { Device } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";

/** A block's line in the process-wide handle table. */
export interface Entry {
  readonly slot: number;
  readonly generation: number;
  /** Takes the line out, or ends the lend; true where the block is now to be freed by the caller. */
  leave(): boolean;
}

/** Enters the blocks of a device in the handle table: an `Account` does. */
interface Ledger {
  enter(block: { address: Address; bytes: number; device: Device }): Entry;
}

const ledgers = new WeakMap<Device, Ledger>();

/** Enters every block allocated on this device from now on in the ledger, so that none outlives its actor; undefined ends it. */
export function bindLedger(device: Device, ledger: Ledger | undefined): void {
  if (ledger) ledgers.set(device, ledger);
  else ledgers.delete(device);
}

/** The ledger that the device's blocks are entered in. */
export function ledgerOf(device: Device): Ledger | undefined {
  return ledgers.get(device);
}

/** Options of {@linkcode Storage}. */
interface StorageOptions {
  /** Page-locked host memory that the device can address. */
  pinned?: boolean;
  /** A block that exists and its line in the table, instead of a new one. */
  existing?: { address: Address; entry: Entry; borrowed: boolean };
}

/**
 * One block of device memory, shared by a tensor and its views, and freed with the last of them. Only this folder and the handle table meet it;
 * everyone else holds a `Tensor`.
 */
export class Storage {
  /** Counts changes in place, so that a backward can tell that what it saved was overwritten. */
  version = 0;
  readonly pinned: boolean;
  readonly borrowed: boolean;
  readonly #address: Address;
  #entry: Entry | undefined;
  #references = 1;
  #spent: string | undefined;

  constructor(readonly device: Device, readonly bytes: number, options: StorageOptions = {}) {
    this.pinned = options.pinned ?? false;
    this.borrowed = options.existing?.borrowed ?? false;
    if (options.existing) {
      this.#address = options.existing.address;
      this.#entry = options.existing.entry;
      return;
    }
    // Whole words, so that any block can be cleared by one fill.
    const size = Math.ceil(bytes / 4) * 4;
    this.#address = this.pinned ? device.allocPinned(size) : device.alloc(size);
    if (this.pinned) return; // the table knows device memory only
    try {
      this.#entry = ledgerOf(device)?.enter({ address: this.#address, bytes: size, device });
    } catch (error) {
      device.free(this.#address);
      throw error;
    }
  }

  /** Its line in the handle table, if it has one. */
  get entry(): Entry | undefined {
    return this.#entry;
  }

  /** Records its line in the table, if it was entered later. */
  register(entry: Entry): Entry {
    return this.#entry = entry;
  }

  /** How many tensors share it. */
  get references(): number {
    return this.#references;
  }

  /** Why it can no longer be used; undefined while it can. */
  get spent(): string | undefined {
    return this.#spent;
  }

  /** @throws {KedgeError} `Handle` once spent. */
  get address(): Address {
    if (this.#spent !== undefined) {
      throw new KedgeError("Handle", `Cannot use a tensor's memory on ${this.device.name}: it was ${this.#spent}`);
    }
    return this.#address;
  }

  /** One more tensor shares it. */
  retain(): this {
    void this.address;
    this.#references++;
    return this;
  }

  /** One tensor less; the last one frees. Does nothing once spent. */
  release(): void {
    if (this.#spent !== undefined) return;
    if (this.#references > 1) {
      this.#references--;
      return;
    }
    const free = this.#entry ? this.#entry.leave() : true; // throws while lent: then nothing has changed
    this.#references = 0;
    this.#spent = this.borrowed ? "returned to its owner" : "freed";
    if (!free) return;
    if (this.pinned) this.device.freePinned(this.#address);
    else this.device.free(this.#address);
  }

  /** The block now belongs to someone else, without being freed: every tensor that shared it is spent. */
  spend(what: string): void {
    void this.address;
    this.#spent = what;
    this.#entry = undefined;
  }
}
