import { type Address, addressOf, plus } from "./address.ts";
import { COPY_DEFAULT, type Cudart, DISABLE_TIMING, PINNED_PORTABLE_MAPPED } from "./cudart.ts";
import type { DeviceEvent } from "./device.ts";

const PARTS = 4, PART_BYTES = 2 ** 21;

/**
 * Page-locked memory through which host bytes go to a device. CUDA may read the source of an asynchronous copy at any time before the copy's turn in its stream,
 * so the caller's bytes are copied here first: the caller may change them as soon as `write` returns. A part of the ring is used again once the copies from it
 * are done.
 */
export class WriteRing {
  readonly #cudart: Cudart;
  readonly #stream: Address;
  readonly #address: Address;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  /** The end of the copies from each part. */
  readonly #events: DeviceEvent[] = [];
  #part = 0;
  #used = 0;

  /** Takes the memory. The stream's device must be the thread's current one, here and at each call. @throws {KedgeError} `Device`. */
  constructor(cudart: Cudart, stream: Address) {
    this.#cudart = cudart;
    this.#stream = stream;
    const out = new BigUint64Array(1);
    cudart.check(cudart.call.cudaHostAlloc(out, PARTS * PART_BYTES, PINNED_PORTABLE_MAPPED), "page-lock memory for writes to a device");
    this.#address = addressOf(out[0]!);
    try {
      for (let part = 0; part < PARTS; part++) {
        cudart.check(cudart.call.cudaEventCreateWithFlags(out, DISABLE_TIMING), "make an event for writes to a device");
        this.#events.push(Number(out[0]!) as DeviceEvent);
      }
    } catch (error) {
      this.free();
      throw error;
    }
    const pointer = Deno.UnsafePointer.create(BigInt(this.#address))!;
    this.#bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, PARTS * PART_BYTES));
  }

  /** Queues a copy of `data` to the device. `data` may change when this returns. @returns A cudaError_t. */
  write(address: Address, data: ArrayBufferView<ArrayBuffer>): number {
    const { call } = this.#cudart, bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let done = 0; done < bytes.length;) {
      if (this.#used === PART_BYTES) {
        const code = this.#next();
        if (code !== 0) return code;
      }
      const count = Math.min(bytes.length - done, PART_BYTES - this.#used), at = this.#part * PART_BYTES + this.#used;
      this.#bytes.set(bytes.subarray(done, done + count), at);
      const code = call.copy(plus(address, done), plus(this.#address, at), count, COPY_DEFAULT, this.#stream);
      if (code !== 0) return code;
      // Copies start on 64 bytes.
      this.#used = Math.min(PART_BYTES, Math.ceil((this.#used + count) / 64) * 64);
      done += count;
    }
    return 0;
  }

  /** Goes on to the next part, and waits until the copies from it are done. */
  #next(): number {
    const { call } = this.#cudart;
    const code = call.cudaEventRecord(this.#events[this.#part]!, this.#stream);
    if (code !== 0) return code;
    this.#part = (this.#part + 1) % PARTS;
    this.#used = 0;
    return call.cudaEventSynchronize(this.#events[this.#part]!); // an event that was never recorded counts as passed
  }

  /** Frees the memory. The stream must have finished. */
  free(): void {
    for (const event of this.#events.splice(0)) this.#cudart.call.cudaEventDestroy(event);
    this.#cudart.call.cudaFreeHost(this.#address);
  }
}
