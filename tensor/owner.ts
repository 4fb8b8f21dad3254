import { addressOf } from "../ffi/address.ts";
import type { Device } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";

/** An actor's number in the process-wide handle table; never used again. */
export type OwnerId = number;

/** The tensors of an owner. */
export interface OwnerReport {
  /** Bytes of its own tensors. */
  bytes: number;
  /** Its own tensors. */
  tensors: number;
  /** Tensors lent to it. */
  borrowed: number;
  /** Tensors of its own that are lent to others. */
  lent: number;
}

/**
 * Opens an account in the handle table; an actor's supervisor does, so that it can close it when the actor dies.
 *
 * @example
 * ```ts
 * import { openDevice, openOwner, ownerReport } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * assertEquals(ownerReport(device, openOwner(device)), { bytes: 0, tensors: 0, borrowed: 0, lent: 0 });
 * ```
 */
export function openOwner(device: Device): OwnerId {
  const out = new Uint32Array(1);
  device.host.ownerOpen(out);
  return out[0]!;
}

/**
 * What an owner, living or dead, holds.
 *
 * @throws {KedgeError} `Handle` for one that was never opened.
 *
 * @example
 * ```ts
 * import { Account, openDevice, openOwner, ownerReport, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using account = new Account(device, openOwner(device));
 * using _tensor = Tensor.from(device, [1, 2, 3]);
 * assertEquals(ownerReport(device, account.owner), { bytes: 12, tensors: 1, borrowed: 0, lent: 0 });
 * ```
 */
export function ownerReport(device: Device, owner: OwnerId): OwnerReport {
  const out = new BigInt64Array(4);
  device.host.ownerAccount(owner, out);
  const [bytes, tensors, borrowed, lent] = Array.from(out, Number) as [number, number, number, number];
  return { bytes, tensors, borrowed, lent };
}

/**
 * Closes the account of a dead actor and frees what it owned, also what lies unread in its mailbox, each on its own device after the last work noted
 * for it. Its thread must have ended. Tensors that it had lent to living actors go with their return; what it had borrowed is returned.
 *
 * @param devices Of this thread: one for every device that the actor used.
 * @returns How many tensors were freed, and their bytes.
 * @throws {KedgeError} `Device` where none of `devices` is the one that a tensor lies on; the others are freed all the same.
 *
 * @example
 * ```ts
 * import { Account, openDevice, openOwner, reclaimOwner, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using here = openDevice("cpu");
 * using there = openDevice("cpu"); // usually in another worker
 * const living = new Account(here, openOwner(here)), dead = openOwner(here);
 * living.move(Tensor.from(here, [1, 2, 3]), dead); // it lies unread in a mailbox
 * assertEquals(reclaimOwner(dead, [there]), { tensors: 1, bytes: 12 });
 * ```
 */
export function reclaimOwner(owner: OwnerId, devices: readonly Device[]): { tensors: number; bytes: number } {
  const { host } = devices[0]!;
  host.ownerClose(owner);
  const capacity = 256;
  const [out, count] = [new BigUint64Array(4 * capacity), new BigInt64Array(1)];
  const homeless = new Set<number>();
  let [tensors, bytes] = [0, 0];
  do {
    host.ownerReclaim(owner, out, capacity, count);
    for (let i = 0; i < Number(count[0]); i++) {
      const address = addressOf(out[4 * i]!), size = Number(out[4 * i + 1]!), event = Number(out[4 * i + 3]!);
      const ordinal = Number(BigInt.asIntN(64, out[4 * i + 2]!)); // -1 for the CPU
      const device = devices.find((d) => d.ordinal === ordinal);
      if (!device) {
        homeless.add(ordinal);
        continue;
      }
      device.waitEvent(event);
      device.freeEvent(event);
      device.free(address);
      tensors++;
      bytes += size;
    }
  } while (count[0] !== 0n);
  if (homeless.size > 0) {
    throw new KedgeError("Device", `Cannot free all of owner ${owner}: no device given for ordinals ${[...homeless].join(", ")}`);
  }
  return { tensors, bytes };
}
