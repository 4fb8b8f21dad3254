/**
 * How OpenMP's threads wait between two parallel regions.
 *
 * @module
 */
import { loadLibrary } from "./load.ts";

const C_LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1", "libSystem.B.dylib"];

/**
 * Makes them sleep instead of spin, unless the user has set OMP_WAIT_POLICY. OpenMP reads the variable when it is loaded: call this before.
 *
 * By default libgomp's threads spin for milliseconds, which takes the cores from the system BLAS's threads, from other workers' teams and from other
 * processes: 2 cores with some other load ran [384, 384] products in turn with additions 3 to 9 times slower. Sleeping costs a region 20 microseconds.
 */
export function waitPassively(): void {
  const text = (value: string) => new TextEncoder().encode(`${value}\0`);
  for (const name of C_LIBRARIES) {
    try {
      // The C library's own environment: Deno.env would need a permission, and means the same.
      const { setenv } = loadLibrary(name, { setenv: { parameters: ["buffer", "buffer", "i32"], result: "i32" } });
      setenv!(text("OMP_WAIT_POLICY"), text("passive"), 0);
      return;
    } catch {
      continue; // another system's
    }
  }
}
