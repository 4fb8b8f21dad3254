import { createRoute, z } from "@hono/zod-openapi";
import { readySchema } from "../schemas.ts";
import { json, refusals } from "./answers.ts";
import type { App, RouteContext } from "./context.ts";

const tags = ["Health"], security: [] = [];

const health = createRoute({
  method: "get",
  path: "/healthz",
  operationId: "health",
  summary: "Whether the endpoint answers",
  description: "Needs no token. It contains nothing about the run.",
  tags,
  security,
  responses: { 200: json(z.object({ status: z.literal("ok") }), "It answers."), ...refusals({ token: false }) },
});

const ready = createRoute({
  method: "get",
  path: "/readyz",
  operationId: "ready",
  summary: "Whether the run can answer",
  description: "Needs no token. Ready in every state but `starting` and `failed`.",
  tags,
  security,
  responses: { 200: json(readySchema, "Ready."), ...refusals({ token: false }), 503: json(readySchema, "Starting, or failed.") },
});

/** Adds the probes, and the page that asks for the token. */
export function addHealth(app: App, { control, page }: RouteContext): void {
  app.openapi(health, (c) => c.json({ status: "ok" } as const, 200));
  app.openapi(ready, async (c) => {
    const { state } = await control.status(), isReady = state !== "starting" && state !== "failed";
    return c.json({ ready: isReady, state }, isReady ? 200 : 503);
  });
  if (page === undefined) return;
  for (
    const [path, operationId, summary] of [["/", "dashboard", "The dashboard"], ["/docs", "docs", "This interface as a page"]] as const
  ) {
    const route = createRoute({
      method: "get",
      path,
      operationId,
      summary,
      description:
        "Needs no token: the page contains no data, and asks for the token. It reads the token from the URL's fragment (`#token=...`), which browsers do not send.",
      tags: ["Pages"],
      security,
      responses: { 200: { description: "The page.", content: { "text/html": { schema: z.string() } } }, ...refusals({ token: false }) },
    });
    app.openapi(route, (c) => {
      const { html, headers = {} } = typeof page === "function" ? page() : page;
      return c.html(html, 200, { ...headers });
    });
  }
}
