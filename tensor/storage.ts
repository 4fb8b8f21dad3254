import type { Address } from "../ffi/address.ts";
import type { Device } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";

/** A block's row in the process-wide handle table. */
export interface Entry {
  readonly slot: number;
  readonly generation: number;
  /** Removes the row, or ends the lend. Returns true if the caller must now free the block. */
  leave(): boolean;
}

/** Enters the blocks of a device in the handle table: an `Account` does. */
interface Ledger {
  enter(block: { address: Address; bytes: number; device: Device }): Entry;
}

const ledgers = new WeakMap<Device, Ledger>();

/**
 * Registers every block that is allocated on this device from now on in the ledger, so that none outlives its actor. Undefined ends it.
 */
export function bindLedger(device: Device, ledger: Ledger | undefined): void {
  if (ledger) ledgers.set(device, ledger);
  else ledgers.delete(device);
}

/** Returns the ledger in which the device's blocks are registered. */
export function ledgerOf(device: Device): Ledger | undefined {
  return ledgers.get(device);
}

/** Options of {@linkcode Storage}. */
interface StorageOptions {
  /** Page-locked host memory that the device can address. */
  pinned?: boolean;
  /** An existing block with its row in the table, instead of a new block. */
  existing?: { address: Address; entry: Entry; borrowed: boolean };
}

/**
 * One block of device memory. A tensor and its views share it, and the last of them frees it. Only this folder and the handle table use it;
 * all other code uses a `Tensor`.
 */
export class Storage {
  /** Counts changes in place, so that a backward can detect that a saved tensor was overwritten. */
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
    // The size is a whole number of words, so that one fill can clear any block.
    const size = Math.ceil(bytes / 4) * 4;
    this.#address = this.pinned ? device.allocPinned(size) : device.alloc(size);
    if (this.pinned) return; // the table has only device memory
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

  /** The number of tensors that share it. */
  get references(): number {
    return this.#references;
  }

  /** The reason why it can no longer be used; undefined while it can. */
  get spent(): string | undefined {
    return this.#spent;
  }

  /** @throws {KedgeError} `Handle` if it is spent. */
  get address(): Address {
    if (this.#spent !== undefined) {
      throw new KedgeError("Handle", `Cannot use a tensor's memory on ${this.device.name}: it was ${this.#spent}`);
    }
    return this.#address;
  }

  /** Adds a reference. */
  retain(): this {
    void this.address;
    this.#references++;
    return this;
  }

  /** Drops a reference. The last one frees the block. It does nothing if the block is spent. */
  release(): void {
    if (this.#spent !== undefined) return;
    if (this.#references > 1) {
      this.#references--;
      return;
    }
    const free = this.#entry ? this.#entry.leave() : true; // throws while it is lent; nothing has changed then
    this.#references = 0;
    this.#spent = this.borrowed ? "returned to its owner" : "freed";
    if (!free) return;
    if (this.pinned) this.device.freePinned(this.#address);
    else this.device.free(this.#address);
  }

  /** Hands the block over to another owner without freeing it. No tensor that shared it can be used any more. */
  spend(what: string): void {
    void this.address;
    this.#spent = what;
    this.#entry = undefined;
  }
}
