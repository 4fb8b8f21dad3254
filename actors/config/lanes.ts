import { KedgeError } from "../../ffi/errors.ts";

const isPowerOfTwo = (n: number) => Number.isInteger(n) && n > 0 && (n & (n - 1)) === 0;

/**
 * Returns the number of lanes in which a run sums its gradients. It is fixed when the run begins: on a CPU, the same lanes give the same
 * weights to the bit, on any number of ranks that they can be divided among.
 *
 * @param from `wanted`: `world.lanes`. `saved`: that of the checkpoint from which the run goes on.
 * @throws {RangeError} if the ranks cannot share the lanes. {KedgeError} `BadCheckpoint` if the checkpoint has other lanes.
 *
 * @example
 * ```ts
 * import { lanesFor } from "./lanes.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(lanesFor(2, { wanted: null, saved: undefined }), 2);
 * assertEquals(lanesFor(2, { wanted: null, saved: 8 }), 8);
 * assertThrows(() => lanesFor(3, { wanted: 4, saved: undefined }), RangeError, "Cannot divide 4 lanes among 3 ranks");
 * ```
 */
export function lanesFor(ranks: number, { wanted, saved }: { wanted: number | null; saved: number | undefined }): number {
  if (saved !== undefined && wanted !== null && wanted !== saved) {
    throw new KedgeError("BadCheckpoint", `Cannot resume the run: world.lanes was ${saved}, now ${wanted}. Set it to ${saved} or to null`);
  }
  const lanes = saved ?? wanted ?? ranks;
  if (isPowerOfTwo(lanes / ranks)) return lanes;
  const begun = saved === undefined ? "" : ", with which the run began,";
  throw new RangeError(`Cannot divide ${lanes} lanes${begun} among ${ranks} ranks: each rank needs 1, 2, 4, 8, ... of them (world.lanes)`);
}
