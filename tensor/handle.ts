import { type Device, type DeviceEvent, type DType, DTYPE_BYTES } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { type Address, addressOf } from "../ffi/address.ts";
import { type OwnerId, type OwnerReport, ownerReport } from "./owner.ts";
import { bindLedger, type Entry, ledgerOf, Storage } from "./storage.ts";
import { describe, product, type Shape, Tensor } from "./tensor.ts";

/** A tensor in a message: plain data for structured cloning. */
export interface TensorHandle {
  /** The row in the handle table. */
  readonly slot: number;
  /** The generation of the row's tensor. A handle with another generation is stale. */
  readonly generation: number;
  /** The element type. */
  readonly dtype: DType;
  /** The sizes of the axes. */
  readonly shape: Shape;
  /** The name of the device, such as "cuda:0". */
  readonly device: string;
  /** Whether the tensor is packed. Default: it is not. */
  readonly packed?: boolean;
}

/** The end of a lend, which the reply carries. */
export interface TensorReturn {
  /** See {@linkcode TensorHandle}. */
  readonly slot: number;
  /** See {@linkcode TensorHandle}. */
  readonly generation: number;
  /** Event after the borrower's last read. */
  readonly event: DeviceEvent;
}

/**
 * An actor's side of the handle table. While it lives, every block that is allocated on its device in this thread is registered under its
 * owner, except pinned memory. When the actor dies in any way, all of its blocks can be freed.
 *
 * There are two rules. A message **moves** the tensors that it carries, and the sender can no longer use them. A request may **lend**
 * tensors until its reply: the receiver may read them and must not keep them, and the lender must not write them. Breaking a rule, or using
 * a handle that was freed, has moved or belongs to a dead owner, is a KedgeError `Handle`.
 *
 * @example
 * ```ts
 * import { Account, openDevice, openOwner, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using here = openDevice("cpu");
 * using there = openDevice("cpu"); // usually in another worker
 * const [sender, receiver] = [new Account(here, openOwner(here)), new Account(there, openOwner(there))];
 * const tensor = Tensor.from(here, [1, 2, 3]);
 * const message = structuredClone(sender.move(tensor, receiver.owner));
 * assertEquals(tensor.live, false);
 * using received = receiver.receive(message);
 * assertEquals([...received.toArray()], [1, 2, 3]);
 * assertEquals(sender.report().tensors, 0);
 * ```
 */
export class Account implements Disposable {
  readonly #held = new Set<string>();
  readonly #lent = new Map<string, { lends: number; event: DeviceEvent }>();
  readonly #pair = new Uint32Array(2);
  readonly #facts = new BigUint64Array(4);

  /**
   * Makes an account, on the actor's own thread.
   *
   * @param owner The number from `openOwner`, which the supervisor calls if there is one.
   */
  constructor(readonly device: Device, readonly owner: OwnerId) {
    bindLedger(device, this);
  }

  /** The tensors that the owner holds. */
  report(): OwnerReport {
    return ownerReport(this.device, this.owner);
  }

  /**
   * For `Storage`: registers a block.
   *
   * @internal
   */
  enter({ address, bytes }: { address: Address; bytes: number }): Entry {
    this.device.host.handleRegister(this.owner, address, bytes, this.device.ordinal, this.#pair);
    return this.#ownedEntry(this.#pair[0]!, this.#pair[1]!);
  }

  #ownedEntry(slot: number, generation: number): Entry {
    return {
      slot,
      generation,
      leave: () => {
        this.device.host.handleRelease(this.owner, slot, generation, this.#facts);
        this.#held.delete(`${slot}/${generation}`);
        this.device.waitEvent(Number(this.#facts[3]) as DeviceEvent); // a borrower's last read, if its reply was not read yet
        return true;
      },
    };
  }

  /**
   * Moves a tensor to another owner. The tensor and all of its views can then no longer be used here.
   *
   * @returns The handle for the message.
   * @throws {KedgeError} `Handle` if the tensor is spent, borrowed or lent, or the receiver is dead. The tensor then stays.
   */
  move(tensor: Tensor, to: OwnerId): TensorHandle {
    const { slot, generation } = this.#entryOf("move", tensor);
    const { host } = this.device;
    const event = this.device.recordEvent();
    try {
      host.handleMove(this.owner, to, slot, generation, event, this.#pair);
    } catch (error) {
      this.device.freeEvent(event);
      throw error;
    }
    this.#held.delete(`${slot}/${generation}`);
    tensor.storage.spend(`moved to owner ${to}`);
    return { slot, generation: this.#pair[0]!, ...described(tensor) };
  }

  /**
   * Receives a tensor that was moved here. @throws {KedgeError} `Handle` if the handle is stale, belongs to another owner, or was received
   * already.
   */
  receive(handle: TensorHandle): Tensor {
    const { slot, generation } = handle;
    const { address, bytes, event, owner } = this.#resolve("receive", handle);
    if (owner !== this.owner) {
      throw new KedgeError("Handle", `Cannot receive tensor ${slot}/${generation}: it is lent by owner ${owner}; borrow it`);
    }
    const key = `${slot}/${generation}`;
    if (this.#held.has(key)) throw new KedgeError("Handle", `Cannot receive tensor ${key}: it was received before`);
    if (event !== 0) {
      this.device.waitEvent(event);
      this.device.host.handleWritten(this.owner, slot, generation, 0);
      this.device.freeEvent(event);
    }
    this.#held.add(key);
    const storage = new Storage(this.device, bytes, { existing: { address, entry: this.#ownedEntry(slot, generation), borrowed: false } });
    return new Tensor(storage, { shape: [...handle.shape], dtype: handle.dtype, packed: handle.packed ?? false });
  }

  /**
   * Lends a tensor for reading, to any number of owners at once. Until `takeBack` it cannot be freed or moved, and must not be written.
   *
   * @returns The handle for the request.
   */
  lend(tensor: Tensor, to: OwnerId): TensorHandle {
    const { slot, generation } = this.#entryOf("lend", tensor);
    const { host } = this.device;
    const key = `${slot}/${generation}`;
    const lent = this.#lent.get(key);
    const event = lent?.event ?? this.device.recordEvent();
    try {
      if (!lent && event !== 0) host.handleWritten(this.owner, slot, generation, event);
      host.handleLend(this.owner, to, slot, generation);
    } catch (error) {
      if (!lent && event !== 0) {
        host.handleWritten(this.owner, slot, generation, 0);
        this.device.freeEvent(event);
      }
      throw error;
    }
    this.#lent.set(key, { lends: (lent?.lends ?? 0) + 1, event });
    return { slot, generation, ...described(tensor) };
  }

  /**
   * Receives a tensor that was lent here, for reading. End the borrow with `giveBack`; freeing the tensor instead waits for the device
   * first.
   */
  borrow(handle: TensorHandle): Tensor {
    const { slot, generation } = handle;
    const { address, bytes, event, owner } = this.#resolve("borrow", handle);
    if (owner === this.owner) throw new KedgeError("Handle", `Cannot borrow tensor ${slot}/${generation}: it is this owner's own`);
    this.device.waitEvent(event);
    const leave = () => {
      this.device.synchronize();
      return this.#return(slot, generation, 0);
    };
    const storage = new Storage(this.device, bytes, { existing: { address, entry: { slot, generation, leave }, borrowed: true } });
    return new Tensor(storage, { shape: [...handle.shape], dtype: handle.dtype, packed: handle.packed ?? false });
  }

  /** Ends a borrow. The tensor can then no longer be used. @returns The data for the reply. */
  giveBack(tensor: Tensor): TensorReturn {
    const { storage } = tensor, address = addressOfBlock(tensor);
    if (!storage.borrowed) throw new KedgeError("Handle", `Cannot give back ${describe(tensor)}: it is not borrowed`);
    const { slot, generation } = storage.entry!;
    const event = this.device.recordEvent();
    let orphaned: boolean;
    try {
      orphaned = this.#return(slot, generation, event);
    } catch (error) {
      this.device.freeEvent(event);
      throw error;
    }
    storage.spend("returned to its owner");
    if (orphaned) this.device.free(address);
    return { slot, generation, event };
  }

  /** Ends a lend: later work of this device waits for the borrower's last read. */
  takeBack({ slot, generation, event }: TensorReturn): void {
    const key = `${slot}/${generation}`;
    const lent = this.#lent.get(key);
    if (!lent) throw new KedgeError("Handle", `Cannot take back tensor ${key}: it was not lent by owner ${this.owner}`);
    this.device.waitEvent(event);
    if (--lent.lends > 0) {
      this.device.freeEvent(event);
      return;
    }
    this.#lent.delete(key);
    if (event !== 0 || lent.event !== 0) this.device.host.handleWritten(this.owner, slot, generation, 0);
    this.device.freeEvent(event);
    this.device.freeEvent(lent.event);
  }

  /** From now on, allocated blocks are not entered. What is entered stays, and the owner stays open. */
  [Symbol.dispose](): void {
    if (ledgerOf(this.device) === this) bindLedger(this.device, undefined);
  }

  /** Returns true if the owner has died meanwhile, so that the caller must free the block. */
  #return(slot: number, generation: number, event: DeviceEvent): boolean {
    this.device.host.handleReturn(this.owner, slot, generation, event, this.#facts);
    return this.#facts[0] !== 0n;
  }

  #entryOf(action: string, tensor: Tensor): Entry {
    const { storage } = tensor, address = addressOfBlock(tensor);
    if (storage.borrowed) throw new KedgeError("Handle", `Cannot ${action} ${describe(tensor)}: it is borrowed`);
    if (storage.pinned) throw new KedgeError("Unsupported", `Cannot ${action} ${describe(tensor)}: it lies in pinned memory`);
    if (address !== storage.address || !(tensor.contiguous || tensor.isPacked) || tensor.byteLength !== storage.bytes) {
      throw new RangeError(`Cannot ${action} ${describe(tensor)}: it is a view of a part; copy it first`);
    }
    if (tensor.device !== this.device) {
      throw new RangeError(`Cannot ${action} ${describe(tensor)}: it was made on another device of this thread`);
    }
    return storage.entry ?? storage.register(this.enter({ address, bytes: storage.bytes }));
  }

  #resolve(action: string, handle: TensorHandle): { address: Address; bytes: number; event: DeviceEvent; owner: OwnerId } {
    if (handle.device !== this.device.name) {
      throw new KedgeError("Handle", `Cannot ${action} a tensor of ${handle.device} on ${this.device.name}`);
    }
    this.device.host.handleResolve(this.owner, handle.slot, handle.generation, this.#facts);
    const address = addressOf(this.#facts[0]!);
    const [bytes, event, owner] = Array.from(this.#facts.subarray(1), Number) as [number, DeviceEvent, OwnerId];
    const [rows = 0, cols = 0] = handle.shape;
    const needed = handle.packed ? this.device.host.bf16PackedBytes(rows, cols) : product(handle.shape) * DTYPE_BYTES[handle.dtype];
    if (!(needed <= bytes)) {
      throw new KedgeError("Handle", `Cannot ${action} ${describe(handle)}: it needs ${needed} bytes, the block has ${bytes}`);
    }
    return { address, bytes: needed, event, owner };
  }
}

/** The address of a whole tensor, packed or not. */
function addressOfBlock(tensor: Tensor): Address {
  return tensor.isPacked ? tensor.packedAddress : tensor.address;
}

/** What a handle says of a tensor. */
function described({ dtype, shape, device, isPacked }: Tensor): Omit<TensorHandle, "slot" | "generation"> {
  return { dtype, shape: [...shape], device: device.name, ...(isPacked && { packed: true }) };
}
