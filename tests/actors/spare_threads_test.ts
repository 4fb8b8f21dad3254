import { assert, assertEquals } from "@std/assert";
import { Actor } from "../../actors/runtime/spawn.ts";
import { ActorMemory } from "../../actors/runtime/actor_memory.ts";
import { SpareThreads } from "../../actors/runtime/spare_threads.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { openOwner } from "../../tensor/owner.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

/** Counts the actors that its thread has had, and throws or never ends if it is asked to. */
const source = `import { serveActor } from "${import.meta.resolve("../../actors/runtime/serve.ts")}";
let lives = 0;
serveActor(({ options }) => {
  const life = ++lives;
  return { handle: () => [options, life], close() { if (options === "bad") throw new Error("it will not close"); } };
});`;
const module = new URL(`data:application/javascript,${encodeURIComponent(source)}`);

function spawned(memory: ActorMemory, options: string, spares?: SpareThreads) {
  return Actor.spawn<{ type: "ask" }, { ask: [string, number] }>(memory, { name: "counter", module, device: "cpu", options, spares });
}

Deno.test("an actor on a spare thread is a new one, with its own options, and frees all that it held", async () => {
  using opener = CpuDevice.open();
  using memory = new ActorMemory(openOwner(opener), { device: "cpu", threads: 1 });
  using spares = new SpareThreads();
  for (const [options, life] of [["a", 1], ["b", 2], ["c", 3]] as const) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const actor = await spawned(memory, options, spares);
    // deno-lint-ignore no-await-in-loop -- as above
    assertEquals(await actor.peer.request(() => ({ type: "ask" })), [options, life]);
    // deno-lint-ignore no-await-in-loop -- as above
    await actor.close();
    assertEquals(actor.report().bytes, 0);
  }
  const alone = await spawned(memory, "d");
  assertEquals(await alone.peer.request(() => ({ type: "ask" })), ["d", 1]);
  await alone.close();
});

Deno.test("a thread whose actor did not close in order is not kept", async () => {
  using opener = CpuDevice.open();
  using memory = new ActorMemory(openOwner(opener), { device: "cpu", threads: 1 });
  using spares = new SpareThreads();
  const bad = await spawned(memory, "bad", spares);
  const error = await bad.close().then(() => undefined, (error: Error) => error);
  assert(error?.message.includes("it will not close"));
  assertEquals(spares.take(module.href), undefined);
});
