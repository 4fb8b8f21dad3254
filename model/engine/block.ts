import type { Device } from "../../ffi/device.ts";
import { type Address, plus } from "../../ffi/address.ts";

/** The integers of a step, 32 bits each, laid out as arrays behind one another, which go to the device in one write. Floats go by their bits. */
export class Block<Name extends string> {
  readonly ints: Readonly<Record<Name, Int32Array<ArrayBuffer>>>;
  /** The arrays of the same memory, as floats. */
  readonly floats: Readonly<Record<Name, Float32Array<ArrayBuffer>>>;
  /** The address of each array on the device. */
  readonly at: Readonly<Record<Name, Address>>;
  readonly #all: Int32Array<ArrayBuffer>;
  readonly #address: Address;

  /** @param sizes Elements of each array. */
  constructor(address: Address, sizes: Readonly<Record<Name, number>>) {
    const names = Object.keys(sizes) as Name[];
    this.#all = new Int32Array(blockSize(sizes));
    this.#address = address;
    const ints: Partial<Record<Name, Int32Array<ArrayBuffer>>> = {}, floats: Partial<Record<Name, Float32Array<ArrayBuffer>>> = {};
    const at: Partial<Record<Name, Address>> = {};
    let offset = 0;
    for (const name of names) {
      ints[name] = this.#all.subarray(offset, offset + sizes[name]);
      floats[name] = new Float32Array(this.#all.buffer, 4 * offset, sizes[name]);
      at[name] = plus(address, 4 * offset);
      offset += aligned(sizes[name]);
    }
    this.ints = ints as Record<Name, Int32Array<ArrayBuffer>>;
    this.floats = floats as Record<Name, Float32Array<ArrayBuffer>>;
    this.at = at as Record<Name, Address>;
  }

  /** Sends all of it. */
  write(device: Device): void {
    device.write(this.#address, this.#all);
  }
}

/** Elements of a block. */
export function blockSize(sizes: Readonly<Record<string, number>>): number {
  return Object.values(sizes).reduce((sum, size) => sum + aligned(size), 0);
}

function aligned(size: number): number {
  return Math.ceil(size / 16) * 16; // 64 bytes
}
