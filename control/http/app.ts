import { OpenAPIHono, type z } from "@hono/zod-openapi";
import { HTTPException } from "hono/http-exception";
import type { RunControl } from "../../actors/run_control.ts";
import { ApiError, refusalOf, refusalOfIssues } from "./api_error.ts";
import { EventLog } from "./event_log.ts";
import { Exposition } from "./exposition.ts";
import { Guard, type KnownRoutes } from "./guard.ts";
import { openApiOf } from "./open_api.ts";
import { type AppOptions, type ControlCounts, LIMITS } from "./options.ts";
import { addChat } from "./routes/chat.ts";
import { addConfig } from "./routes/config.ts";
import type { App, Caller } from "./routes/context.ts";
import { addEvents } from "./routes/events.ts";
import { addHealth } from "./routes/health.ts";
import { addRecords } from "./routes/records.ts";
import { addRun } from "./routes/run.ts";

/** The endpoint without a socket. */
export interface ControlApp {
  /** Answers a request. It never throws. */
  fetch(request: Request, caller: Caller): Promise<Response>;
  /** The interface as OpenAPI 3.1. */
  readonly document: Readonly<Record<string, unknown>>;
  /** Returns what is held now, and the number of errors so far. */
  counts(): ControlCounts;
  /** Ends all streams, cancels all chats, and stops listening to the run. */
  close(): void;
}

const SAFE = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
};

/** Makes the endpoint of a run. Data of a client never names a file, and the run never waits for a client. */
export function createApp(control: RunControl, options: AppOptions): ControlApp {
  const limits = { ...LIMITS, ...options.limits }, closing = new AbortController();
  let unexpected = 0;
  const counts = () => ({ clients: events.clients, cutOff: events.cutOff, unexpected });
  const surprise = (error: unknown) => {
    unexpected++;
    // The message may contain paths or memory sizes, so that it goes only to this process's log.
    (options.onUnexpected ?? writeError)(error);
    return new ApiError(500, "Cannot answer: an unexpected error occurred; the log of the run may name it");
  };
  const exposition = new Exposition(control, counts);
  const events = new EventLog((listener) =>
    control.listen((event) => {
      // An error of the listener must not reach the client.
      try {
        exposition.see(event);
        listener(event);
      } catch (error) {
        surprise(error);
      }
    }), limits);

  const app: App = new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw refusalOfIssues((result.error as z.core.$ZodError).issues);
    },
  });
  app.onError((error) => answerTo(error));
  const context = { control, events, exposition, limits, closing: closing.signal, page: options.page };
  addHealth(app, context);
  addRun(app, context);
  addConfig(app, context);
  addRecords(app, context);
  addEvents(app, context);
  addChat(app, { ...context, unexpected: surprise });
  const document = openApiOf(app), guard = new Guard(routesOf(document), { ...options, limits });

  function answerTo(error: unknown): Response {
    // The validators throw this for a body that is not JSON.
    if (error instanceof HTTPException && error.status === 400) {
      return new ApiError(400, "Cannot read the body: it is not JSON", { code: "not_json" }).response();
    }
    return (refusalOf(error) ?? surprise(error)).response();
  }

  async function answer(request: Request, caller: Caller): Promise<Response> {
    let release = () => {};
    try {
      guard.check(request, caller);
      if (guard.isPreflight(request)) return new Response(null, { status: 204 });
      const read = await guard.withBody(request);
      release = read.release;
      return await app.fetch(read.request, caller);
    } catch (error) {
      return answerTo(error);
    } finally {
      release();
    }
  }

  return {
    async fetch(request, caller) {
      const response = await answer(request, caller), { status } = response;
      const extra = Object.entries({ ...SAFE, ...guard.corsOf(request) }).filter(([name]) => !response.headers.has(name));
      for (const [name, value] of extra) response.headers.set(name, value);
      const method = KNOWN_METHODS.has(request.method) ? request.method : "other";
      exposition.count({ route: guard.templateOf(request), method, code: status });
      return request.method === "HEAD" && response.body !== null ? new Response(null, response) : response;
    },
    document,
    counts: () => ({ ...counts(), bodyBytes: guard.held }),
    close() {
      closing.abort();
      events.close();
    },
  };
}

function writeError(error: unknown): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${error instanceof Error ? error.stack ?? error.message : error}\n`));
}

const KNOWN_METHODS = new Set(["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"]);

/** Returns the paths of a document with their methods. HEAD is allowed where GET is. */
function routesOf(document: ReturnType<typeof openApiOf>): KnownRoutes {
  return new Map(
    Object.entries(document.paths ?? {}).map(([path, item]) => {
      const methods = (["get", "post", "patch"] as const).filter((method) => item[method] !== undefined);
      const names = methods.flatMap((method) => method === "get" ? ["GET", "HEAD"] : [method.toUpperCase()]);
      const open = methods.every((method) => item[method]!.security?.length === 0);
      return [path, { methods: names, open }];
    }),
  );
}
