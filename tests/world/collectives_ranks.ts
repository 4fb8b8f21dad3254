// deno-lint-ignore-file no-console -- a program
/** What each rank does in tests/world/world_test.ts. The argument names the case. Rank 0 prints the result. */
import { cpuUsage } from "node:process";
import { part, World } from "../../ffi/world.ts";

const [what, seconds = "20"] = Deno.args, world = World.join({ timeoutSeconds: Number(seconds) }), { rank, size } = world.place;

/** The processor time of this process in seconds. */
function processorSeconds(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1e6;
}

function same(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  return a.length === b.length && Array.from(a).every((x, i) => x === b[i]);
}

const cases: Record<string, () => unknown> = {
  place() {
    return { size, local: world.place.localSize, version: world.version };
  },
  /** Bytes of different lengths, one of them none. */
  gather() {
    const mine = (k: number) => Uint8Array.from({ length: k * 1000 }, (_, i) => (i * 7 + k) & 255);
    return world.gather(mine(rank)).every((bytes, k) => same(bytes, mine(k)));
  },
  broadcast() {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i & 255);
    return same(world.broadcast(rank === size - 1 ? bytes : undefined, size - 1), bytes);
  },
  async later() {
    const all = await world.gatherLater(new TextEncoder().encode(JSON.stringify({ rank })));
    const told = await world.broadcastLater(rank === 0 ? Uint8Array.of(1, 2) : undefined, 0);
    return all.every((bytes, k) => JSON.parse(new TextDecoder().decode(bytes)).rank === k) && same(told, [1, 2]);
  },
  /** More than goes in one message: each sends it to the next rank. */
  large() {
    const bytes = 2 ** 26 + 3, out = new Uint8Array(bytes).fill(rank + 1), into = new Uint8Array(bytes);
    out[bytes - 1] = 99;
    const to = new Array(size).fill(undefined), from = new Array(size).fill(undefined);
    to[(rank + 1) % size] = part(out);
    from[(rank + size - 1) % size] = part(into);
    world.exchange(to, from);
    const before = (rank + size - 1) % size + 1;
    return into[0] === before && into[bytes - 2] === before && into[bytes - 1] === 99 && into[2 ** 26] === before;
  },
  /** The last rank comes late: how much of a core the others take meanwhile. */
  nap() {
    world.gather(new Uint8Array(1));
    const before = processorSeconds(), start = performance.now();
    if (rank === size - 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
    world.gather(new Uint8Array(1));
    return (processorSeconds() - before) / ((performance.now() - start) / 1000);
  },
  /** The last rank never comes. */
  late() {
    if (rank === size - 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000);
    try {
      world.gather(new Uint8Array(1));
    } catch (error) {
      if (rank === 0) console.log(JSON.stringify((error as Error).message));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200); // so that the line is out
      world.abort(75);
    }
  },
  /** One rank makes another operation than the others. */
  mismatch() {
    try {
      if (rank === 1) world.broadcast(Uint8Array.of(1), 1);
      else world.gather(Uint8Array.of(1));
      return "no error";
    } catch (error) {
      return (error as Error).message;
    }
  },
};

const results: Record<string, unknown> = {};
for (const name of what === "all" ? ["place", "gather", "broadcast", "later", "large", "nap", "mismatch"] : [what!]) {
  // deno-lint-ignore no-await-in-loop -- all ranks make one after the other
  results[name] = await cases[name]!();
}
const all = world.gather(new TextEncoder().encode(JSON.stringify(results))).map((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
if (rank === 0) console.log(JSON.stringify(all));
world.leave();
