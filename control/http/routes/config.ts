import { createRoute, type z } from "@hono/zod-openapi";
import { flatten, TUNABLE, tunableSchema, valueAt } from "../../../actors/config/tunable.ts";
import { refusalOf, refusalOfIssues } from "../api_error.ts";
import { configSchema, tuningSchema } from "../schemas.ts";
import { json, refusals } from "./answers.ts";
import type { App, RouteContext } from "./context.ts";

const tags = ["Configuration"];

const read = createRoute({
  method: "get",
  path: "/v1/config",
  operationId: "config",
  summary: "The configuration in use",
  description: "The current configuration, the fields that were tuned, and those that can be.",
  tags,
  responses: { 200: json(configSchema, "The configuration."), ...refusals() },
});

const tune = createRoute({
  method: "patch",
  path: "/v1/config",
  operationId: "tune",
  summary: "Change fields during the run",
  description:
    "The body is a part of the configuration. The change applies after the current step, is logged, and is repeated when the run is resumed. " +
    "Either all fields change or none.",
  tags,
  request: { body: { content: { "application/json": { schema: tunableSchema } }, required: true } },
  responses: { 200: json(tuningSchema, "What changed."), ...refusals({ also: [409, 422, 503], body: true }) },
});

/** Adds the routes for the configuration and its changes. */
export function addConfig(app: App, { control }: RouteContext): void {
  app.openapi(read, (c) => {
    const config = control.config();
    const tunable = Object.fromEntries(TUNABLE.map((path) => [path, valueAt(config, path)]).filter(([, value]) => value !== undefined));
    return c.json({ config: { ...config }, tuned: { ...control.tuned() }, tunable }, 200);
  });
  app.openapi(tune, async (c) => {
    try {
      const { changed, fromStep } = await control.tune(flatten(c.req.valid("json")));
      return c.json({ changed: [...changed], fromStep }, 200);
    } catch (error) {
      throw refusalOf(error, { wrong: 422 }) ?? error;
    }
  }, (result) => {
    if (!result.success) throw refusalOfIssues((result.error as z.core.$ZodError).issues, { status: 422, what: "the change" });
  });
}
