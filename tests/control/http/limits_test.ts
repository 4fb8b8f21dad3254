/** Tests the limits of bodies, headers, rates and connections. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { TokenBuckets } from "../../../control/http/token_bucket.ts";
import { endpoint, raw, until } from "./endpoint.ts";

const JSON_TYPE = { "content-type": "application/json" };

/** Makes a body that arrives in chunks, of unknown length. */
function chunks(options: { count: number; bytes: number; pause?: number }): ReadableStream<Uint8Array> {
  const { count, bytes, pause = 0 } = options;
  let left = count, timer: ReturnType<typeof setTimeout> | undefined;
  return new ReadableStream({
    async pull(controller) {
      if (pause > 0) await new Promise<void>((resolve) => timer = setTimeout(resolve, pause));
      if (left-- > 0) controller.enqueue(new Uint8Array(bytes).fill(32));
      else controller.close();
    },
    cancel: () => clearTimeout(timer),
  });
}

Deno.test("a body that is too large is refused, whatever its content-length", async () => {
  await using end = endpoint({ limits: { body: 1000, chatBody: 5000 } });
  const status = async (path: string, body: BodyInit, method = "POST") => {
    const answer = await end.ask(path, { method, body, headers: JSON_TYPE });
    return [answer.status, (await answer.json()).error.code];
  };
  assertEquals(await status("/v1/config", " ".repeat(1001), "PATCH"), [413, "body_too_large"]);
  assertEquals(await status("/v1/config", " ".repeat(1000), "PATCH"), [400, "not_json"]);
  assertEquals(await status("/v1/pause", chunks({ count: 11, bytes: 100 })), [413, "body_too_large"]);
  assertEquals(await status("/v1/chat/completions", chunks({ count: 40, bytes: 100 })), [400, "not_json"]);
  assertEquals(await status("/v1/chat/completions", chunks({ count: 60, bytes: 100 })), [413, "body_too_large"]);
  const lie =
    `POST /v1/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${end.server.token}\r\nContent-Type: application/json\r\n`;
  const { answer } = await raw(end.server.url, { text: `${lie}Content-Length: 99999999999\r\n\r\n{}`, time: 300 });
  assertEquals(answer.split(" ")[1], "413");
  assertEquals([end.run.calls, end.server.counts().bodyBytes, end.surprises], [0, 0, []]);
});

Deno.test("a body that does not arrive in time is refused", async () => {
  await using end = endpoint({ limits: { bodyTime: 100, chatBodyTime: 200 } });
  const start =
    `POST /v1/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${end.server.token}\r\nContent-Type: application/json\r\n`;
  const { answer, ms } = await raw(end.server.url, { text: `${start}Content-Length: 100\r\nConnection: close\r\n\r\n{`, time: 5000 });
  assertEquals(answer.split(" ")[1], "408");
  assert(ms < 3000, `it took ${ms} ms`);
  const drip = await end.ask("/v1/chat/completions", {
    method: "POST",
    headers: JSON_TYPE,
    body: chunks({ count: 100, bytes: 1, pause: 50 }),
  });
  assertEquals([drip.status, (await drip.json()).error.code], [408, "body_too_slow"]);
  // A body whose connection ends.
  await raw(end.server.url, { text: `${start}Content-Length: 100\r\n\r\n{`, time: 20 });
  await until(() => end.server.counts().connections <= 1 && end.server.counts().bodyBytes === 0, {
    what: "the broken connection being gone",
  });
  assertEquals([end.run.calls, end.server.counts().bodyBytes, end.surprises], [0, 0, []]);
});

Deno.test("all bodies together are limited", async () => {
  await using end = endpoint({ limits: { bodies: 1500, body: 1000, bodyTime: 300 } });
  const start =
    `POST /v1/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${end.server.token}\r\nContent-Type: application/json\r\nContent-Length: 950\r\n\r\n`;
  const held = raw(end.server.url, { text: start + " ".repeat(900), time: 500 });
  await until(() => end.server.counts().bodyBytes === 900, { what: "the first body being held" });
  const answer = await end.ask("/v1/pause", { method: "POST", headers: JSON_TYPE, body: " ".repeat(800) });
  assertEquals([answer.status, answer.headers.get("retry-after")], [503, "2"]);
  await answer.body?.cancel();
  assertEquals((await held).answer.split(" ")[1], "408");
  assertEquals(end.server.counts().bodyBytes, 0);
});

Deno.test("long headers and URLs are refused", async () => {
  await using end = endpoint();
  const status = async (path: string, headers: HeadersInit = {}) => {
    const answer = await end.ask(path, { headers });
    await answer.body?.cancel();
    return answer.status;
  };
  assertEquals(await status("/v1/status", { x: "a".repeat(31_000) }), 200);
  assertEquals(await status("/v1/status", { x: "a".repeat(33_000) }), 431);
  assertEquals(await status(`/v1/status?${"a".repeat(9000)}`), 414);
  const huge = await raw(end.server.url, { text: `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(600_000)}\r\n\r\n`, time: 2000 });
  assert(huge.ended && !huge.answer.startsWith("HTTP/1.1 2"));
  const many = Array.from({ length: 300 }, (_, i) => `X-${i}: a\r\n`).join("");
  assertEquals(
    (await raw(end.server.url, { text: `GET /healthz HTTP/1.1\r\nHost: localhost\r\n${many}\r\n`, time: 2000 })).answer.split(" ")[1],
    "400",
  );
});

Deno.test("an address that sends too many requests is told when to retry", async () => {
  let time = 0;
  await using end = endpoint({ rate: { perSecond: 2, burst: 5 }, now: () => time });
  const statuses: number[] = [];
  let after: string | null = null;
  for (let i = 0; i < 7; i++) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const answer = await end.ask("/v1/status");
    // deno-lint-ignore no-await-in-loop -- one after the other
    await answer.body?.cancel();
    statuses.push(answer.status);
    after = answer.headers.get("retry-after");
  }
  assertEquals([statuses, after], [[200, 200, 200, 200, 200, 429, 429], "1"]);
  // Requests without the token do not use up the budget of those with it, nor the reverse. The health probe is always answered.
  const status = async (path: string, headers: HeadersInit = {}) => {
    const answer = await fetch(end.server.url + path, { headers });
    await answer.body?.cancel();
    return answer.status;
  };
  const open: number[] = [];
  // deno-lint-ignore no-await-in-loop -- one after the other
  for (const path of ["/readyz", "/nowhere", "/v1/status", "/readyz", "/v1/status", "/readyz", "/v1/status"]) open.push(await status(path));
  assertEquals(open, [200, 404, 401, 200, 401, 429, 429]);
  // deno-lint-ignore no-await-in-loop -- one after the other
  for (let i = 0; i < 20; i++) assertEquals(await status("/healthz"), 200);
  time += 500;
  assertEquals(await end.ask("/v1/status").then(async (answer) => [answer.status, (await answer.json()).step]), [200, 3]);
});

Deno.test("the limiter forgets the addresses that were inactive longest", () => {
  let time = 0;
  const buckets = new TokenBuckets({ perSecond: 1, burst: 1 }, { now: () => time, addresses: 100 });
  assertEquals(buckets.take("kept"), 0);
  for (let i = 0; i < 1000; i++) {
    time++;
    buckets.take(`address ${i}`);
    assert(buckets.take("kept") > 0 || i > 998, "an address that asks on is not forgotten");
  }
  assertEquals(buckets.size, 100);
  assertThrows(() => new TokenBuckets({ perSecond: 0, burst: 1 }), RangeError);
});

Deno.test("a connection without a whole request is closed after a while, and one with an idle chat is not", async () => {
  await using end = endpoint({ limits: { idle: 150 } });
  for (
    const text of ["", "GET / HT", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"]
  ) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const { ended, ms } = await raw(end.server.url, { text, time: 3000 });
    assert(ended && ms > 100 && ms < 1000, `"${text}": ${ended} after ${ms} ms`);
  }
  const wait = Promise.withResolvers<void>();
  end.run.gate = wait.promise;
  const chat = end.send("POST", "/v1/chat/completions", { messages: [{ role: "user", content: "Hi" }] });
  await new Promise((resolve) => setTimeout(resolve, 500));
  wait.resolve();
  assertEquals((await (await chat).json()).choices.length, 1);
});

Deno.test("time in which this process was suspended makes no client late", async () => {
  await using end = endpoint({ limits: { header: 200, idle: 60_000 } });
  const { hostname, port } = new URL(end.server.url), buffer = new Uint8Array(1000);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode("GET /healthz HTTP/1.1\r\nHost: localhost\r\n"));
  await until(() => end.server.counts().connections === 1, { what: "the header's first half" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await connection.write(new TextEncoder().encode("\r\n"));
  for (const start = performance.now(); performance.now() - start < 600;); // simulates a process that gets no processor
  const read = await connection.read(buffer);
  assertEquals(new TextDecoder().decode(buffer.subarray(0, read ?? 0)).split("\r\n")[0], "HTTP/1.1 200 OK");
});

Deno.test("the server behind the gate answers only the gate", async () => {
  const serve = Deno.serve, ports: number[] = [];
  Deno.serve = ((...args: Parameters<typeof serve>) => {
    const made = serve(...args);
    ports.push((made.addr as Deno.NetAddr).port);
    return made;
  }) as typeof serve;
  try {
    await using _end = endpoint();
    const { answer } = await raw(`http://127.0.0.1:${ports[0]}`, {
      text: "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    });
    assertEquals([ports.length, answer.split(" ")[1]], [1, "421"]);
  } finally {
    Deno.serve = serve;
  }
});

Deno.test("closing waits for current answers, but not forever", async () => {
  const end = endpoint(), soon = Promise.withResolvers<void>();
  end.run.evaluate = async () => {
    await soon.promise;
    return { step: 3, metrics: {} };
  };
  const answer = end.ask("/v1/evaluate", { method: "POST" });
  await until(() => end.server.counts().connections === 1, { what: "the request" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const closing = end.server.close();
  soon.resolve();
  assertEquals((await (await answer).json()).step, 3);
  await closing;

  const stuck = endpoint();
  stuck.run.evaluate = () => new Promise(() => {});
  const never = stuck.ask("/v1/evaluate", { method: "POST" }).then(() => "answered", () => "closed");
  await until(() => stuck.server.counts().connections === 1, { what: "the request" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const start = performance.now();
  await stuck.server.close();
  assertEquals(await never, "closed");
  assert(performance.now() - start < 4000);
});
