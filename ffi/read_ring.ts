import { type Address, addressOf } from "./address.ts";
import { COPY_DEFAULT, type Cudart, DISABLE_TIMING, PINNED_PORTABLE_MAPPED } from "./cudart.ts";
import type { DeviceEvent, PendingRead } from "./device.ts";

/** Page-locked memory for one copy, and the event of its end. */
interface Place {
  readonly address: Address;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly event: DeviceEvent;
}

/** Page-locked memory into which copies from a device go while the host does other work. A place is used again once its copy was taken or given up. */
export class ReadRing {
  readonly #cudart: Cudart;
  readonly #stream: Address;
  readonly #all: Place[] = [];
  readonly #free: Place[] = [];

  /** The stream's device must be the thread's current one at each call. */
  constructor(cudart: Cudart, stream: Address) {
    this.#cudart = cudart;
    this.#stream = stream;
  }

  /** Queues a copy to the host. @throws {KedgeError} `Device`. */
  read(address: Address, count: number): PendingRead {
    const { call } = this.#cudart, place = this.#place(count), action = `read ${count} bytes from a device`;
    this.#cudart.check(call.copy(place.address, address, count, COPY_DEFAULT, this.#stream), action);
    this.#cudart.check(call.cudaEventRecord(place.event, this.#stream), action);
    let open = true;
    const close = () => {
      if (open) this.#free.push(place);
      open = false;
    };
    return {
      take: (into) => {
        if (!open) throw new RangeError("Cannot take what was read: it was taken or given up");
        this.#cudart.check(call.cudaEventSynchronize(place.event), action);
        new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(place.bytes.subarray(0, Math.min(count, into.byteLength)));
        close();
      },
      [Symbol.dispose]: close,
    };
  }

  #place(count: number): Place {
    const at = this.#free.findIndex(({ bytes }) => bytes.length >= count);
    if (at >= 0) return this.#free.splice(at, 1)[0]!;
    const out = new BigUint64Array(1), bytes = Math.max(4096, 2 ** Math.ceil(Math.log2(count)));
    this.#cudart.check(this.#cudart.call.cudaHostAlloc(out, bytes, PINNED_PORTABLE_MAPPED), "page-lock memory for reads from a device");
    const address = addressOf(out[0]!);
    const code = this.#cudart.call.cudaEventCreateWithFlags(out, DISABLE_TIMING);
    if (code !== 0) this.#cudart.call.cudaFreeHost(address);
    this.#cudart.check(code, "make an event for reads from a device");
    const view = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(BigInt(address))!, bytes));
    const place = { address, bytes: view, event: Number(out[0]!) as DeviceEvent };
    this.#all.push(place);
    return place;
  }

  /** Frees the memory. The stream must have finished. */
  free(): void {
    for (const { address, event } of this.#all.splice(0)) {
      this.#cudart.call.cudaEventDestroy(event);
      this.#cudart.call.cudaFreeHost(address);
    }
    this.#free.length = 0;
  }
}
