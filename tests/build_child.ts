/**
 * Builds the library of build_test.ts in the cache that its argument names, and prints the library's path.
 *
 * @module
 */
import { buildLibrary } from "../ffi/build.ts";
import { littleBuild } from "./little_build.ts";

// CUDA images set this variable. It must not prevent running compilers.
Deno.env.set("LD_LIBRARY_PATH", "/usr/local/cuda/lib64");
const [cache] = Deno.args;
const path = buildLibrary(littleBuild(), cache === undefined ? {} : { cache });
Deno.stdout.writeSync(new TextEncoder().encode(path));
