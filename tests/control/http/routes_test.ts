/** Checks the answers of every route, successes and refusals, against the server's own /openapi.json. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { TUNABLE } from "../../../actors/config/tunable.ts";
import { KedgeError } from "../../../ffi/errors.ts";
import { endpoint } from "./endpoint.ts";
import { OpenApiCheck } from "./open_api_check.ts";

/** Makes a function that sends a request and checks the answer against the document. */
async function opened(options: Parameters<typeof endpoint>[0] = {}) {
  const end = endpoint(options), check = new OpenApiCheck(await (await end.ask("/openapi.json")).json());
  const ask = async (method: string, path: string, init: RequestInit & { json?: unknown } = {}) => {
    const { json, ...rest } = init;
    const answer = json === undefined ? await end.ask(path, { method, ...rest }) : await end.send(method, path, json);
    const text = await answer.text();
    check.check({ path: path.split("?")[0]!, method }, { status: answer.status, type: answer.headers.get("content-type"), text });
    return {
      status: answer.status,
      headers: answer.headers,
      body: answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text,
    };
  };
  return { ...end, check, ask, [Symbol.asyncDispose]: () => end.server.close() };
}

const HELLO = { messages: [{ role: "user", content: "Hi" }] };

Deno.test("each route answers as the document says", async () => {
  await using end = await opened({ page: { html: "<p>shell", headers: { "content-security-policy": "default-src 'self'" } } });
  const { ask } = end;
  assertEquals((await ask("GET", "/healthz")).body, { status: "ok" });
  assertEquals((await ask("GET", "/readyz")).body, { ready: true, state: "running" });
  for (const path of ["/", "/docs"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const page = await ask("GET", path);
    assertEquals([page.body, page.headers.get("content-security-policy")], ["<p>shell", "default-src 'self'"]);
  }
  assertEquals((await ask("GET", "/v1/status")).body.state, "running");
  const config = (await ask("GET", "/v1/config")).body;
  assertEquals(config.tunable["optim.lr"], config.config.optim.lr);
  assertEquals(Object.keys(config.tunable).every((path) => TUNABLE.includes(path)), true);
  assertEquals((await ask("GET", "/v1/metrics")).body.lines.map((line: { step: number }) => line.step), [1, 2, 3, 5]);
  assertEquals((await ask("GET", "/v1/metrics?since=1&limit=2")).body.lines.map((line: { step: number }) => line.step), [3, 5]);
  assertEquals((await ask("GET", "/v1/rollouts")).body.step, 5);
  assertEquals((await ask("GET", "/v1/rollouts?step=2")).body.samples[0].step, 2);
  assertEquals((await ask("GET", "/v1/checkpoints")).body.checkpoints[1], { step: 3, score: 0.5, best: true, path: "x" });
  assertEquals((await ask("GET", "/v1/models")).body.data[0].id, "board");
  assertEquals((await ask("GET", "/metrics")).status, 200);
  assertEquals((await ask("POST", "/v1/pause")).body.state, "paused");
  assertEquals((await ask("POST", "/v1/pause", { json: {} })).body.state, "paused", "twice is as once");
  assertEquals((await ask("POST", "/v1/resume")).body.state, "running");
  assertEquals((await ask("POST", "/v1/start")).body.state, "running");
  assertEquals((await ask("POST", "/v1/checkpoint")).body.step, 3);
  assertEquals((await ask("POST", "/v1/evaluate")).body.metrics, { "val/accuracy": 0.5, "val/odd": null });
  assertEquals(
    (await ask("PATCH", "/v1/config", { json: { optim: { lr: 0.5 } } })).body.changed.map((
      c: { path: string; to: number },
    ) => [c.path, c.to]),
    [[
      "optim.lr",
      0.5,
    ]],
  );
  assertEquals((await ask("GET", "/v1/config")).body.tuned, { "optim.lr": 0.5 });
  const chat = (await ask("POST", "/v1/chat/completions", { json: { ...HELLO, connectivity: true, logprobs: true } })).body;
  assertEquals(chat.choices[0].message.content, "The red number is 42.");
  assertEquals(chat.choices[0].connectivity.anchors.length, 7);
  assertEquals((await ask("POST", "/v1/stop")).body.state, "stopped");
  // Event streams do not end; another test reads their beginning.
  const answered = new Set([...end.check.seen].filter((each) => each.endsWith(" 200")).map((each) => each.replace(" 200", "")));
  assertEquals(end.check.routes.map(({ method, path }) => `${method} ${path}`).filter((each) => !answered.has(each)), [
    "GET /v1/events",
    "GET /openapi.json",
  ]);
  assertEquals(end.surprises, []);
});

Deno.test("each refusal is as the document says, and names what is wrong", async () => {
  await using end = await opened();
  const { ask } = end;
  const refused = async (method: string, path: string, init: RequestInit & { json?: unknown } = {}) => {
    const { status, body } = await ask(method, path, init);
    return [status, body.error.type, body.error.param];
  };
  const patch = (json: unknown) => refused("PATCH", "/v1/config", { json });
  assertEquals(await patch({ optim: { beta1: 1 } }), [422, "invalid_request_error", "optim.beta1"]);
  assertEquals(await patch({ optim: { lr: -1 } }), [422, "invalid_request_error", "optim.lr"]);
  assertEquals(await patch({ model: {} }), [422, "invalid_request_error", "model"]);
  assertEquals(await patch([]), [422, "invalid_request_error", null]);
  assertEquals(await patch({ atrl: { wMin: 7 } }), [422, "invalid_request_error", null]);
  assertEquals(await patch({ algorithm: { kl: { coefficient: 1 } } }), [409, "state_error", null]);
  const json = { headers: { "content-type": "application/json" } };
  assertEquals(await refused("PATCH", "/v1/config", { body: "{", ...json }), [400, "invalid_request_error", null]);
  assertEquals(await refused("PATCH", "/v1/config", { body: "", ...json }), [400, "invalid_request_error", null]);
  assertEquals(await refused("PATCH", "/v1/config", { body: "{}" }), [415, "invalid_request_error", null]);
  assertEquals(await refused("POST", "/v1/pause", { body: "x=1", headers: { "content-type": "application/x-www-form-urlencoded" } }), [
    415,
    "invalid_request_error",
    null,
  ]);
  assertEquals(await refused("POST", "/v1/pause", { json: { now: true } }), [400, "invalid_request_error", "now"]);
  assertEquals(await refused("GET", "/v1/metrics?since=x"), [400, "invalid_request_error", "since"]);
  assertEquals(await refused("GET", "/v1/metrics?limit=0"), [400, "invalid_request_error", "limit"]);
  assertEquals(await refused("GET", "/v1/metrics?limit=100001"), [400, "invalid_request_error", "limit"]);
  assertEquals(await refused("GET", "/v1/rollouts?step=4"), [404, "not_found_error", "step"]);
  assertEquals(await refused("GET", "/v1/rollouts?step=../../etc"), [400, "invalid_request_error", "step"]);
  end.run.become("done");
  for (const name of ["start", "pause", "resume", "checkpoint", "evaluate"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const { status, body } = await ask("POST", `/v1/${name}`);
    assertEquals([status, body.error.type, body.error.state], [409, "state_error", "done"]);
  }
  end.run.become("failed");
  assertEquals((await ask("GET", "/readyz")).status, 503);
  assertEquals((await ask("GET", "/v1/status")).body.error, "Cannot go on: the loss is not finite");
  assertEquals(end.surprises, []);
});

Deno.test("errors of the run become refusals by their kind; an unexpected one reveals nothing", async () => {
  await using end = await opened();
  const cases: [unknown, number, string][] = [
    [new KedgeError("OutOfMemory", "Cannot allocate"), 503, "Cannot allocate"],
    [new KedgeError("Actor", "Cannot ask the policy"), 503, "Cannot ask the policy"],
    [new KedgeError("Diverged", "Cannot go on"), 503, "Cannot go on"],
    [new KedgeError("BadData", "Cannot read"), 400, "Cannot read"],
    [new RangeError("Cannot take 7"), 400, "Cannot take 7"],
    [new TypeError("Cannot take this"), 400, "Cannot take this"],
    [new KedgeError("Device", "Cannot reach 0xdeadbeef"), 500, "an unexpected error occurred"],
    [new TypeError("Cannot read properties of undefined (reading '/home/secret')"), 500, "an unexpected error occurred"],
    [new RangeError("Maximum call stack size exceeded"), 500, "an unexpected error occurred"],
    [new Error("/home/secret"), 500, "an unexpected error occurred"],
    ["/home/secret", 500, "an unexpected error occurred"],
  ];
  for (const [fault, status, words] of cases) {
    end.run.fault = fault;
    // deno-lint-ignore no-await-in-loop -- one after the other
    const answer = await end.ask("POST", "/v1/evaluate");
    assertEquals(answer.status, status);
    assert(answer.body.error.message.includes(words), answer.body.error.message);
    assert(!JSON.stringify(answer.body).includes("secret") && !JSON.stringify(answer.body).includes("0x"));
  }
  assertEquals(end.server.counts().unexpected, 5);
  assertEquals(end.surprises.length, 5);
});

Deno.test("unknown paths are 404, wrong methods 405 with Allow, HEAD is like GET without a body", async () => {
  await using end = endpoint();
  for (const path of ["/v1", "/v1/status/", "/v1/%73tatus", "/nowhere", "/v1/../etc/passwd", "//v1/status", "/docs", "/"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const answer = await end.ask(path);
    // deno-lint-ignore no-await-in-loop -- one after the other
    const { error } = await answer.json(); // "/" and "/docs": this endpoint has no page
    assertEquals([path, answer.status, error.type], [path, 404, "not_found_error"]);
  }
  const wrong = await end.ask("/v1/status", { method: "DELETE" });
  assertEquals([wrong.status, wrong.headers.get("allow")], [405, "GET, HEAD"]);
  await wrong.body?.cancel();
  const both = await end.ask("/v1/config", { method: "POST" });
  assertEquals([both.status, both.headers.get("allow")], [405, "GET, HEAD, PATCH"]);
  await both.body?.cancel();
  for (const path of ["/healthz", "/v1/status", "/v1/events", "/metrics", "/openapi.json"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const answer = await end.ask(path, { method: "HEAD" });
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals([answer.status, await answer.text()], [200, ""]);
  }
  assertEquals([end.server.counts().clients, end.surprises], [0, []]);
});

Deno.test("every answer carries the headers that keep browsers out", async () => {
  await using end = endpoint();
  for (const [path, status] of [["/v1/status", 403], ["/healthz", 200], ["/nowhere", 404]] as const) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const answer = await end.ask(path, { headers: { origin: "https://evil.example" } });
    // deno-lint-ignore no-await-in-loop -- one after the other
    await answer.body?.cancel();
    const header = (name: string) => answer.headers.get(name);
    assertEquals(answer.status, status);
    assertEquals([header("x-content-type-options"), header("referrer-policy"), header("x-frame-options")], [
      "nosniff",
      "no-referrer",
      "DENY",
    ]);
    assertEquals([header("cache-control"), header("cross-origin-resource-policy")], ["no-store", "same-origin"]);
    assert(
      header("content-security-policy")!.includes("default-src 'none'") &&
        header("content-security-policy")!.includes("frame-ancestors 'none'"),
    );
    assertEquals([...answer.headers.keys()].filter((name) => name.startsWith("access-control")), []);
  }
});

Deno.test("a page of another origin is refused, with or without the token; the endpoint's own pages are accepted, even behind a proxy", async () => {
  await using end = endpoint({ corsOrigins: ["https://good.example"] });
  const { host } = new URL(end.server.url);
  const ask = async (headers: HeadersInit, init: RequestInit & { path?: string } = {}) => {
    const answer = await end.ask(init.path ?? "/v1/status", { ...init, headers });
    const text = await answer.text();
    return answer.ok ? answer.status : [answer.status, JSON.parse(text).error.code];
  };
  for (
    const origin of [
      "https://evil.example",
      "null",
      "http://localhost:3000",
      `http://${host}.evil.example`,
      `http://${host}0`,
      "https://good.example.evil",
      "",
    ]
  ) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals([origin, await ask({ origin })], [origin, [403, "foreign_origin"]]);
    const post = { method: "POST", body: "{}" }, type = { "content-type": "application/json" };
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals(await ask({ origin, ...type, "sec-fetch-site": "cross-site" }, { ...post, path: "/v1/pause" }), [403, "foreign_origin"]);
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals(await ask({ origin }, { path: "/v1/events" }), [403, "foreign_origin"]);
  }
  assertEquals([end.run.calls, end.server.counts().clients], [0, 0]);
  for (const origin of [`http://${host}`, `https://${host}`, "https://good.example"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    assertEquals([origin, await ask({ origin })], [origin, 200]);
  }
  assertEquals(await ask({ origin: "https://behind.a.proxy", "sec-fetch-site": "same-origin" }), 200);
  assertEquals(await ask({}), 200);
});

Deno.test("a body that is not UTF-8 is refused", async () => {
  await using end = endpoint();
  const text = new TextEncoder();
  const broken = [Uint8Array.of(0xff), Uint8Array.of(0xc0, 0xaf), Uint8Array.of(0xed, 0xa0, 0x80), Uint8Array.of(0xf0, 0x9f, 0x98)];
  for (const bytes of broken) {
    for (
      const [path, before, after] of [
        ["/v1/chat/completions", '{"messages":[{"role":"user","content":"', '"}]}'],
        ["/v1/config", '{"atrl":{"mode":"', '"}}'],
        ["/v1/pause", "", ""],
      ] as const
    ) {
      const body = new Blob([text.encode(before), bytes, text.encode(after)]), method = path === "/v1/config" ? "PATCH" : "POST";
      // deno-lint-ignore no-await-in-loop -- one after the other
      const answer = await end.ask(path, { method, body, headers: { "content-type": "application/json" } });
      // deno-lint-ignore no-await-in-loop -- one after the other
      assertEquals([path, answer.status, (await answer.json()).error.code], [path, 400, "not_utf8"]);
    }
  }
  assertEquals([end.run.calls, end.server.counts().bodyBytes, end.surprises], [0, 0, []]);
  // Characters beyond ASCII, and a lone surrogate that JSON escapes, are valid UTF-8.
  const good = await end.send("POST", "/v1/chat/completions", { messages: [{ role: "user", content: "\u00e9\u{1f642}\ud800" }] });
  await good.body?.cancel();
  assertEquals(good.status, 200);
});

Deno.test("only a configured origin may send cross-origin requests", async () => {
  await using end = endpoint({ corsOrigins: ["https://good.example"] });
  const preflight = (origin: string) =>
    fetch(`${end.server.url}/v1/status`, { method: "OPTIONS", headers: { origin, "access-control-request-method": "GET" } });
  const good = await preflight("https://good.example"), evil = await preflight("https://evil.example");
  await evil.body?.cancel();
  assertEquals([good.status, good.headers.get("access-control-allow-origin")], [204, "https://good.example"]);
  assertEquals([evil.status, evil.headers.get("access-control-allow-origin")], [403, null]);
  const answer = await end.ask("/v1/status", { headers: { origin: "https://good.example" } });
  assertEquals([answer.status, answer.headers.get("access-control-allow-origin")], [200, "https://good.example"]);
  await answer.body?.cancel();
});

Deno.test("the document describes all routes and fields in words", async () => {
  await using end = endpoint({ page: { html: "" } });
  const document = await (await end.ask("/openapi.json")).json();
  assertEquals(document.openapi, "3.1.0");
  for (const [path, item] of Object.entries<Record<string, { summary?: string; description?: string }>>(document.paths)) {
    for (const [method, { summary, description }] of Object.entries(item)) assert(summary && description, `${method} ${path} has no words`);
  }
  assertEquals(Object.keys(document.paths).length, 20);
});

Deno.test("the check of answers finds violations", async () => {
  await using end = endpoint();
  const check = new OpenApiCheck(await (await end.ask("/openapi.json")).json()), type = "application/json";
  const status = JSON.stringify({ state: "asleep", name: "", step: 1, maxSteps: 2, pausing: false, accounts: {} });
  assertThrows(() => check.check({ path: "/v1/status", method: "GET" }, { status: 200, type, text: status }), Error, "state");
  assertThrows(() => check.check({ path: "/v1/status", method: "GET" }, { status: 200, type, text: "{}" }), Error, "not as the document");
  assertThrows(() => check.check({ path: "/v1/status", method: "GET" }, { status: 401, type, text: '{"error":{}}' }), Error, "message");
  assertThrows(() => check.check({ path: "/v1/status", method: "GET" }, { status: 418, type, text: "{}" }), Error, "not in the document");
});
