import { createRoute, z } from "@hono/zod-openapi";
import { ApiError } from "../api_error.ts";
import { json, refusals } from "./answers.ts";
import type { App, RouteContext } from "./context.ts";
import { modelsSchema, statusOf } from "../schemas.ts";

const events = createRoute({
  method: "get",
  path: "/v1/events",
  operationId: "events",
  summary: "Events as they happen",
  description:
    "Server-sent events: `status`, `metrics`, `rollouts`, `checkpoint`, `tuned`, `note`, each with JSON as its data. The first is a `status`. " +
    "`Last-Event-ID` continues after that event. If it is too old, or from another process, a `reset` follows: fetch everything again. " +
    "A client that reads too slowly is disconnected, and can reconnect. So is the oldest client of an address that has too many. A comment comes every 15 s.",
  tags: ["Events"],
  request: {
    headers: z.object({
      "last-event-id": z.string().max(100).optional().openapi({ description: "The id of the last event that was read." }),
    }),
  },
  responses: {
    200: { description: "The events.", content: { "text/event-stream": { schema: z.string() } } },
    ...refusals({ also: [503] }),
  },
});

const prometheus = createRoute({
  method: "get",
  path: "/metrics",
  operationId: "prometheus",
  summary: "Metrics for Prometheus",
  description: 'Text format 0.0.4. The newest value of each metric is a gauge: "reward/overall" is `kedge_reward_overall`.',
  tags: ["Records"],
  responses: { 200: { description: "The metrics.", content: { "text/plain": { schema: z.string() } } }, ...refusals() },
});

const models = createRoute({
  method: "get",
  path: "/v1/models",
  operationId: "models",
  summary: "The available model",
  description: "OpenAI's list, with one model: the current policy.",
  tags: ["Chat"],
  responses: { 200: json(modelsSchema, "The list."), ...refusals() },
});

/** Adds the routes for events, metrics for Prometheus, and the list of models. */
export function addEvents(app: App, context: RouteContext): void {
  const { control, events: log, exposition } = context, created = Math.floor(Date.now() / 1000);
  app.openapi(events, async (c) => {
    const full = () => new ApiError(503, "Cannot send events: too many clients are connected", { headers: { "retry-after": "5" } });
    if (log.isFull) throw full();
    const headers = { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" };
    if (c.req.method === "HEAD") return c.body(null, 200, headers);
    const since = log.last, status = statusOf(await control.status());
    if (log.isFull) throw full();
    return c.body(log.join(status, { since, lastId: c.req.header("last-event-id"), address: c.env?.address }), 200, headers);
  });
  app.openapi(prometheus, async (c) => {
    return c.text(await exposition.text(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  });
  app.openapi(models, async (c) => {
    const { name } = await control.status();
    return c.json({ object: "list" as const, data: [{ id: name, object: "model" as const, created, "owned_by": "kedge" }] }, 200);
  });
}
