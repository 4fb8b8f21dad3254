import { assert, assertEquals, assertRejects } from "@std/assert";
import { Actor } from "../../actors/runtime/spawn.ts";
import { ActorMemory } from "../../actors/runtime/actor_memory.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { openOwner } from "../../tensor/owner.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { EchoMessage, EchoReplies } from "./echo_worker.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

async function withEcho(
  run: (given: { memory: ActorMemory; echo: Actor<EchoMessage, EchoReplies>; deaths: Error[] }) => Promise<void>,
): Promise<void> {
  using opener = CpuDevice.open();
  using memory = new ActorMemory(openOwner(opener), { device: "cpu" });
  const deaths: Error[] = [];
  const echo = await Actor.spawn<EchoMessage, EchoReplies>(memory, {
    name: "echo",
    module: new URL("./echo_worker.ts", import.meta.url),
    device: "cpu",
    threads: 1,
    options: {},
    onDeath: (error) => deaths.push(error),
  });
  try {
    await run({ memory, echo, deaths });
  } finally {
    await echo.close();
    assertEquals(echo.report(), { bytes: 0, tensors: 0, borrowed: 0, lent: 0 }, "a dead actor's account");
  }
  assertEquals(memory.report(), { bytes: 0, tensors: 0, borrowed: 0, lent: 0 }, "what the test itself holds");
}

Deno.test("a request lends a tensor, its reply moves another, and both accounts are balanced afterwards", async () => {
  await withEcho(async ({ memory, echo }) => {
    using x = Tensor.from(memory.host, [1, 2, 3]);
    const { y } = await echo.peer.request((carrier) => ({ type: "double", x: carrier.lend(x) }));
    using received = memory.account("cpu").receive(y);
    assertEquals([...received.toArray()], [2, 4, 6]);
    assertEquals(echo.report(), { bytes: 0, tensors: 0, borrowed: 0, lent: 0 });
    x.fill(0); // it is no longer lent
  });
});

Deno.test("a lent tensor comes back even if the handler never used it or threw", async () => {
  await withEcho(async ({ memory, echo }) => {
    using x = Tensor.from(memory.host, [1, 2, 3]);
    await echo.peer.request((carrier) => ({ type: "ignore", x: carrier.lend(x) }));
    await assertRejects(() => echo.peer.request((carrier) => ({ type: "fail", x: carrier.lend(x) })), RangeError, "told to fail");
    assertEquals(memory.report().lent, 0);
    assertEquals(await echo.peer.request((carrier) => ({ type: "ignore", x: carrier.lend(x) })), null, "it lives on");
  });
});

Deno.test("tensors that an actor kept are freed when it is closed", async () => {
  await withEcho(async ({ memory, echo }) => {
    const x = Tensor.from(memory.host, [1, 2, 3]);
    await echo.peer.request((carrier) => ({ type: "keep", x: carrier.move(x) }));
    assertEquals([x.live, echo.report().tensors], [false, 1]);
  });
});

Deno.test("an AbortSignal reaches a running handler", async () => {
  await withEcho(async ({ echo }) => {
    const controller = new AbortController(), reply = echo.peer.request(() => ({ type: "wait" }), { signal: controller.signal });
    controller.abort();
    assertEquals(await reply, { cancelled: true });
  });
});

Deno.test("parts of an answer arrive in order, all before the reply", async () => {
  await withEcho(async ({ echo }) => {
    const parts: unknown[] = [];
    assertEquals(await echo.peer.request(() => ({ type: "count", to: 5 }), { onPart: (part) => parts.push(part) }), { counted: 5 });
    assertEquals(parts, [1, 2, 3, 4, 5]);
    assertEquals(await echo.peer.request(() => ({ type: "count", to: 2 })), { counted: 2 }, "nobody needs to listen");
  });
});

Deno.test("an actor that dies fails its pending requests, is reported, and leaves no memory", async () => {
  await withEcho(async ({ memory, echo, deaths }) => {
    const x = Tensor.from(memory.host, [1, 2, 3]);
    await echo.peer.request((carrier) => ({ type: "keep", x: carrier.move(x) }));
    const error = await assertRejects(() => echo.peer.request(() => ({ type: "die" })), KedgeError, "told to die");
    assertEquals([error.code, deaths.length, echo.report().tensors], ["Actor", 1, 0]);
    await assertRejects(() => echo.peer.request(() => ({ type: "wait" })), KedgeError, "Cannot ask echo");
  });
});

Deno.test("an actor whose module fails gives an error with its message", async () => {
  using opener = CpuDevice.open();
  using memory = new ActorMemory(openOwner(opener), { device: "cpu" });
  const options = { name: "nobody", module: new URL("./no_such_worker.ts", import.meta.url), device: "cpu", options: {} };
  const error = await assertRejects(() => Actor.spawn(memory, options), KedgeError);
  assert(error.message.includes("nobody"));
});
