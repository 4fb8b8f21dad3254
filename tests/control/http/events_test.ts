/** Tests server-sent events: order, reconnection, slow clients, and clean-up. */
import { assert, assertEquals } from "@std/assert";
import { type Endpoint, endpoint, raw, until } from "./endpoint.ts";
import { EventReader } from "./event_stream.ts";

const note = (text: string) => ({ kind: "note", data: { text } }) as const;

async function join(end: Endpoint, lastId?: string): Promise<EventReader> {
  return new EventReader(await end.ask("/v1/events", { headers: lastId === undefined ? {} : { "last-event-id": lastId } }));
}

Deno.test("events arrive in order, after a status", async () => {
  await using end = endpoint();
  await using events = await join(end);
  end.run.emit({ kind: "metrics", data: { step: 4, "reward/overall": NaN } });
  end.run.emit({ kind: "rollouts", data: { step: 4, samples: 8 } });
  end.run.emit({ kind: "checkpoint", data: { step: 4 } });
  end.run.emit(note("one\ntwo\u2028three"));
  await end.send("PATCH", "/v1/config", { optim: { lr: 0.25 } }).then((answer) => answer.body?.cancel());
  await end.ask("/v1/pause", { method: "POST" }).then((answer) => answer.body?.cancel());
  const got = await events.take(7);
  assertEquals(got.map(({ event }) => event), ["status", "metrics", "rollouts", "checkpoint", "note", "tuned", "status"]);
  assertEquals([got[0]!.data.state, got[6]!.data.state], ["running", "paused"]);
  assertEquals(got[1]!.data, { step: 4, "reward/overall": null });
  assertEquals(got[4]!.data, { text: "one\ntwo\u2028three" });
  assertEquals(got[5]!.data.changed[0].to, 0.25);
  const ids = got.map(({ id }) => id!.split("-"));
  assertEquals(new Set(ids.map(([epoch]) => epoch)).size, 1);
  assertEquals(ids.map(([, number]) => Number(number)), [0, 1, 2, 3, 4, 5, 6]);
});

Deno.test("Last-Event-ID continues after that event, and misses none", async () => {
  await using end = endpoint();
  const ids: string[] = [];
  {
    await using events = await join(end);
    for (let i = 0; i < 10; i++) end.run.emit(note(`${i}`));
    for (const { id } of await events.take(6)) ids.push(id!);
  }
  for (let i = 10; i < 1500; i++) end.run.emit(note(`${i}`));
  await using again = await join(end, ids.at(-1));
  for (let i = 1500; i < 1600; i++) end.run.emit(note(`${i}`));
  const [status, ...got] = await again.take(1 + 1595);
  assertEquals([status!.event, status!.id], ["status", ids.at(-1)]);
  assertEquals(got.map(({ data }) => Number(data.text)), Array.from({ length: 1595 }, (_, i) => i + 5));
});

Deno.test("an id that is too old, of another process, or none at all is answered by a reset", async () => {
  await using end = endpoint({ limits: { ring: 5 } });
  await using events = await join(end);
  for (let i = 0; i < 8; i++) end.run.emit(note(`${i}`));
  const ids = (await events.take(9)).map(({ id }) => id!), epoch = ids[0]!.split("-")[0]!;
  for (const id of [ids[2]!, `${epoch}-999`, "0123456789ab-8", "x", `${epoch}-1e0`, `${epoch}--1`, "9".repeat(100)]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    await using again = await join(end, id);
    end.run.emit(note("after"));
    // deno-lint-ignore no-await-in-loop -- one after the other
    const got = await again.take(3);
    assertEquals([id, ...got.map(({ event }) => event)], [id, "status", "reset", "note"]);
    assertEquals([got[0]!.id, got[2]!.data.text], [undefined, "after"]);
  }
  // The last event in the ring is still available.
  const last = (await (async () => {
    await using fresh = await join(end);
    return (await fresh.take(1))[0]!;
  })()).id!.split("-");
  await using edge = await join(end, `${last[0]}-${Number(last[1]) - 5}`);
  assertEquals((await edge.take(6)).map(({ event }) => event), ["status", "note", "note", "note", "note", "note"]);
});

Deno.test("a client that reads too slowly is disconnected; the others get everything", async () => {
  await using end = endpoint({ limits: { queueBytes: 4 * 1024 * 1024 } });
  const { hostname, port } = new URL(end.server.url);
  const slow = await Deno.connect({ hostname, port: Number(port) });
  await slow.write(
    new TextEncoder().encode(`GET /v1/events HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${end.server.token}\r\n\r\n`),
  );
  await using quick = await join(end);
  await until(() => end.server.counts().clients === 2, { what: "both being there" });
  const text = "x".repeat(64 * 1024), count = 400;
  let longest = 0;
  const sending = (async () => {
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      end.run.emit({ kind: "note", data: { text: `${i} ${text}` } });
      longest = Math.max(longest, performance.now() - start);
      // deno-lint-ignore no-await-in-loop -- as steps come
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  const got = await quick.take(count + 1);
  await sending;
  assertEquals(got.slice(1).map(({ data }) => Number.parseInt(data.text)), Array.from({ length: count }, (_, i) => i));
  await until(() => end.server.counts().clients === 1, { what: "the slow client being cut off" });
  assertEquals(end.server.counts().cutOff, 1);
  assert(longest < 200, `telling the clients took ${longest} ms`);
  slow.close();
});

Deno.test("too many clients are refused, until one disconnects", async () => {
  await using end = endpoint({ limits: { clients: 3 } });
  const clients = await Promise.all([join(end), join(end), join(end)]);
  const refused = await end.ask("/v1/events");
  assertEquals([refused.status, refused.headers.get("retry-after"), (await refused.json()).error.type], [503, "5", "unavailable_error"]);
  await clients[0]![Symbol.asyncDispose]();
  await until(() => end.server.counts().clients === 2, { what: "room being made" });
  await using one = await join(end);
  assertEquals((await one.take(1))[0]!.event, "status");
  for (const client of clients) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    await client[Symbol.asyncDispose]();
  }
});

Deno.test("a comment comes now and then, so that an idle stream stays open", async () => {
  await using end = endpoint({ limits: { heartbeat: 20, idle: 100 } });
  await using events = await join(end);
  await events.take(1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  end.run.emit(note("still"));
  assertEquals((await events.take(1))[0]!.data.text, "still");
  assert(events.comments >= 5, `${events.comments} came`);
});

Deno.test("clients that disconnect in any way leave nothing behind; closing ends the streams", async () => {
  const end = endpoint();
  assertEquals(end.run.listeners, 1);
  for (let i = 0; i < 20; i++) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const events = await join(end);
    // deno-lint-ignore no-await-in-loop -- one after the other
    await events.take(1);
    // deno-lint-ignore no-await-in-loop -- one after the other
    await events[Symbol.asyncDispose]();
    // deno-lint-ignore no-await-in-loop -- one after the other
    await raw(end.server.url, {
      text: `GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${end.server.token}\r\n\r\n`,
      time: 10,
    });
  }
  await until(() => end.server.counts().clients === 0, { what: "all of them being gone" });
  const open = await join(end);
  await open.take(1);
  await end.server.close();
  assertEquals(await open.next(), undefined);
  assertEquals([end.run.listeners, end.server.counts().clients, end.server.counts().connections], [0, 0, 0]);
  await end.server.finished;
  await end.server.close();
});

Deno.test("an event that cannot be written is counted, and does not affect its sender", async () => {
  await using end = endpoint();
  await using events = await join(end);
  end.run.emit({ kind: "metrics", data: { step: 1n } });
  end.run.emit(note("after"));
  assertEquals((await events.take(2)).map(({ event }) => event), ["status", "note"]);
  assertEquals([end.server.counts().unexpected, end.surprises.length], [1, 1]);
});
