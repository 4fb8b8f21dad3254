import { CpuDevice } from "../../ffi/cpu_device.ts";
import type { Device } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { openDevice } from "../../ffi/open.ts";
import { Account, type TensorHandle, type TensorReturn } from "../../tensor/handle.ts";
import { type OwnerId, type OwnerReport, ownerReport } from "../../tensor/owner.ts";
import { Tensor } from "../../tensor/tensor.ts";

/**
 * The devices of one actor on its own thread, and the tensors that the actor owns there. There is a compute device and host memory; on
 * the CPU they are the same device.
 *
 * @example
 * ```ts
 * import { ActorMemory } from "@kedge/kedge/actors";
 * import { CpuDevice, openOwner, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = CpuDevice.open();
 * using memory = new ActorMemory(openOwner(device), { device: "cpu", threads: 1 });
 * using _tensor = Tensor.from(memory.host, [1, 2, 3]);
 * assertEquals(memory.report(), { bytes: 12, tensors: 1, borrowed: 0, lent: 0 });
 * ```
 */
export class ActorMemory implements Disposable {
  /** The device that the actor computes on. */
  readonly device: Device;
  /** Host memory, for what people and JavaScript read: token ids, pixels, log-probs. */
  readonly host: Device;
  readonly #accounts: Map<string, Account>;

  /**
   * Opens the devices.
   *
   * @param owner The actor's number in the handle table, which the supervisor opened.
   * @param options `device`: a name that `openDevice` takes. `threads`: the threads of CPU ops; default all cores.
   */
  constructor(readonly owner: OwnerId, options: { device: string; threads?: number | undefined }) {
    const threads = options.threads === undefined ? {} : { threads: options.threads };
    this.device = openDevice(options.device, threads);
    this.host = this.device.kind === "cpu" ? this.device : CpuDevice.open(threads);
    this.#accounts = new Map([...new Set([this.device, this.host])].map((device) => [device.name, new Account(device, owner)]));
  }

  /** Returns the actor's account on a device. @throws {KedgeError} `Handle` for a device that the actor does not use. */
  account(device: string): Account {
    const account = this.#accounts.get(device);
    if (!account) {
      throw new KedgeError("Handle", `Cannot use a tensor of ${device} here: this actor has ${[...this.#accounts.keys()].join(", ")}`);
    }
    return account;
  }

  /** Takes up a tensor that was moved here. */
  receive(handle: TensorHandle): Tensor {
    return this.account(handle.device).receive(handle);
  }

  /** Returns how many bytes and tensors the actor holds. */
  report(): OwnerReport {
    return ownerReport(this.host, this.owner);
  }

  /** Closes the devices. The actor's tensors stay until the supervisor reclaims them. */
  [Symbol.dispose](): void {
    for (const account of this.#accounts.values()) account[Symbol.dispose]();
    if (this.host !== this.device) this.host[Symbol.dispose]();
    this.device[Symbol.dispose]();
  }
}

/**
 * Puts tensors into a message for one receiver.
 *
 * @example
 * ```ts
 * import { ActorMemory, Carrier } from "@kedge/kedge/actors";
 * import { CpuDevice, openOwner, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = CpuDevice.open();
 * using here = new ActorMemory(openOwner(device), { device: "cpu" });
 * using there = new ActorMemory(openOwner(device), { device: "cpu" }); // usually in another worker
 * const carrier = new Carrier(here, there.owner), tensor = Tensor.from(here.host, [1, 2, 3]);
 * const message = structuredClone({ type: "take", x: carrier.move(tensor) });
 * using received = there.account("cpu").receive(message.x);
 * assertEquals([tensor.live, [...received.toArray()]], [false, [1, 2, 3]]);
 * ```
 */
export class Carrier {
  readonly #lent = new Map<Tensor, TensorHandle>();

  /** Makes a carrier for one message. @param to The receiver of the tensors. */
  constructor(readonly memory: ActorMemory, readonly to: OwnerId) {}

  /** The tensors that are lent with the message. */
  get lent(): TensorHandle[] {
    return [...this.#lent.values()];
  }

  /** Moves a tensor with the message. The sender can no longer use it. */
  move(tensor: Tensor): TensorHandle {
    return this.memory.account(tensor.device.name).move(tensor, this.to);
  }

  /** Lends a tensor until the reply. A tensor that the message names twice is lent once. */
  lend(tensor: Tensor): TensorHandle {
    const lent = this.#lent.get(tensor);
    if (lent) return lent;
    const handle = this.memory.account(tensor.device.name).lend(tensor, this.to);
    this.#lent.set(tensor, handle);
    return handle;
  }

  /** Takes back the tensors that came with the reply. */
  takeBack(returns: readonly TensorReturn[]): void {
    for (const back of returns) {
      const lent = this.lent.find((handle) => same(handle, back));
      if (lent) this.memory.account(lent.device).takeBack(back);
    }
  }
}

/** The tensors of one request, on the receiver's side. Lent tensors are given back at the end of the request. */
export class RequestTensors {
  readonly #borrowed = new Map<TensorHandle, Tensor>();
  readonly #lent: readonly TensorHandle[];

  /** @param lent All tensors that the request lends. They are given back even if the handler did not borrow them. */
  constructor(readonly memory: ActorMemory, lent: readonly TensorHandle[]) {
    this.#lent = lent;
  }

  /** Takes up a tensor that was moved here. */
  receive(handle: TensorHandle): Tensor {
    return this.memory.receive(handle);
  }

  /** Takes up a tensor that was lent. It may be read until the reply. Each call returns the same tensor. */
  borrow(handle: TensorHandle): Tensor {
    const lent = this.#lent.find((other) => same(other, handle));
    if (!lent) throw new KedgeError("Handle", `Cannot borrow tensor ${handle.slot}/${handle.generation}: the request does not lend it`);
    let tensor = this.#borrowed.get(lent);
    if (!tensor) this.#borrowed.set(lent, tensor = this.memory.account(lent.device).borrow(lent));
    return tensor;
  }

  /** Gives back all that was lent. @returns What the reply carries. */
  giveBack(): TensorReturn[] {
    return this.#lent.map((handle) => this.memory.account(handle.device).giveBack(this.borrow(handle)));
  }
}

function same(a: { slot: number; generation: number }, b: { slot: number; generation: number }): boolean {
  return a.slot === b.slot && a.generation === b.generation;
}

/** Copies numbers into a tensor of host memory. */
export function hostTensor(
  memory: ActorMemory,
  numbers: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>,
): Tensor {
  return Tensor.from(memory.host, numbers);
}
