/** Tests the rules and messages of the process-wide handle table, through the C ABI. */
import type { Address } from "../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  account,
  device,
  EMPTY,
  giveBack,
  type Handle,
  host,
  lend,
  move,
  open,
  reclaim,
  refused,
  register,
  release,
  resolve,
  written,
} from "./handle_table.ts";

Deno.test("a handle resolves for its owner until it is released", () => {
  const a = open();
  const handle = register(a, 0x1000, 40, 3);
  assertEquals(resolve(a, handle), { address: 0x1000, bytes: 40, event: 0, owner: a });
  assertEquals(account(a), { bytes: 40, handles: 1, borrowed: 0, lent: 0 });
  written(a, handle, 77);
  assertEquals(resolve(a, handle).event, 77);
  assertEquals(release(a, handle), { address: 0x1000, bytes: 40, device: 3, event: 77 });
  assertEquals(account(a), EMPTY);
});

Deno.test("the CPU's ordinal is returned as -1", () => {
  const a = open();
  assertEquals(release(a, register(a, 0x40, 0)).device, -1);
});

Deno.test("a use after a move names the new owner, for every operation", () => {
  const [a, b, c] = [open(), open(), open()];
  const old = register(a, 0x1000, 8), moved = move(a, old, b, 5);
  const words = `it was moved to owner ${b}`;
  for (const use of [resolve, release, (o: number, h: Handle) => written(o, h, 1)]) refused(() => use(a, old), words);
  refused(() => move(a, old, c), words);
  refused(() => lend(a, old, c), words);
  refused(() => giveBack(a, old), words);
  refused(() => resolve(b, old), words);
  refused(() => resolve(a, moved), `it belongs to owner ${b}`);
  assertEquals(resolve(b, moved), { address: 0x1000, bytes: 8, event: 5, owner: b });
  assertEquals([account(a), account(b).bytes], [EMPTY, 8]);
  release(b, moved);
});

Deno.test("use after free and a second free report it, even when the slot holds another tensor", () => {
  const a = open();
  const old = register(a, 0x1000, 8);
  release(a, old);
  refused(() => release(a, old), "it was freed");
  refused(() => resolve(a, old), "it was freed");
  const next = register(a, 0x2000, 16);
  assertEquals(next.slot, old.slot, "slots are used again");
  assert(next.generation > old.generation);
  refused(() => resolve(a, old), `tensor ${old.slot}/${old.generation}: it was freed`);
  assertEquals(resolve(a, next).address, 0x2000);
  release(a, next);
});

Deno.test("a handle of a dead owner says so, before and after it is reclaimed", () => {
  const [a, b] = [open(), open()];
  const handle = register(a, 0x1000, 8);
  refused(() => reclaim(a), `owner ${a} is alive`);
  host.ownerClose(a);
  host.ownerClose(a); // the second call has no effect
  for (const owner of [a, b]) refused(() => resolve(owner, handle), `owner ${a} died`);
  refused(() => release(a, handle), `owner ${a} died`);
  refused(() => move(a, handle, b), `owner ${a} died`);
  refused(() => register(a, 0x2000, 8), `owner ${a} died`);
  assertEquals(reclaim(a), [{ address: 0x1000, bytes: 8, device: -1, event: 0 }]);
  refused(() => resolve(b, handle), `its owner ${a} died`);
  assertEquals(account(a), EMPTY);
});

Deno.test("a dead owner receives nothing", () => {
  const [a, b] = [open(), open()];
  const handle = register(a, 0x1000, 8);
  host.ownerClose(b);
  refused(() => move(a, handle, b), `owner ${b} died`);
  refused(() => lend(a, handle, b), `owner ${b} died`);
  assertEquals(resolve(a, handle).owner, a, "a refused move changes nothing");
  release(a, handle);
});

Deno.test("unknown owners and unregistered handles are refused", () => {
  const a = open();
  for (const owner of [0, a + 1000]) {
    refused(() => account(owner), "was never opened");
    refused(() => host.ownerClose(owner), "was never opened");
    refused(() => register(owner, 8, 8), "was never opened");
  }
  const handle = register(a, 0x1000, 8);
  refused(() => resolve(a, { slot: handle.slot, generation: handle.generation + 1 }), "was never registered");
  refused(() => resolve(a, { slot: handle.slot, generation: 0 }), "was never registered");
  refused(() => resolve(a, { slot: 4_000_000_000, generation: 1 }), "was never registered");
  assertThrows(() => register(a, 0, 8), RangeError, "address is NULL");
  assertThrows(() => register(a, 8, -8), RangeError, "bytes is -8");
  release(a, handle);
});

Deno.test("a lent handle may be read by both sides, and neither moved, written nor freed", () => {
  const [a, b, c] = [open(), open(), open()];
  const handle = register(a, 0x1000, 8);
  lend(a, handle, b);
  lend(a, handle, b);
  lend(a, handle, c);
  assertEquals(account(a), { bytes: 8, handles: 1, borrowed: 0, lent: 1 });
  assertEquals(account(b), { bytes: 0, handles: 0, borrowed: 1, lent: 0 });
  for (const user of [a, b, c]) assertEquals(resolve(user, handle).address, 0x1000);
  refused(() => release(a, handle), `it is lent to owner ${b}`);
  refused(() => move(a, handle, c), `it is lent to owner ${b}`);
  refused(() => written(a, handle, 1), `it is lent to owner ${b}`);
  for (const use of [release, (o: number, h: Handle) => written(o, h, 1)]) refused(() => use(b, handle), `it belongs to owner ${a}`);
  refused(() => lend(b, handle, c), `it belongs to owner ${a}`);
  assertThrows(() => lend(a, handle, a), RangeError, "to itself");
  giveBack(b, handle, 11);
  assertEquals(resolve(b, handle).event, 11, "lent twice, returned once");
  giveBack(b, handle);
  assertEquals(resolve(a, handle).event, 11, "a return without an event leaves the one before");
  refused(() => resolve(b, handle), `it belongs to owner ${a}`);
  refused(() => giveBack(b, handle), `it is not lent to owner ${b}`);
  assertEquals(giveBack(c, handle, 12).address, 0, "the owner lives: nothing to free");
  assertEquals([account(b), account(c), account(a).lent], [EMPTY, EMPTY, 0]);
  release(a, handle);
});

Deno.test("when a borrower dies, what it had borrowed is returned", () => {
  const [a, b] = [open(), open()];
  const handles = Array.from({ length: 20 }, (_, i) => register(a, 0x1000 + i, 8));
  for (const handle of handles) lend(a, handle, b);
  lend(a, handles[0]!, b);
  host.ownerClose(b);
  assertEquals([account(b), account(a).lent], [EMPTY, 0]);
  refused(() => resolve(b, handles[0]!), `owner ${b} died`);
  refused(() => giveBack(b, handles[0]!), `owner ${b} died`);
  for (const handle of handles) release(a, handle);
  assertEquals(reclaim(b), []);
});

Deno.test("what a dead owner has lent lives until its last return, which then frees it", () => {
  const [a, b, c] = [open(), open(), open()];
  const lent = register(a, 0x1000, 8), own = register(a, 0x2000, 16);
  lend(a, lent, b);
  lend(a, lent, c);
  host.ownerClose(a);
  assertEquals(reclaim(a).map((freed) => freed.address), [0x2000]);
  refused(() => resolve(b, own), `its owner ${a} died`);
  assertEquals(account(a), { bytes: 8, handles: 1, borrowed: 0, lent: 1 });
  assertEquals(resolve(b, lent).address, 0x1000, "its borrowers read on");
  assertEquals(giveBack(b, lent, 9).address, 0);
  assertEquals(giveBack(c, lent), { address: 0x1000, bytes: 8, device: -1, event: 9 });
  assertEquals(account(a), EMPTY);
  refused(() => resolve(c, lent), `its owner ${a} died`);
});

Deno.test("what a dead owner had lent to a borrower that dies later is reclaimed with either", () => {
  for (const first of [0, 1]) {
    const [a, b] = [open(), open()];
    lend(a, register(a, 0x1000, 8), b);
    lend(a, register(a, 0x2000, 8), b);
    host.ownerClose(a);
    assertEquals(reclaim(a), []);
    host.ownerClose(b);
    const freed = [reclaim([a, b][first]!), reclaim([b, a][first]!)];
    assertEquals(freed.map((list) => list.length), [2, 0]);
    assertEquals([account(a), account(b)], [EMPTY, EMPTY]);
  }
});

Deno.test("a receiver that dies with 100 moves unread leaves its account at exactly zero", () => {
  const [sender, receiver] = [open(), open()];
  const before = device.memory();
  const moved = Array.from({ length: 100 }, (_, i) => move(sender, register(sender, device.alloc(1000 + i), 1000 + i), receiver));
  assertEquals(account(receiver), { bytes: 100 * 1000 + 99 * 50, handles: 100, borrowed: 0, lent: 0 });
  host.ownerClose(receiver);
  const freed = reclaim(receiver, 7);
  for (const { address } of freed) device.free(address as Address);
  assertEquals(freed.length, 100);
  assertEquals([account(receiver), account(sender)], [EMPTY, EMPTY]);
  const after = device.memory();
  assertEquals([after.used, after.allocations], [before.used, before.allocations]);
  for (const handle of moved) refused(() => resolve(sender, handle), `its owner ${receiver} died`);
});

Deno.test("an operation takes well under a microsecond", () => {
  const [a, b] = [open(), open()];
  let handle = register(a, 0x1000, 8);
  const out = new BigUint64Array(4), generation = new Uint32Array(1), rounds = 20_000;
  let best = Infinity;
  for (let attempt = 0; attempt < 5; attempt++) {
    const start = performance.now();
    for (let i = 0; i < rounds; i++) {
      host.handleLend(a, b, handle.slot, handle.generation);
      host.handleReturn(b, handle.slot, handle.generation, 0, out);
      host.handleMove(a, a, handle.slot, handle.generation, 0, generation);
      handle = { slot: handle.slot, generation: generation[0]! };
    }
    best = Math.min(best, (performance.now() - start) / (3 * rounds));
  }
  assert(best < 0.01, `${best} ms for an operation`); // a tenth of a microsecond plus the FFI call, with room for a busy machine
  release(a, handle);
});
