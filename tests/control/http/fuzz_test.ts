/**
 * Sends random requests. The endpoint must answer as its document says, never with 500, keep answering, and not grow. There are 400
 * requests, or 20,000 with `--slow`; `--seed=N` repeats a run. Resident memory, as the median of eight samples, may grow by 160 MiB from
 * the first half to the second, because V8 does not collect everything.
 */
import { assert, assertEquals } from "@std/assert";
import { type Endpoint, endpoint, raw, until } from "./endpoint.ts";
import { Draws, garbled, mutated } from "./mutator.ts";
import { OpenApiCheck } from "./open_api_check.ts";

const COUNT = Deno.args.includes("--slow") ? 20_000 : 400, GROWTH = 160 * 2 ** 20;
const CHAT = {
  messages: [{ role: "system", content: "Be brief." }, {
    role: "user",
    content: [{ type: "text", text: "What?" }, { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0K" } }],
  }],
  n: 2,
  temperature: 0.5,
  "top_p": 0.5,
  "max_tokens": 5,
  stop: ["a", "b"],
  seed: 1,
  stream: true,
  "stream_options": { "include_usage": true },
  logprobs: true,
  tools: [],
};
const TUNE = {
  optim: { lr: 0.1 },
  atrl: { mode: "hard", wMin: 0.5 },
  algorithm: { kl: { coefficient: 0.1 }, entropyCoefficient: 0 },
  trainer: { valFreq: 3 },
};
const METHODS = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "QUERY", "x"];
const PARTS = [
  "v1",
  "status",
  "..",
  ".",
  "",
  "%2e%2e",
  "%00",
  "%ff",
  "config",
  "a".repeat(300),
  "__proto__",
  "checkpoint",
  "chat",
  "completions",
  "🙂",
];
const QUERIES = [
  "since=1",
  "since=-2",
  "since=x",
  "limit=1",
  "limit=1e9",
  "step=2",
  "step=4",
  "step=%00",
  "step=1&step=2",
  "__proto__=1",
  "a[]=1",
  "%",
  "&&=",
  "since=00001",
];
const HEADERS: [string, string][] = [
  ["last-event-id", "x-1"],
  ["last-event-id", "9".repeat(500)],
  ["content-type", "text/plain"],
  ["content-type", "application/json; charset=utf-16"],
  ["content-type", "application/vnd.api+json"],
  ["content-encoding", "gzip"],
  ["accept", "application/xml"],
  ["origin", "null"],
  ["range", "bytes=0-1"],
  ["if-none-match", "*"],
  ["x-forwarded-for", "1.2.3.4"],
  ["x-http-method-override", "DELETE"],
  ["cookie", "a=b; ".repeat(1000)],
  ["authorization", "Bearer wrong-token"],
  ["authorization", "Basic eDp5"],
  ["authorization", ""],
  ["expect", "100-continue"],
];

/** Sends one random request, and returns the kind of its result. */
async function oneRequest(end: Endpoint, options: { draws: Draws; check: OpenApiCheck }): Promise<string> {
  const { draws, check } = options;
  if (draws.chance(12)) return await rawRequest(end, draws);
  const known = draws.one(check.routes), isKnown = !draws.chance(6);
  const path = isKnown ? known.path : `/${Array.from({ length: draws.below(5) }, () => draws.one(PARTS)).join("/")}`;
  const method = draws.chance(5) ? draws.one(METHODS) : known.method;
  const query = draws.chance(2) ? "" : `?${Array.from({ length: 1 + draws.below(3) }, () => draws.one(QUERIES)).join("&")}`;
  const headers = new Headers({ "content-type": "application/json" });
  while (draws.chance(3)) {
    const [name, value] = draws.one(HEADERS);
    headers.set(name, value);
  }
  const body = method === "GET" || method === "HEAD" || draws.chance(8) ? null : bodyOf(draws, path);
  const stop = new AbortController(), where = `${method} ${path}${query}`;
  const timer = draws.chance(20) ? setTimeout(() => stop.abort(), draws.below(10)) : undefined;
  try {
    const answer = await end.ask(path + query, { method, headers, body, signal: stop.signal });
    const type = answer.headers.get("content-type");
    if (type?.startsWith("text/event-stream") && path === "/v1/events") {
      await answer.body?.cancel();
      return "events";
    }
    const text = await answer.text();
    assert(answer.status < 500 || answer.status === 503, `${where}: ${answer.status} ${text}`);
    const route = check.routes.find((each) => each.path === new URL(answer.url).pathname && (each.method === method));
    if (route) check.check(route, { status: answer.status, type, text });
    else if (answer.status >= 400 && method !== "HEAD") check.checkNamed("Error", JSON.parse(text));
    return String(answer.status);
  } catch (error) {
    if (stop.signal.aborted) return "broken off";
    // A body that is refused before it is read may close the connection while the client still writes.
    if (error instanceof TypeError && body !== null) return "no answer";
    throw new Error(`${where}: ${error instanceof Error ? error.message : error}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function bodyOf(draws: Draws, path: string): BodyInit {
  const base = path.includes("chat") ? CHAT : path.includes("config") ? TUNE : {};
  switch (draws.below(9)) {
    case 0:
      return JSON.stringify(base);
    case 1:
      return draws.bytes(draws.below(2000));
    case 2:
      return garbled(JSON.stringify(base), draws);
    case 3:
      return draws.chance(5) ? " ".repeat(draws.chance(20) ? 33 * 2 ** 20 : 70_000) : "[".repeat(30_000);
    case 4:
      return dripping(draws);
    default:
      return JSON.stringify(mutated(base, draws));
  }
}

/** Makes a body that arrives slowly, and sometimes too slowly. */
function dripping(draws: Draws): ReadableStream<Uint8Array> {
  let left = draws.below(5), timer: ReturnType<typeof setTimeout> | undefined;
  const pause = draws.chance(10) ? 60 : 2;
  return new ReadableStream({
    async pull(controller) {
      await new Promise<void>((resolve) => timer = setTimeout(resolve, pause));
      if (left-- > 0) controller.enqueue(new TextEncoder().encode("{} "));
      else controller.close();
    },
    cancel: () => clearTimeout(timer),
  });
}

/** Sends bytes that are not a request, or only the beginning of one. */
async function rawRequest(end: Endpoint, draws: Draws): Promise<string> {
  const host = draws.one(["localhost", "evil.example", "a b", "[", "127.0.0.1:x", "", "localhost:99999"]);
  const lines = [
    `${draws.one(METHODS)} ${draws.one(["/v1/status", "*", "http://evil.example/healthz", "//", "/\x01", "/v1/events", "/healthz"])} HTTP/${
      draws.one(["1.1", "1.0", "2.0", "9"])
    }`,
    `Host: ${host}`,
    `Authorization: Bearer ${draws.chance(2) ? end.server.token : "wrong-token"}`,
    draws.one([
      "Content-Length: -1",
      "Content-Length: 5",
      "Transfer-Encoding: chunked",
      "Transfer-Encoding: x",
      "Upgrade: websocket",
      "Connection: Upgrade, HTTP2-Settings",
      ": x",
      "X",
    ]),
  ];
  const text = `${lines.slice(0, 1 + draws.below(4)).join("\r\n")}\r\n${draws.chance(3) ? "" : "\r\n"}${
    draws.one(["", "hello", "5\r\nhello\r\n0\r\n\r\n", "zz\r\n"])
  }`;
  const bytes = draws.chance(4)
    ? draws.bytes(draws.below(500))
    : draws.chance(10)
    ? new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + text)
    : new TextEncoder().encode(text);
  const { answer } = await raw(end.server.url, { text: bytes, time: 5 + draws.below(30) });
  const status = /^HTTP\/\S+ (\d+)/.exec(answer)?.[1] ?? "none";
  assert(!["500", "501", "502"].includes(status), `${JSON.stringify(text)}: ${answer}`);
  return `raw ${status}`;
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

Deno.test(`${COUNT} random requests`, async () => {
  const given = Deno.args.find((arg) => arg.startsWith("--seed=")),
    seed = (given ? Number(given.slice(7)) : Date.now()) >>> 0,
    tally: Record<string, number> = {};
  let count = 0;
  // The limits' clock advances a second with each request, so that wrong tokens do not block the other requests.
  const end = endpoint({ limits: { bodyTime: 100, chatBodyTime: 100, idle: 2000 }, page: { html: "shell" }, now: () => count * 1000 });
  try {
    const check = new OpenApiCheck(await (await end.ask("/openapi.json")).json());
    const resident: number[] = [];
    const work = async () => {
      while (count < COUNT) {
        if (++count % (COUNT / 16) === 0) resident.push(Deno.memoryUsage().rss);
        // Each request depends only on the seed and its number.
        const draws = new Draws(seed ^ Math.imul(count, 0x9e3779b1));
        // deno-lint-ignore no-await-in-loop -- one after the other
        const came = await oneRequest(end, { draws, check });
        tally[came] = (tally[came] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: 8 }, work));
    await until(() => end.server.counts().clients === 0 && end.run.chatting === 0, { what: "all clients being gone" });
    await until(() => end.server.counts().connections < 30 && end.server.counts().bodyBytes === 0, {
      what: "connections being closed",
      within: 10_000,
    });
    const growth = median(resident.slice(8)) - median(resident.slice(0, 8));
    assertEquals([end.server.counts().unexpected, end.surprises, end.run.listeners], [0, [], 1]);
    assert(growth < GROWTH, `memory grew by ${Math.round(growth / 2 ** 20)} MiB`);
    assertEquals((await (await end.ask("/v1/status")).json()).name, "board");
    assert(
      (tally["200"] ?? 0) > COUNT / 20 && (tally["400"] ?? 0) > COUNT / 50 && (tally["401"] ?? 0) > COUNT / 100,
      JSON.stringify(tally),
    );
    if (Deno.args.includes("--slow")) {
      Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ ...tally, "grown, MiB": Math.round(growth / 2 ** 20) })}\n`));
    }
  } catch (error) {
    throw new Error(`Seed ${seed}, after ${count} requests: ${error instanceof Error ? error.message : error}`, { cause: error });
  } finally {
    await end.server.close();
  }
  assertEquals([end.run.listeners, end.server.counts().connections], [0, 0]);
});
