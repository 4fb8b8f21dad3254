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
  description: "As it is now, which of its fields were tuned, and which can be.",
  tags,
  responses: { 200: json(configSchema, "The configuration."), ...refusals() },
});

const tune = createRoute({
  method: "patch",
  path: "/v1/config",
  operationId: "tune",
  summary: "Change fields while the run goes on",
  description:
    "Takes a part of the configuration. The change holds from the step after the one under way, is logged, and is made again where the run is resumed. " +
    "All fields change, or none.",
  tags,
  request: { body: { content: { "application/json": { schema: tunableSchema } }, required: true } },
  responses: { 200: json(tuningSchema, "What changed."), ...refusals({ also: [409, 422, 503], body: true }) },
});

/** The configuration, and live tuning. */
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
