/** Tests host memory through the C ABI. The test process may hold other memory, so that everything is counted relative to the start. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { KedgeError } from "../ffi/errors.ts";

const MB = 2 ** 20;
const device = CpuDevice.open();
const host = device.host;

function memory() {
  const out = new BigInt64Array(6);
  host.hostMemory(out);
  const [used, peak, cached, budget, live, ever] = Array.from(out, Number) as [number, number, number, number, number, number];
  return { used, peak, cached, budget, live, ever };
}
function alloc(bytes: number): number {
  const out = new BigUint64Array(1);
  host.hostAlloc(bytes, out);
  return Number(out[0]!);
}
function residentBytes(): number {
  return Deno.memoryUsage().rss;
}
/** Runs a body with a budget of `bytes` above the current use, and restores the old budget. */
function withBudget(bytes: number, body: () => void): void {
  const { budget, used } = memory();
  host.hostTrim();
  host.hostBudget(used + bytes, 1);
  try {
    body();
  } finally {
    host.hostBudget(budget, 1);
    host.hostTrim();
  }
}

Deno.test("an allocation is aligned, counted to the byte, and freed", () => {
  const before = memory();
  const sizes = [0, 1, 63, 64, 65, 1000, 4097, 100_000, MB - 1, MB, MB + 1, 4 * MB, 9 * MB + 5];
  const addresses = sizes.map(alloc);
  assertEquals(new Set(addresses).size, sizes.length, "0 bytes, too, give an address of their own");
  for (const address of addresses) assertEquals(address % 64, 0);
  const during = memory();
  assertEquals(during.used - before.used, sizes.reduce((a, b) => a + b));
  assertEquals(during.live - before.live, sizes.length);
  assertEquals(during.ever - before.ever, sizes.length);
  assert(during.peak >= during.used);
  sizes.forEach((bytes, i) => {
    const data = new Uint8Array(bytes).map((_, j) => (i * 31 + j) & 255);
    host.hostWrite(addresses[i]!, data, bytes);
    const back = new Uint8Array(bytes);
    host.hostRead(back, addresses[i]!, bytes);
    assertEquals(back, data);
  });
  for (const address of addresses) host.hostFree(address);
  const after = memory();
  assertEquals([after.used, after.live], [before.used, before.live]);
});

Deno.test("a freed block serves the next request of its size, and rounding wastes at most an eighth", () => {
  withBudget(1000 * MB, () => {
    for (let bytes = 600; bytes < 200 * MB; bytes = Math.floor(bytes * 1.37) + 1) {
      const first = alloc(bytes);
      host.hostFree(first);
      const { cached } = memory();
      assert(cached >= bytes && cached <= bytes * 1.125 + 64, `${cached} bytes for ${bytes}`);
      assertEquals(alloc(bytes), first);
      assertEquals(memory().cached, 0);
      host.hostFree(first);
      const smaller = alloc(Math.floor(bytes * 0.6));
      assert(smaller !== first, "a block is not spent on a request that it exceeds by far");
      host.hostFree(smaller);
      host.hostTrim();
      assertEquals(memory().cached, 0);
    }
  });
});

Deno.test("freeing an address that is not live is the caller's mistake", () => {
  const address = alloc(1000);
  assertThrows(() => host.hostFree(address + 64), RangeError, "not of a live allocation");
  host.hostFree(address);
  assertThrows(() => host.hostFree(address), RangeError, "freed already");
  assertThrows(() => host.hostFree(0), RangeError, "not of a live allocation");
  assertThrows(() => host.hostAlloc(-1, new BigUint64Array(1)), RangeError, "bytes is -1");
});

Deno.test("exceeding the budget is an error that names the sizes; cached blocks are freed first", () => {
  withBudget(10 * MB, () => {
    const { used, budget, live } = memory();
    const error = assertThrows(() => alloc(10 * MB + 1), KedgeError);
    assertEquals([error.code, error.details.asked], ["OutOfMemory", 10 * MB + 1]);
    assert(error.message.includes(`${10 * MB + 1} bytes asked, ${used} of ${budget} used, ${10 * MB} free`), error.message);
    assertThrows(() => alloc(Number.MAX_SAFE_INTEGER), KedgeError, "bytes asked");
    const all = alloc(10 * MB); // to the byte
    assertThrows(() => alloc(1), KedgeError, "0 free");
    host.hostFree(all);
    // Blocks that killed workers of other tests left count with their rounding, so that there is no room to cache this one.
    if (live === 0) assertEquals(memory().cached, 10 * MB);
    const parts = Array.from({ length: 8 }, () => alloc(MB));
    assert(memory().cached + 8 * MB <= 10 * MB, "kept and live blocks together stay within the budget");
    for (const part of parts) host.hostFree(part);
    const again = alloc(9 * MB + 1);
    host.hostFree(again);
    assertEquals(memory().used, used);
  });
});

Deno.test("trimming returns the pages to the system", () => {
  withBudget(300 * MB, () => {
    const before = residentBytes();
    const big = alloc(200 * MB);
    const page = new Uint8Array(8 * MB).fill(1);
    for (let at = 0; at < 200 * MB; at += page.length) host.hostWrite(big + at, page, page.length);
    const full = residentBytes();
    host.hostFree(big);
    assert(full - before > 150 * MB, `${full - before} bytes more are resident`);
    host.hostTrim();
    assert(full - residentBytes() > 150 * MB, "the pages must be gone");
  });
});

Deno.test("lengths that differ at each step do not accumulate cached blocks", () => {
  withBudget(4000 * MB, () => {
    const lengths = Array.from({ length: 60 }, (_, step) => (100 - step) * MB);
    for (const length of lengths) host.hostFree(alloc(length));
    const { cached } = memory(), all = lengths.reduce((a, b) => a + b, 0);
    // The limit is 1.5 times the highest use of this process, in which other tests may have run.
    assert(cached <= 0.4 * all, `of ${all} bytes ${cached} are kept`);
    assert(cached >= 64 * MB);
  });
});

Deno.test("the peak is reset to what is used", () => {
  withBudget(100 * MB, () => {
    const { used, budget } = memory();
    const a = alloc(20 * MB), b = alloc(10 * MB);
    host.hostFree(a);
    assertEquals(memory().peak, used + 30 * MB);
    host.hostBudget(budget, 1);
    assertEquals(memory().peak, used + 10 * MB);
    host.hostFree(b);
    assertEquals(memory().peak, used + 10 * MB);
  });
});

Deno.test("the default budget is 0.8 of the free memory", () => {
  const { used, budget } = memory();
  host.hostBudget(0, 0);
  const chosen = memory().budget - used;
  host.hostBudget(budget, 0);
  const { available } = Deno.systemMemoryInfo();
  assert(chosen > 0 && chosen <= 0.85 * available + 256 * MB, `${chosen} of ${available}`);
});

Deno.test("random allocations never overlap", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (n: number) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % n;
  withBudget(256 * MB, () => {
    const live = new Map<number, number>();
    const { used } = memory();
    for (let step = 0; step < 3000; step++) {
      if (live.size < 40 && random(5) < 3) {
        const bytes = random(4) === 0 ? random(3 * MB) : random(3000);
        const address = alloc(bytes);
        for (const [other, size] of live) {
          assert(
            address + bytes <= other || other + size <= address || (address !== other && bytes * size === 0),
            `overlap (seed ${seed})`,
          );
        }
        live.set(address, bytes);
      } else if (live.size > 0) {
        const address = [...live.keys()][random(live.size)]!;
        host.hostFree(address);
        live.delete(address);
      }
    }
    assertEquals(memory().used - used, [...live.values()].reduce((a, b) => a + b, 0), `seed ${seed}`);
    for (const address of live.keys()) host.hostFree(address);
    assertEquals(memory().used, used, `seed ${seed}`);
  });
});

Deno.test("workers share one account", async () => {
  const before = memory();
  const workers = Array.from({ length: 3 }, () => {
    const worker = new Worker(new URL("./host_memory_worker.ts", import.meta.url), { type: "module" });
    return new Promise<number>((resolve, reject) => {
      worker.onmessage = (event) => resolve(event.data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
  });
  const addresses = await Promise.all(workers);
  assertEquals(memory().used - before.used, 3 * 12345);
  assertEquals(memory().ever - before.ever, 6003);
  for (const address of addresses) host.hostFree(address);
  assertEquals(memory().used, before.used);
});
