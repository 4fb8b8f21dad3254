/** Compares random operations on the process-wide handle table with a plain model of it. */
import { assert, assertEquals } from "@std/assert";
import { KedgeError } from "../ffi/errors.ts";
import {
  account,
  EMPTY,
  type Freed,
  giveBack,
  type Handle,
  host,
  lend,
  move,
  open,
  reclaim,
  register,
  release,
  resolve,
  written,
} from "./handle_table.ts";

/** A tensor of the model, which is written plainly: objects, no reuse, linear searches. */
interface Tensor {
  address: number;
  owner: number;
  current: Handle | undefined;
  event: number;
  lends: Map<number, number>;
}

Deno.test("random operations have the same results as a plain model of the table", () => {
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  const first = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
  for (let seed = first; seed < first + (given ? 1 : 40); seed++) run(seed);
});

function run(seed: number): void {
  let state = seed >>> 0;
  const random = (n: number) => (state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0) % n;
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const alive = new Set<number>(), owners: number[] = [];
  const tensors: Tensor[] = [];
  const stale: Handle[] = [];
  const check = (condition: boolean, what: string) => assert(condition, `${what} (seed ${seed})`);
  /** Runs a call, which must be refused exactly if the model refuses it. */
  const attempt = <T>(allowed: boolean, what: string, call: () => T): T | undefined => {
    try {
      const result = call();
      check(allowed, `${what} should have been refused`);
      return result;
    } catch (error) {
      check(error instanceof KedgeError && error.code === "Handle" && !allowed, `${what}: ${(error as Error).message}`);
      return undefined;
    }
  };
  const spend = (tensor: Tensor) => {
    stale.push(tensor.current!);
    tensor.current = undefined;
  };
  const own = (tensor: Tensor, owner: number) => tensor.current !== undefined && tensor.owner === owner && alive.has(owner);
  const same = (freed: Freed, tensor: Tensor, what: string) =>
    check(
      freed.address === tensor.address && freed.event === tensor.event,
      `${what}: ${JSON.stringify(freed)} for ${JSON.stringify(tensor)}`,
    );

  for (let step = 0; step < 400; step++) {
    if (owners.length < 3 || random(40) === 0) {
      owners.push(open());
      alive.add(owners.at(-1)!);
    }
    const [a, b] = [pick(owners), pick(owners)];
    const living = tensors.filter((t) => t.current);
    if (living.length === 0 || random(4) === 0) {
      const address = 64 * (tensors.length + 1);
      const handle = attempt(alive.has(a), "register", () => register(a, address, address));
      if (handle) tensors.push({ address, owner: a, current: handle, event: 0, lends: new Map() });
      continue;
    }
    const tensor = pick(living), handle = tensor.current!, event = random(3);
    switch (random(10)) {
      case 0: {
        const freed = attempt(own(tensor, a) && tensor.lends.size === 0, "release", () => release(a, handle));
        if (freed) {
          same(freed, tensor, "release");
          spend(tensor);
        }
        break;
      }
      case 1:
      case 2: {
        const moved = attempt(own(tensor, a) && tensor.lends.size === 0 && alive.has(b), "move", () => move(a, handle, b, event));
        if (moved) {
          spend(tensor);
          Object.assign(tensor, { owner: b, current: moved, event });
        }
        break;
      }
      case 3:
      case 4: {
        if (a === b) break;
        const allowed = own(tensor, a) && alive.has(b);
        attempt(allowed, "lend", () => lend(a, handle, b));
        if (allowed) tensor.lends.set(b, (tensor.lends.get(b) ?? 0) + 1);
        break;
      }
      case 5:
      case 6: {
        const borrower = tensor.lends.size > 0 && random(3) > 0 ? pick([...tensor.lends.keys()]) : b;
        const count = tensor.lends.get(borrower) ?? 0;
        const freed = attempt(count > 0, "return", () => giveBack(borrower, handle, event));
        if (!freed) break;
        if (event) tensor.event = event;
        if (count === 1) tensor.lends.delete(borrower);
        else tensor.lends.set(borrower, count - 1);
        if (tensor.lends.size === 0 && !alive.has(tensor.owner)) {
          same(freed, tensor, "the last return");
          spend(tensor);
        } else check(freed.address === 0, "an early return hands out an address");
        break;
      }
      case 7: {
        const allowed = own(tensor, a) && tensor.lends.size === 0;
        attempt(allowed, "written", () => written(a, handle, event));
        if (allowed) tensor.event = event;
        break;
      }
      case 8: {
        if (random(4) > 0) break;
        host.ownerClose(a);
        if (alive.delete(a)) { for (const t of tensors) t.lends.delete(a); }
        const expected = tensors.filter((t) => t.current && t.lends.size === 0 && !alive.has(t.owner));
        // The tensors of a, and of owners that died before and had lent to it last. Over all dead owners, each tensor occurs once.
        const freed = owners.filter((o) => !alive.has(o)).flatMap((o) => reclaim(o, 1 + random(3)));
        check(freed.length === expected.length, `${freed.length} reclaimed, expected ${expected.length}`);
        for (const t of expected) {
          same(freed.find((f) => f.address === t.address)!, t, "reclaim");
          spend(t);
        }
        break;
      }
      default: {
        const user = tensor.lends.size > 0 && random(2) ? pick([...tensor.lends.keys()]) : a;
        const allowed = own(tensor, user) || (alive.has(user) && tensor.lends.has(user));
        const seen = attempt(allowed, "resolve", () => resolve(user, handle));
        if (seen) check(seen.address === tensor.address && seen.event === tensor.event && seen.owner === tensor.owner, "resolve");
      }
    }
    if (stale.length > 0) {
      const old = pick(stale);
      attempt(false, "a stale resolve", () => resolve(a, old));
      attempt(false, "a stale release", () => release(a, old));
    }
    for (const owner of owners) {
      const mine = tensors.filter((t) => t.current && t.owner === owner);
      const expected = {
        bytes: mine.reduce((sum, t) => sum + t.address, 0),
        handles: mine.length,
        borrowed: tensors.filter((t) => t.current && t.lends.has(owner)).length,
        lent: mine.filter((t) => t.lends.size > 0).length,
      };
      assertEquals(account(owner), expected, `owner ${owner} (seed ${seed})`);
    }
  }
  // All owners die in a random order; the table must then be empty.
  let left = tensors.filter((t) => t.current).length;
  for (const owner of owners.sort(() => random(3) - 1)) {
    host.ownerClose(owner);
    left -= reclaim(owner).length;
  }
  check(left === 0, `${left} handles were never reclaimed`);
  for (const owner of owners) assertEquals(account(owner), EMPTY, `seed ${seed}`);
}
