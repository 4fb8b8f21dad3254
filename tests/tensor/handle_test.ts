import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Account, type TensorHandle, type TensorReturn } from "../../tensor/handle.ts";
import { openOwner, ownerReport, reclaimOwner } from "../../tensor/owner.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { deviceTest as register } from "./device_test_case.ts";
import type { Order } from "./handle_worker.ts";

const deviceTest: typeof register = (name, body) => register(name, body, { workspace: false });
const refused = (run: () => unknown, words: string) => assertEquals(assertThrows(run, KedgeError, words).code, "Handle");
const EMPTY = { bytes: 0, tensors: 0, borrowed: 0, lent: 0 };

deviceTest("an account holds every tensor of its device while it is bound", (device) => {
  using account = new Account(device, openOwner(device));
  const tensor = Tensor.from(device, [1, 2, 3]);
  const view = tensor.slice(0, 2);
  assertEquals(account.report(), { bytes: 12, tensors: 1, borrowed: 0, lent: 0 });
  tensor.free();
  assertEquals(account.report().tensors, 1);
  view.free();
  assertEquals(account.report(), EMPTY);
});

deviceTest("a move invalidates the sender's tensor and its views, and the receiver owns it", (device) => {
  using sender = new Account(device, openOwner(device));
  const tensor = Tensor.from(device, [1, 2, 3]);
  const view = tensor.slice(0, 2);
  using receiver = new Account(device, openOwner(device));
  const handle = sender.move(tensor, receiver.owner);
  assertEquals(structuredClone(handle), handle);
  refused(() => tensor.address, `it was moved to owner ${receiver.owner}`);
  refused(() => view.toFloats(), "it was moved");
  refused(() => tensor.free(), "it was moved");
  refused(() => sender.move(tensor, receiver.owner), "it was moved");
  tensor[Symbol.dispose]();
  assertEquals([sender.report(), receiver.report().bytes], [EMPTY, 12]);

  const received = receiver.receive(handle);
  assertEquals([...received.toFloats()], [1, 2, 3]);
  refused(() => receiver.receive(handle), "it was received before");
  refused(() => sender.receive(handle), "Cannot");
  received.free();
  refused(() => receiver.receive(handle), "freed");
  assertEquals(receiver.report(), EMPTY);
});

deviceTest("a handle that has moved is stale for its earlier owners", (device) => {
  using a = new Account(device, openOwner(device));
  const tensor = Tensor.from(device, [1]);
  using b = new Account(device, openOwner(device));
  using c = new Account(device, openOwner(device));
  const first = a.move(tensor, b.owner);
  const second = b.move(b.receive(first), c.owner);
  refused(() => b.receive(first), "moved");
  refused(() => c.receive(first), "Cannot");
  c.receive(second).free();
});

deviceTest("a lend lets the borrower read, and the owner neither free nor move until its end", (device) => {
  using lender = new Account(device, openOwner(device));
  const tensor = Tensor.from(device, [1, 2, 3]);
  using first = new Account(device, openOwner(device));
  using second = new Account(device, openOwner(device));
  const handle = lender.lend(tensor, first.owner);
  const again = lender.lend(tensor, second.owner);
  const [one, two] = [first.borrow(handle), second.borrow(again)];
  assertEquals([...one.toFloats(), ...two.toFloats()], [1, 2, 3, 1, 2, 3]);
  refused(() => one.fill(0), "it is borrowed");
  refused(() => first.move(one, second.owner), "it is borrowed");
  refused(() => first.receive(handle), "borrow it");
  refused(() => tensor.free(), "lent");
  refused(() => lender.move(tensor, first.owner), "lent");
  assertEquals(tensor.live, true);

  const end = first.giveBack(one);
  refused(() => one.toFloats(), "returned to its owner");
  refused(() => first.borrow(handle), "Cannot");
  two.free(); // quiet on its side, and the lender hears nothing of it
  assertEquals([first.report(), second.report(), lender.report().lent], [EMPTY, EMPTY, 0]);
  lender.takeBack(end);
  lender.takeBack({ ...end, event: 0 });
  refused(() => lender.takeBack(end), "it was not lent");
  assertEquals([...tensor.toFloats()], [1, 2, 3]);
  tensor.free();
  assertEquals(lender.report(), EMPTY);
});

deviceTest("a dead owner receives nothing, and all of its tensors are freed", (device) => {
  using living = new Account(device, openOwner(device));
  const dead = new Account(device, openOwner(device));
  const own = Tensor.from(device, [1, 2]);
  const handle = dead.lend(own, living.owner);
  const borrowed = living.borrow(handle);
  Tensor.from(device, [3, 4, 5]);
  dead[Symbol.dispose](); // what follows is made outside of any account, and entered when it leaves
  const lent = Tensor.from(device, [6]);
  const sent = living.move(Tensor.from(device, [7]), dead.owner);
  living.lend(lent, dead.owner);

  assertEquals(reclaimOwner(dead.owner, [device]), { tensors: 2, bytes: 16 });
  assertEquals(ownerReport(device, dead.owner), { bytes: 8, tensors: 1, borrowed: 0, lent: 1 });
  assertEquals([...borrowed.toFloats()], [1, 2]);
  living.giveBack(borrowed); // the last lend of a dead owner's tensor frees it
  assertEquals(ownerReport(device, dead.owner), EMPTY);
  refused(() => dead.receive(sent), "died");
  refused(() => living.move(lent, dead.owner), "died");
  refused(() => living.lend(lent, dead.owner), "died");
  assertEquals(lent.live, true);
  lent.free();
  assertEquals(living.report(), EMPTY);
});

deviceTest("tensors that cannot be sent are refused, and stay with their owner", (device) => {
  using a = new Account(device, openOwner(device));
  const b = openOwner(device);
  using tensor = Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] });
  using part = tensor.slice(1, 2), column = tensor.columns(0, 1);
  for (const view of [part, column]) assertThrows(() => a.move(view, b), RangeError, "copy it first");
  using pinned = Tensor.zeros(device, [2], { pinned: true });
  assertEquals(assertThrows(() => a.move(pinned, b), KedgeError).code, "Unsupported");
  refused(() => a.move(tensor, 2 ** 31), "never opened");
  refused(() => a.receive({ slot: 2 ** 30, generation: 1, dtype: "f32", shape: [1], device: device.name }), "never registered");
  refused(() => a.receive({ slot: 0, generation: 1, dtype: "f32", shape: [1], device: "cuda:9" }), "a tensor of cuda:9");
  const { slot, generation } = tensor.storage.entry!;
  refused(() => a.receive({ slot, generation, dtype: "f32", shape: [1000], device: device.name }), "it needs 4000 bytes");
  assertEquals([...tensor.toFloats()], [1, 2, 3, 4]);
});

/** A worker with an account of its own. */
async function actor(device: CpuDevice): Promise<{ owner: number; ask: (order: Order) => Promise<unknown>; worker: Worker } & Disposable> {
  const worker = new Worker(new URL("./handle_worker.ts", import.meta.url).href, { type: "module" });
  const owner = openOwner(device);
  const ask = (order: Order) =>
    new Promise<unknown>((resolve, reject) => {
      worker.onmessage = (event) => resolve(event.data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      worker.postMessage(order);
    });
  await ask({ kind: "open", owner });
  return { owner, ask, worker, [Symbol.dispose]: () => worker.terminate() };
}

Deno.test("tensors move to a worker and back, and are lent to it", async () => {
  using device = CpuDevice.open();
  using account = new Account(device, openOwner(device));
  using there = await actor(device);
  const moved = account.move(Tensor.from(device, [1, 2, 3]), there.owner);
  using back = account.receive(await there.ask({ kind: "double", handle: moved, to: account.owner }) as TensorHandle);
  assertEquals([...back.toFloats()], [2, 4, 6]);
  assertEquals(ownerReport(device, there.owner), EMPTY);

  const { sum, end } = await there.ask({ kind: "read", handle: account.lend(back, there.owner) }) as { sum: number; end: TensorReturn };
  account.takeBack(end);
  assertEquals(sum, 12);
  assertEquals(account.report(), { bytes: 12, tensors: 1, borrowed: 0, lent: 0 });

  // Used after the move, not its own, freed: an error there, and no crash.
  assertMatch(await there.ask({ kind: "use", handle: moved }) as string, /^Handle: .*(moved|freed)/);
  const other = account.move(Tensor.from(device, [1]), openOwner(device));
  assertMatch(await there.ask({ kind: "use", handle: other }) as string, /^Handle: /);
});

Deno.test("a receiver killed with 100 moves unread leaves its account at zero", async () => {
  using device = CpuDevice.open();
  const before = device.memory();
  {
    using account = new Account(device, openOwner(device));
    using there = await actor(device);
    assertEquals(await there.ask({ kind: "block", flag: new SharedArrayBuffer(4) }), "blocked");
    for (let i = 0; i < 100; i++) {
      const handle = account.move(Tensor.full(device, [100 + i], { value: i }), there.owner);
      there.worker.postMessage({ kind: "use", handle });
    }
    assertEquals(ownerReport(device, there.owner).tensors, 109); // and nine tensors of its own
    there.worker.terminate();
    const { tensors } = reclaimOwner(there.owner, [device]);
    assertEquals(tensors, 109);
    assertEquals(ownerReport(device, there.owner), EMPTY);
    assertEquals(account.report(), EMPTY);
    refused(() => account.move(Tensor.empty(device, [1]), there.owner), "died");
  }
  assertEquals(device.memory().used - before.used, 4); // the last one, which stayed
});
