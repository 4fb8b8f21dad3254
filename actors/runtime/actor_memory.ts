import { CpuDevice } from "../../ffi/cpu_device.ts";
import type { Device } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { openDevice } from "../../ffi/open.ts";
import { Account, type TensorHandle, type TensorReturn } from "../../tensor/handle.ts";
import { type OwnerId, type OwnerReport, ownerReport } from "../../tensor/owner.ts";
import { Tensor } from "../../tensor/tensor.ts";

/**
 * Devices of one actor on its own thread, and its accounts on them: the compute device, and host memory, which on the CPU is the same.
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
  /** Where it computes. */
  readonly device: Device;
  /** Host memory, for what people and JavaScript read: token ids, pixels, log-probs. */
  readonly host: Device;
  readonly #accounts: Map<string, Account>;

  /**
   * Opens the devices.
   *
   * @param owner Opened by the supervisor.
   * @param options `device`: as of `openDevice`. `threads`: of CPU ops; default all cores.
   */
  constructor(readonly owner: OwnerId, options: { device: string; threads?: number | undefined }) {
    const threads = options.threads === undefined ? {} : { threads: options.threads };
    this.device = openDevice(options.device, threads);
    this.host = this.device.kind === "cpu" ? this.device : CpuDevice.open(threads);
    this.#accounts = new Map([...new Set([this.device, this.host])].map((device) => [device.name, new Account(device, owner)]));
  }

  /** The account on a device. */
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

  /** What it holds. */
  report(): OwnerReport {
    return ownerReport(this.host, this.owner);
  }

  /** Closes the devices; what the owner holds stays until it is reclaimed. */
  [Symbol.dispose](): void {
    for (const account of this.#accounts.values()) account[Symbol.dispose]();
    if (this.host !== this.device) this.host[Symbol.dispose]();
    this.device[Symbol.dispose]();
  }
}

/**
 * Puts tensors into a message to one receiver.
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

  /** For a message. @param to Who is to have the tensors. */
  constructor(readonly memory: ActorMemory, readonly to: OwnerId) {}

  /** What is lent with the message. */
  get lent(): TensorHandle[] {
    return [...this.#lent.values()];
  }

  /** Gives a tensor away with the message; it is spent here. */
  move(tensor: Tensor): TensorHandle {
    return this.memory.account(tensor.device.name).move(tensor, this.to);
  }

  /** Lends a tensor until the reply; once, however often the message names it. */
  lend(tensor: Tensor): TensorHandle {
    const before = this.#lent.get(tensor);
    if (before) return before;
    const handle = this.memory.account(tensor.device.name).lend(tensor, this.to);
    this.#lent.set(tensor, handle);
    return handle;
  }

  /** Ends the lends: of the reply. */
  takeBack(returns: readonly TensorReturn[]): void {
    for (const back of returns) {
      const lent = this.lent.find((handle) => same(handle, back));
      if (lent) this.memory.account(lent.device).takeBack(back);
    }
  }
}

/** Takes tensors out of a request, and gives back at its end what was lent. */
export class RequestTensors {
  readonly #borrowed = new Map<TensorHandle, Tensor>();
  readonly #lent: readonly TensorHandle[];

  /** @param lent All that the request lends, so that it goes back also where nobody looked at it. */
  constructor(readonly memory: ActorMemory, lent: readonly TensorHandle[]) {
    this.#lent = lent;
  }

  /** Takes up a tensor that was moved here. */
  receive(handle: TensorHandle): Tensor {
    return this.memory.receive(handle);
  }

  /** Takes up a tensor that was lent, to be read until the reply; the same one each time. */
  borrow(handle: TensorHandle): Tensor {
    const lent = this.#lent.find((other) => same(other, handle));
    if (!lent) throw new KedgeError("Handle", `Cannot borrow tensor ${handle.slot}/${handle.generation}: the request does not lend it`);
    let tensor = this.#borrowed.get(lent);
    if (!tensor) this.#borrowed.set(lent, tensor = this.memory.account(lent.device).borrow(lent));
    return tensor;
  }

  /** Ends all lends. @returns What the reply carries. */
  clear(): TensorReturn[] {
    return this.#lent.map((handle) => this.memory.account(handle.device).giveBack(this.borrow(handle)));
  }
}

function same(a: { slot: number; generation: number }, b: { slot: number; generation: number }): boolean {
  return a.slot === b.slot && a.generation === b.generation;
}

/** Numbers in host memory, as a tensor. */
export function hostTensor(
  memory: ActorMemory,
  numbers: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>,
): Tensor {
  return Tensor.from(memory.host, numbers);
}
