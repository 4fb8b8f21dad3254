/**
 * Where memory begins: on a device or, on the CPU and for pinned memory, on the host. At run time it is a number (addresses stay below 2^53), 0 for none; the
 * type keeps counts, strides and sums of anything else out of its place. {@linkcode plus} moves it, and the bindings pass it on as it is.
 *
 * @example
 * ```ts
 * import { type Address, openDevice } from "@kedge/kedge/tensor";
 * import { plus } from "./address.ts";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const numbers: Address = device.alloc(8), last = new Float32Array(1);
 * device.write(numbers, Float32Array.of(1, 2));
 * device.read(last, plus(numbers, 4));
 * device.free(numbers);
 * assertEquals([...last], [2]);
 * ```
 */
export type Address = (number & { readonly __address: true }) | 0;

/** The address of what a native function wrote as a 64-bit integer. */
export function addressOf(value: bigint): Address {
  return Number(value) as Address;
}

/** The address so many bytes further. */
export function plus(address: Address, bytes: number): Address {
  return address + bytes as Address;
}
