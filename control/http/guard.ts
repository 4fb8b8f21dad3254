import { isUtf8 } from "node:buffer";
import { ApiError, clip } from "./api_error.ts";
import { BodyBudget, readBody } from "./body.ts";
import { type AppOptions, FAILED_RATE, type Limits, RATE } from "./options.ts";
import { bearerCheck } from "./token.ts";
import { TokenBuckets } from "./token_bucket.ts";
import type { Caller } from "./routes/context.ts";

/** The methods of each path, and whether the path needs no token. */
export type KnownRoutes = ReadonlyMap<string, { readonly methods: readonly string[]; readonly open: boolean }>;

const CHAT = "/v1/chat/completions", HEALTH = "/healthz";
const UNGUESSABLE = 32; // the length from which a token cannot be guessed

/** Checks each request before its route handles it. */
export class Guard {
  readonly #isRight: (header: string | null) => boolean;
  readonly #requests: TokenBuckets;
  readonly #strangers: TokenBuckets;
  readonly #failures: TokenBuckets;
  readonly #isGuessable: boolean;
  readonly #hosts: ReadonlySet<string> | undefined;
  readonly #origins: ReadonlySet<string>;
  readonly #limits: Limits;
  readonly #routes: KnownRoutes;
  readonly #budget: BodyBudget;

  constructor(routes: KnownRoutes, options: Omit<AppOptions, "limits"> & { limits: Limits }) {
    const { token, rate = {}, hosts, corsOrigins = [], limits } = options, clock = options.now ? { now: options.now } : {};
    this.#isRight = bearerCheck(token);
    this.#isGuessable = token.length < UNGUESSABLE;
    this.#requests = new TokenBuckets({ ...RATE, ...rate }, clock);
    this.#strangers = new TokenBuckets({ ...RATE, ...rate }, clock);
    this.#failures = new TokenBuckets(FAILED_RATE, clock);
    this.#hosts = hosts && new Set(hosts);
    this.#origins = new Set(corsOrigins);
    this.#limits = limits;
    this.#routes = routes;
    this.#budget = new BodyBudget(limits.bodies);
  }

  /** The bytes of bodies that are held. */
  get held(): number {
    return this.#budget.held;
  }

  /** Returns the request's path if it is a known one. Requests are counted by it. */
  templateOf({ url }: Request): string {
    const path = URL.canParse(url) ? new URL(url).pathname : "";
    return this.#routes.has(path) ? path : "other";
  }

  /** Tells whether the request is a permitted CORS preflight. */
  isPreflight(request: Request): boolean {
    return request.method === "OPTIONS" && this.#allows(request) && request.headers.has("access-control-request-method");
  }

  /** Returns the CORS header fields for a permitted origin, and none for others. */
  corsOf(request: Request): Record<string, string> {
    if (this.#origins.size === 0) return {};
    if (!this.#allows(request)) return { vary: "Origin" };
    return {
      vary: "Origin",
      "access-control-allow-origin": request.headers.get("origin")!,
      "access-control-allow-methods": "GET, HEAD, POST, PATCH",
      "access-control-allow-headers": "Authorization, Content-Type, Last-Event-ID",
      "access-control-expose-headers": "Retry-After",
      "access-control-max-age": "600",
    };
  }

  /** Checks everything except the body. @throws {ApiError} */
  check(request: Request, caller: Caller): void {
    const { url, method, headers } = request;
    this.#checkSizes(request);
    if (!URL.canParse(url)) throw new ApiError(400, "Cannot read the URL or the Host header");
    this.#checkHost(request);
    const { pathname } = new URL(url), route = this.#routes.get(pathname);
    const isOpen = !route || route.open || this.isPreflight(request);
    // Requests without a token must not use up the budget of those with one, and the health probe costs no more than a refusal.
    if (isOpen && pathname !== HEALTH) take(this.#strangers, caller);
    if (this.isPreflight(request)) return;
    if (!route) throw new ApiError(404, "Cannot find this path: /openapi.json lists the existing ones", { code: "unknown_path" });
    if (!route.open) {
      this.#checkOrigin(request);
      this.#checkToken(headers.get("authorization"), caller);
      take(this.#requests, caller);
    }
    if (!route.methods.includes(method)) {
      const allow = route.methods.join(", ");
      throw new ApiError(405, `Cannot use this method: the path accepts ${allow}`, { code: "wrong_method", headers: { allow } });
    }
  }

  /** Reads the request's body. It returns the request with the body and a function that releases the body's bytes. @throws {ApiError} */
  async withBody(request: Request): Promise<{ request: Request; release: () => void }> {
    if (request.method !== "POST" && request.method !== "PATCH") return { request, release: () => {} };
    const isChat = new URL(request.url).pathname === CHAT, { body, chatBody, bodyTime, chatBodyTime } = this.#limits;
    const bytes = await readBody(request, { most: isChat ? chatBody : body, time: isChat ? chatBodyTime : bodyTime, budget: this.#budget });
    const release = () => this.#budget.give(bytes.length);
    if (!isUtf8(bytes)) {
      release();
      throw new ApiError(400, "Cannot read the body: it is not UTF-8", { code: "not_utf8" });
    }
    const headers = new Headers(request.headers), type = headers.get("content-type") ?? "";
    // An empty body of a command is accepted with any content type.
    if (bytes.length === 0 && request.method === "POST" && !isChat) headers.delete("content-type");
    else if (!/^application\/json *(;|$)/i.test(type)) {
      release();
      throw new ApiError(415, 'Cannot read the body: its Content-Type must be "application/json"', { code: "not_json" });
    }
    return { request: new Request(request.url, { method: request.method, headers, ...(bytes.length > 0 && { body: bytes }) }), release };
  }

  #allows({ headers }: Request): boolean {
    return this.#origins.has(headers.get("origin") ?? "");
  }

  #checkSizes({ url, headers }: Request): void {
    if (url.length > this.#limits.url) throw new ApiError(414, `Cannot read the URL: it has more than ${this.#limits.url} characters`);
    let bytes = 0;
    for (const [name, value] of headers) bytes += name.length + value.length + 4;
    if (bytes > this.#limits.headers) {
      throw new ApiError(431, `Cannot read the header fields: they have more than ${this.#limits.headers} bytes`);
    }
  }

  /** Refuses requests with a foreign Host header. They come from a page whose host name was made to resolve to this machine. */
  #checkHost({ url, headers }: Request): void {
    if (!this.#hosts) return;
    const named = [new URL(url).host, headers.get("host") ?? ""];
    if (named.every((host) => host === "" || this.#hosts!.has(host.replace(/:\d{1,5}$/, "").toLowerCase()))) return;
    throw new ApiError(421, `Cannot answer for this Host: this is ${[...this.#hosts].join(", ")}`, { code: "wrong_host" });
  }

  /**
   * Refuses pages of other origins, even with the token, unless the origin was configured. The browser itself says whether a page has the
   * same origin. That also holds behind a proxy, whose name is unknown here.
   */
  #checkOrigin(request: Request): void {
    const { url, headers } = request, origin = headers.get("origin");
    if (origin === null || this.#allows(request) || headers.get("sec-fetch-site") === "same-origin") return;
    const { host } = new URL(url);
    if (origin === `http://${host}` || origin === `https://${host}`) return;
    const words = `Cannot answer a page of ${clip(origin)}: --cors does not permit this origin`;
    throw new ApiError(403, words, { code: "foreign_origin" });
  }

  #checkToken(header: string | null, caller: Caller): void {
    const { address, isKnown = false, admit = () => true } = caller;
    // A client that has shown the token on this connection does not wait for the failures of others at its address. Nobody waits if the
    // token cannot be guessed.
    const wait = isKnown || !this.#isGuessable ? 0 : this.#failures.wait(address);
    // The token is not even compared, so that waiting tells a guesser nothing.
    if (wait > 0) throw tooMany(wait, "this address sent too many wrong tokens");
    if (this.#isRight(header)) {
      if (admit()) return;
      throw new ApiError(503, "Cannot accept this connection: too many connections have active requests", {
        headers: { "retry-after": "2" },
      });
    }
    this.#failures.take(address);
    take(this.#strangers, caller);
    const words = header === null ? "a token is needed" : "the token is wrong";
    throw new ApiError(401, `Cannot accept this request: ${words} (Authorization: Bearer TOKEN)`, {
      code: header === null ? "no_token" : "wrong_token",
      headers: { "www-authenticate": 'Bearer realm="kedge"' },
    });
  }
}

function take(buckets: TokenBuckets, { address }: Caller): void {
  const wait = buckets.take(address);
  if (wait > 0) throw tooMany(wait, "this address sends too many requests");
}

function tooMany(wait: number, why: string): ApiError {
  return new ApiError(429, `Cannot answer now: ${why}`, { code: "rate_limit", headers: { "retry-after": String(Math.ceil(wait)) } });
}
