import { createRoute, z } from "@hono/zod-openapi";
import { ApiError, refusalOf } from "../api_error.ts";
import { checkpointsSchema, metricsSchema, rolloutsSchema } from "../schemas.ts";
import { json, refusals } from "./answers.ts";
import type { App, RouteContext } from "./context.ts";

const tags = ["Records"], MOST_LINES = 100_000;

/** Makes the schema of a whole number in a query, in plain digits. */
const whole = (options: { min: number; max: number; description: string; example: number }) => {
  const { min, max, description, example } = options, words = `it is not a whole number from ${min} to ${max}`;
  return z.string().regex(/^-?\d{1,15}$/, words).refine((text) => Number(text) >= min && Number(text) <= max, words)
    .openapi({ type: "integer", minimum: min, maximum: max, pattern: undefined, description, example });
};

const metrics = createRoute({
  method: "get",
  path: "/v1/metrics",
  operationId: "metrics",
  summary: "Lines of metrics.jsonl",
  description: "The lines of steps after `since`; if there are more than `limit`, the newest.",
  tags,
  request: {
    query: z.object({
      since: whole({ min: -1, max: 1e12, description: "The last step that the client has already. Default: -1, none.", example: 40 })
        .optional(),
      limit: whole({ min: 1, max: MOST_LINES, description: "The maximum number of lines. Default: 10000.", example: 1000 }).optional(),
    }),
  },
  responses: { 200: json(metricsSchema, "The lines."), ...refusals() },
});

const rollouts = createRoute({
  method: "get",
  path: "/v1/rollouts",
  operationId: "rollouts",
  summary: "Answers of a step, token by token",
  description: "With rewards, advantages, and where each token attends.",
  tags,
  request: {
    query: z.object({ step: whole({ min: 0, max: 1e12, description: "The step. Default: the last one.", example: 12 }).optional() }),
  },
  responses: { 200: json(rolloutsSchema, "The answers."), ...refusals({ also: [404] }) },
});

const checkpoints = createRoute({
  method: "get",
  path: "/v1/checkpoints",
  operationId: "checkpoints",
  summary: "Existing checkpoints",
  description: "A checkpoint's folder holds a model that transformers loads.",
  tags,
  responses: { 200: json(checkpointsSchema, "The checkpoints."), ...refusals() },
});

/** Adds the routes for the run's records. */
export function addRecords(app: App, { control }: RouteContext): void {
  app.openapi(metrics, async (c) => {
    const { since = "-1", limit = "10000" } = c.req.valid("query");
    return c.json({ lines: [...await control.metrics({ since: Number(since), limit: Number(limit) })] }, 200);
  });
  app.openapi(rollouts, async (c) => {
    const { step } = c.req.valid("query");
    const rollouts = await (step === undefined ? control.rollouts() : control.rollouts(Number(step))).catch((error) => {
      throw refusalOf(error, { outOfRange: 404 }) ?? error;
    });
    if (step !== undefined && rollouts.step !== Number(step)) {
      throw new ApiError(404, `Cannot show step ${Number(step)}: its answers are not available`, { param: "step" });
    }
    return c.json({ step: rollouts.step, steps: [...rollouts.steps], samples: [...rollouts.samples] }, 200);
  });
  app.openapi(checkpoints, async (c) => {
    const checkpoints = await control.checkpoints();
    return c.json({ checkpoints: checkpoints.map(({ step, score, best, path }) => ({ step, score, best, path })) }, 200);
  });
}
