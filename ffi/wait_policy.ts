/**
 * How OpenMP's threads wait between two parallel regions.
 *
 * @module
 */
import { loadLibrary } from "./load.ts";

const C_LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1", "libSystem.B.dylib"];

// About 50 microseconds: the pause between two ops of a step, and between the parallel regions of one op.
const SPINS = "20000";

/**
 * Makes them spin for some 50 microseconds, then sleep, unless the user has set OMP_WAIT_POLICY or GOMP_SPINCOUNT. OpenMP reads both when it is
 * loaded: call this before.
 *
 * By default libgomp's threads spin for milliseconds, which takes the cores from the system BLAS's threads, from other workers' teams and from other
 * processes: 2 cores with some other load ran [384, 384] products in turn with additions 3 to 9 times slower. Threads that sleep at once cost each
 * region a wake-up instead, which took 512-square products from 1.0 to 0.6 of OpenBLAS's speed.
 */
export function waitBriefly(): void {
  const text = (value: string) => new TextEncoder().encode(`${value}\0`);
  for (const name of C_LIBRARIES) {
    try {
      // The C library's own environment: Deno.env would need a permission, and means the same.
      const { getenv, setenv } = loadLibrary(name, {
        getenv: { parameters: ["buffer"], result: "pointer" },
        setenv: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
      });
      if (getenv!(text("OMP_WAIT_POLICY")) !== null) return;
      setenv!(text("OMP_WAIT_POLICY"), text("passive"), 0);
      setenv!(text("GOMP_SPINCOUNT"), text(SPINS), 0);
      return;
    } catch {
      continue; // another system's
    }
  }
}
