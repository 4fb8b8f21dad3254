import { assertEquals } from "@std/assert";
import type { OpRun } from "./harness.ts";

/**
 * Fails unless an op gives equal bytes every time: on the CPU for 1, 2, 3 and 7 threads, everywhere over 50 repeats (5 on the emulated device).
 *
 * @param op Runs the op into fresh outputs and gives their bytes.
 */
export function assertDeterministic(run: OpRun, op: () => Uint8Array): void {
  const device = run.device;
  const first = op();
  if ("threads" in device && typeof device.threads === "number") {
    const threads = device.threads;
    try {
      for (const count of [1, 2, 3, 7]) {
        device.threads = count;
        assertEqualBytes(op(), first, `${count} threads`);
      }
    } finally {
      device.threads = threads;
    }
  }
  const repeats = run.small ? 5 : 50;
  for (let i = 1; i < repeats; i++) assertEqualBytes(op(), first, `repeat ${i}`);
}

function assertEqualBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assertEquals(actual.length, expected.length, what);
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] !== expected[i]) throw new Error(`With ${what}, byte ${i} of ${actual.length} is ${actual[i]}, was ${expected[i]}`);
  }
}
