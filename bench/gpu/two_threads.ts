/**
 * Drives one kernel, connectivity, from several threads at once. Its shared memory depends on the number of regions, so that each thread asks for
 * another size. A thread's sums must be the same in every launch.
 *
 *   deno run -A bench/gpu/two_threads.ts [--fake]
 *
 * @module
 */
import { say } from "./lines.ts";
import { isFake } from "./open.ts";

const REGIONS = [8, 120, 16, 64];
const threads = REGIONS.map((regions) => {
  const worker = new Worker(new URL("./launching_thread.ts", import.meta.url), { type: "module" });
  const answer = Promise.withResolvers<string[]>();
  worker.onmessage = ({ data }: MessageEvent<"ready" | string[]>) => {
    if (data === "ready") worker.postMessage({ regions, fake: isFake() });
    else answer.resolve(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    answer.reject(new Error(event.message));
  };
  return { worker, answer: answer.promise };
});
const failures = (await Promise.all(threads.map(({ answer }) => answer))).flat();
for (const { worker } of threads) worker.terminate();
say({ name: `${REGIONS.length} threads drive one kernel`, ok: failures.length === 0, words: failures.slice(0, 3).join("; ") });
if (failures.length > 0) Deno.exit(1);
