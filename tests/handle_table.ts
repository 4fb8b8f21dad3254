/** Calls the process-wide handle table, for its tests. */
import { assertEquals, assertThrows } from "@std/assert";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { KedgeError } from "../ffi/errors.ts";

export const device = CpuDevice.open();
export const host = device.host;

export interface Handle {
  slot: number;
  generation: number;
}
export interface Freed {
  address: number;
  bytes: number;
  device: number;
  event: number;
}
const u64 = (out: BigUint64Array, i: number) => Number(BigInt.asIntN(64, out[i]!));
const four = (out: BigUint64Array, at = 0): Freed => ({
  address: u64(out, at),
  bytes: u64(out, at + 1),
  device: u64(out, at + 2),
  event: u64(out, at + 3),
});

export function open(): number {
  const out = new Uint32Array(1);
  host.ownerOpen(out);
  return out[0]!;
}
export function account(owner: number) {
  const out = new BigInt64Array(4);
  host.ownerAccount(owner, out);
  const [bytes, handles, borrowed, lent] = Array.from(out, Number) as [number, number, number, number];
  return { bytes, handles, borrowed, lent };
}
export function reclaim(owner: number, capacity = 64): Freed[] {
  const out = new BigUint64Array(4 * capacity), count = new BigInt64Array(1), all: Freed[] = [];
  for (;;) {
    host.ownerReclaim(owner, out, capacity, count);
    if (count[0] === 0n) return all;
    for (let i = 0; i < Number(count[0]); i++) all.push(four(out, 4 * i));
  }
}
export function register(owner: number, address: number, bytes: number, ordinal = -1): Handle {
  const out = new Uint32Array(2);
  host.handleRegister(owner, address, bytes, ordinal, out);
  return { slot: out[0]!, generation: out[1]! };
}
export function resolve(user: number, { slot, generation }: Handle) {
  const out = new BigUint64Array(4);
  host.handleResolve(user, slot, generation, out);
  return { address: u64(out, 0), bytes: u64(out, 1), event: u64(out, 2), owner: u64(out, 3) };
}
export function move(from: number, { slot, generation }: Handle, to: number, event = 0): Handle {
  const out = new Uint32Array(1);
  host.handleMove(from, to, slot, generation, event, out);
  return { slot, generation: out[0]! };
}
export function lend(from: number, { slot, generation }: Handle, to: number): void {
  host.handleLend(from, to, slot, generation);
}
export function giveBack(borrower: number, { slot, generation }: Handle, event = 0): Freed {
  const out = new BigUint64Array(4);
  host.handleReturn(borrower, slot, generation, event, out);
  return four(out);
}
export function release(owner: number, { slot, generation }: Handle): Freed {
  const out = new BigUint64Array(4);
  host.handleRelease(owner, slot, generation, out);
  return four(out);
}
export function written(owner: number, { slot, generation }: Handle, event: number): void {
  host.handleWritten(owner, slot, generation, event);
}
/** Fails unless the call is refused as misuse of a handle, with a message that contains `words`. */
export function refused(call: () => void, words: string): void {
  const error = assertThrows(call, KedgeError, words);
  assertEquals(error.code, "Handle");
}
/** The account of an owner that holds nothing. */
export const EMPTY = { bytes: 0, handles: 0, borrowed: 0, lent: 0 };
