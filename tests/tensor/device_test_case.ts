/**
 * Runs a test of floor 2 on every backend except the emulated one, which has the ops' own tests. The test must free what it allocates.
 *
 * @module
 */
import type { Device } from "../../ffi/device.ts";
import { backends } from "../ops/backends.ts";
import { Random } from "../ops/harness.ts";

/**
 * Registers a test; the seed is fresh for each run and printed on failure; `--seed=N` repeats it.
 *
 * @param options `workspace: false`: no op of the test needs a workspace, so that no allocation may remain. Otherwise the device's
 * workspace may be created.
 */
export function deviceTest(name: string, body: (device: Device, random: Random) => void, options: { workspace?: boolean } = {}): void {
  const slack = options.workspace ?? true ? 1 : 0;
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  for (const backend of backends().filter(({ as }) => as !== "emu")) {
    backend.open(); // here, since a library that a test loads counts as its leak
    Deno.test(`${name} [${backend.tier}]`, () => {
      const seed = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
      const device = backend.open();
      device.ops.noop();
      const before = device.memory();
      try {
        body(device, new Random(seed));
        device.synchronize();
        const after = device.memory();
        if (after.allocations > before.allocations + slack) {
          throw new Error(`${after.allocations - before.allocations} allocations were left`);
        }
        backend.check?.();
      } catch (error) {
        throw new Error(`${(error as Error).message} (seed ${seed})`, { cause: error });
      }
    });
  }
}

/** Fails unless |actual - expected| <= tolerance * (|expected| + root mean square of expected) for every element. */
export function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, options: { what: string; tolerance: number }): void {
  const { what, tolerance } = options;
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} values, expected ${expected.length}`);
  let squares = 0;
  for (let i = 0; i < expected.length; i++) squares += expected[i]! ** 2;
  const scale = Math.sqrt(squares / Math.max(1, expected.length));
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (!(Math.abs(a - e) <= tolerance * (Math.abs(e) + scale) + 1e-30)) {
      throw new Error(`${what}[${i}] of ${expected.length}: ${a}, expected ${e} within ${tolerance} x ${Math.abs(e) + scale}`);
    }
  }
}
