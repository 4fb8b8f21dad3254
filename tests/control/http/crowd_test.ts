/** Tests that many clients that neither send requests nor read do not block others. */
import { assert, assertEquals } from "@std/assert";
import { type Endpoint, endpoint, until } from "./endpoint.ts";

/** Opens connections that send a text and then do nothing. */
class Crowd implements Disposable {
  readonly #connections: Deno.TcpConn[] = [];
  readonly #where: { hostname: string; port: number };

  constructor({ server: { url } }: Endpoint) {
    const { hostname, port } = new URL(url);
    this.#where = { hostname, port: Number(port) };
  }

  async come(count: number, text: string): Promise<void> {
    for (let i = 0; i < count; i++) {
      // deno-lint-ignore no-await-in-loop -- one after the other
      const connection = await Deno.connect(this.#where);
      this.#connections.push(connection);
      // deno-lint-ignore no-await-in-loop -- one after the other
      if (text !== "") await connection.write(new TextEncoder().encode(text)).catch(() => {});
    }
  }

  /** Sends more on the newest connection. @returns Milliseconds until it was closed; undefined if it was not closed within `time`. */
  async trickle(text: string, { every, time }: { every: number; time: number }): Promise<number | undefined> {
    const connection = this.#connections.at(-1)!, start = performance.now(), buffer = new Uint8Array(1000);
    let isOpen = true;
    const ended = (async () => {
      // deno-lint-ignore no-await-in-loop -- until it ends
      while ((await connection.read(buffer).catch(() => null)) !== null);
      isOpen = false;
    })();
    for (let i = 0; isOpen && performance.now() - start < time; i++) {
      // deno-lint-ignore no-await-in-loop -- one after the other
      await new Promise((resolve) => setTimeout(resolve, every));
      // deno-lint-ignore no-await-in-loop -- one after the other
      if (isOpen) await connection.write(new TextEncoder().encode(text[i % text.length]!)).catch(() => {});
    }
    if (!isOpen) await ended;
    return isOpen ? undefined : performance.now() - start;
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }
}

const head = (end: Endpoint, path: string, more = "") =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${end.server.token}\r\n${more}\r\n`;

/** Sends a request on a new connection. */
async function asksAnew(end: Endpoint, path: string): Promise<number> {
  const connection = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  try {
    const answer = await fetch(end.server.url + path, {
      client: connection,
      headers: { authorization: `Bearer ${end.server.token}` },
      signal: AbortSignal.timeout(5000),
    });
    if (path === "/v1/events") {
      const reader = answer.body!.getReader(), { value } = await reader.read();
      await reader.cancel();
      assert(new TextDecoder().decode(value).includes("event: status"));
    } else await answer.body?.cancel();
    return answer.status;
  } finally {
    connection.close();
  }
}

for (const [name, text] of [["nothing", ""], ["half of a header", "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: "]] as const) {
  Deno.test(`300 connections that have sent ${name} do not block other clients`, async () => {
    await using end = endpoint();
    using crowd = new Crowd(end);
    await crowd.come(300, text);
    for (const path of ["/healthz", "/v1/status", "/v1/events"]) {
      // deno-lint-ignore no-await-in-loop -- one after the other
      assertEquals([path, await asksAnew(end, path)], [path, 200]);
    }
    const { connections } = end.server.counts();
    assert(connections <= 40, `${connections} connections`);
  });
}

Deno.test("230 event clients that do not read do not block other clients", async () => {
  await using end = endpoint();
  using crowd = new Crowd(end);
  await crowd.come(230, head(end, "/v1/events"));
  await until(() => end.server.counts().clients > 60, { what: "readers being there" });
  for (const path of ["/healthz", "/v1/status", "/v1/events", "/v1/events"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals([path, await asksAnew(end, path)], [path, 200]);
  }
  const { clients, connections } = end.server.counts();
  assert(clients <= 64 && connections <= 162, `${clients} readers, ${connections} connections`);
});

Deno.test("idle connections with the token are closed to make room, and those with a request are not", async () => {
  await using end = endpoint({ limits: { addressConnections: 5, idle: 60_000 } });
  using idle = new Crowd(end);
  await idle.come(20, head(end, "/v1/status"));
  await until(() => end.server.counts().connections <= 5, { what: "the oldest being sent away" });
  const wait = Promise.withResolvers<void>();
  end.run.evaluate = async () => {
    await wait.promise;
    return { step: 3, metrics: {} };
  };
  using busy = new Crowd(end);
  const evaluate = head(end, "/v1/evaluate").replace("GET", "POST").replace(/\r\n$/, "Content-Length: 0\r\n\r\n");
  await busy.come(5, evaluate);
  await until(() => end.server.counts().connections === 5, { what: "five requests under way" });
  assertEquals([await asksAnew(end, "/v1/status"), await asksAnew(end, "/healthz")], [503, 200]);
  wait.resolve();
  await until(() => end.run.listeners === 1, { what: "an answer" });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(await asksAnew(end, "/v1/status"), 200);
});

Deno.test("a header, and data after an answer, must arrive in time, even if single bytes keep arriving", async () => {
  await using end = endpoint({ limits: { header: 200, idle: 60_000 } });
  const trickled = async (text: string, more: string) => {
    using crowd = new Crowd(end);
    await crowd.come(1, text);
    return await crowd.trickle(more, { every: 20, time: 3000 });
  };
  const header = await trickled("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", "a");
  const second = await trickled(head(end, "/healthz"), head(end, "/healthz", `X: ${"a".repeat(1000)}\r\n`));
  const body = await trickled("POST /v1/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", " ");
  for (const ms of [header, second, body]) assert(ms !== undefined && ms < 2000, `${[header, second, body]}`);
});

Deno.test("a client that reads an answer byte by byte is disconnected", async () => {
  await using end = endpoint({ limits: { idle: 300 } });
  end.run.metrics = () => Promise.resolve(Array.from({ length: 20_000 }, (_, step) => ({ step, text: "x".repeat(1000) })));
  const { hostname, port } = new URL(end.server.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(head(end, "/v1/metrics")));
  const start = performance.now(), buffer = new Uint8Array(256);
  await until(() => end.server.counts().connections === 1, { what: "the request" });
  while (end.server.counts().connections > 0 && performance.now() - start < 5000) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    await connection.read(buffer).catch(() => null);
    // deno-lint-ignore no-await-in-loop -- one after the other
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals(end.server.counts().connections, 0);
});
