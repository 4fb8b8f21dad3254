import { addressOf } from "../ffi/address.ts";
import type { Device, DeviceEvent } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";

/** The number of an actor in the process-wide handle table. It is never reused. */
export type OwnerId = number;

/** The tensors of an owner. */
export interface OwnerReport {
  /** The bytes of its own tensors. */
  bytes: number;
  /** The number of its own tensors. */
  tensors: number;
  /** The number of tensors lent to it. */
  borrowed: number;
  /** The number of its own tensors that are lent to others. */
  lent: number;
}

/**
 * Opens an account in the handle table. An actor's supervisor calls it, so that it can close the account when the actor dies.
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
 * Returns what an owner holds, alive or dead.
 *
 * @throws {KedgeError} `Handle` for an owner that was never opened.
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
 * Closes the account of a dead actor and frees what it owned, including what is unread in its mailbox. Each tensor is freed on its own
 * device after the last work recorded for it. The actor's thread must have ended. Tensors that it had lent to living actors are freed when
 * they are returned. Tensors that it had borrowed are returned.
 *
 * @param devices Devices of this thread: one for each device that the actor used.
 * @returns The number of tensors that were freed, and their bytes.
 * @throws {KedgeError} `Device` if a tensor is on none of `devices`. The other tensors are freed all the same.
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
      const address = addressOf(out[4 * i]!), size = Number(out[4 * i + 1]!), event = Number(out[4 * i + 3]!) as DeviceEvent;
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
