/** Tests that a client without the token gets nothing and changes nothing. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { serveControl } from "../../../control/http/serve.ts";
import { endpoint, raw } from "./endpoint.ts";
import { FakeRun } from "./fake_run.ts";
import { OpenApiCheck } from "./open_api_check.ts";

const OPEN = new Set(["/healthz", "/readyz", "/", "/docs"]);

Deno.test("each route refuses a wrong token and none, and does nothing", async () => {
  await using end = endpoint({ page: { html: "shell" } });
  const check = new OpenApiCheck(await (await end.ask("/openapi.json")).json());
  const routes = check.routes.filter(({ path }) => !OPEN.has(path));
  assertEquals(routes.length, 17);
  const right = end.server.token;
  const wrong: HeadersInit[] = [{}, { authorization: "Bearer " }, { authorization: `Bearer ${right}x` }, { authorization: right }, {
    authorization: `Basic ${right}`,
  }];
  for (const [at, headers] of wrong.entries()) {
    // Each set of headers has its own endpoint, so that the limit on failures does not interfere.
    await using other = endpoint({ token: right });
    for (const { path, method } of routes) {
      const init = {
        method,
        headers: { "content-type": "application/json", ...headers },
        ...(method !== "GET" && { body: '{"optim":{"lr":1}}' }),
      };
      // deno-lint-ignore no-await-in-loop -- one after the other
      const answer = await fetch(other.server.url + path, init);
      // deno-lint-ignore no-await-in-loop -- one after the other
      check.check({ path, method }, { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() });
      assertEquals([at, path, answer.status, answer.headers.get("www-authenticate")], [at, path, 401, 'Bearer realm="kedge"']);
    }
    assertEquals([other.run.calls, other.server.counts().clients, other.run.config().optim.lr === 1], [0, 0, false]);
  }
  for (const path of OPEN) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const answer = await fetch(end.server.url + path);
    // deno-lint-ignore no-await-in-loop -- one after the other
    await answer.body?.cancel();
    assertEquals(answer.status, 200);
  }
});

Deno.test("a token in the URL is not accepted", async () => {
  await using end = endpoint();
  const answer = await fetch(`${end.server.url}/v1/status?token=${end.server.token}`);
  await answer.body?.cancel();
  assertEquals(answer.status, 401);
});

Deno.test("after 20 wrong tokens even the right one is refused for a moment", async () => {
  let time = 0;
  await using end = endpoint({ now: () => time, token: "correct-horse" });
  const status = async (token: string) => {
    const answer = await end.ask("/v1/status", { headers: { authorization: `Bearer ${token}` } });
    await answer.body?.cancel();
    return [answer.status, answer.headers.get("retry-after")];
  };
  for (let i = 0; i < 20; i++) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals(await status("wrong-token"), [401, null]);
  }
  assertEquals(await status("wrong-token"), [429, "1"]);
  assertEquals(await status(end.server.token), [429, "1"]);
  assertEquals((await fetch(`${end.server.url}/healthz`).then((a) => a.json())).status, "ok");
  time += 60;
  assertEquals(await status(end.server.token), [200, null]);
});

for (const [token, isLocked] of [["correct-horse", true], ["correct-horse-battery-staple-1234", false]] as const) {
  const who = isLocked ? "has shown the token on the connection" : "has a token that cannot be guessed";
  Deno.test(`wrong tokens of an address do not block a client that ${who}`, async () => {
    await using end = endpoint({ now: () => 0, token });
    const { hostname, port } = new URL(end.server.url), text = new TextEncoder();
    using known = await Deno.connect({ hostname, port: Number(port) });
    const ask = async () => {
      await known.write(text.encode(`GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`));
      const buffer = new Uint8Array(65536);
      return new TextDecoder().decode(buffer.subarray(0, await known.read(buffer) ?? 0)).split(" ")[1];
    };
    const fails = async () => {
      const answer = await end.ask("/v1/status", { headers: { authorization: "Bearer wrong-token" } });
      await answer.body?.cancel();
    };
    assertEquals(await ask(), "200");
    await Promise.all(Array.from({ length: 30 }, fails));
    const other = await end.ask("/v1/status");
    await other.body?.cancel();
    assertEquals([await ask(), other.status], ["200", isLocked ? 429 : 200]);
  });
}

Deno.test("without a given token a new one of 32 bytes is made each time", async () => {
  await using a = endpoint();
  await using b = endpoint();
  await using given = endpoint({ token: "correct-horse" });
  assertEquals([a.server.made, b.server.made, given.server.made, given.server.token], [true, true, false, "correct-horse"]);
  assertEquals(Uint8Array.fromBase64(a.server.token, { alphabet: "base64url" }).length, 32);
  assert(a.server.token !== b.server.token);
});

Deno.test("listening beyond this machine needs a token from the caller", async () => {
  for (const hostname of ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org", "127.evil"]) {
    const run = new FakeRun();
    assertThrows(() => serveControl(run, { hostname, port: 0 }), RangeError, "needs your own token");
    assertEquals(run.listeners, 0);
  }
  for (const token of ["", "short", "with a space", "ümlaut-token", "line\nbreak-token"]) {
    assertThrows(() => serveControl(new FakeRun(), { token, port: 0 }), RangeError, "Cannot use this token");
  }
  // A port that is in use leaves nothing behind.
  await using end = endpoint();
  const run = new FakeRun();
  assertThrows(() => serveControl(run, { port: Number(new URL(end.server.url).port) }), RangeError, "Give another HOST:PORT");
  assertEquals(run.listeners, 0);
});

Deno.test("on this machine only requests to its own names are answered", async () => {
  await using end = endpoint();
  const { port } = new URL(end.server.url);
  const status = async (host: string, path = "/healthz") => {
    const { answer } = await raw(end.server.url, { text: `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n` });
    return Number(answer.split(" ")[1]);
  };
  for (const host of [`localhost:${port}`, "localhost", "LOCALHOST", "127.0.0.1:1", "[::1]:8787", "[::1]"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals([host, await status(host)], [host, 200]);
  }
  for (
    const host of [
      "evil.example",
      "evil.example:8787",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "[::2]",
      "169.254.169.254",
      "localhost@evil.example",
    ]
  ) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals([host, await status(host)], [host, 421]);
  }
  assertEquals(await status("localhost", "http://evil.example/healthz"), 421);
  assertEquals(await status("a b@["), 400);
  assertEquals(end.surprises, []);
});
