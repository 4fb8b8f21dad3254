import { createRoute } from "@hono/zod-openapi";
import type { RunControl, RunStatus } from "../../../actors/run_control.ts";
import { checkpointSchema, evaluationSchema, nothingSchema, statusSchema } from "../schemas.ts";
import { json, refusals } from "./answers.ts";
import type { App, RouteContext } from "./context.ts";

const tags = ["Run"];
const body = { description: "Nothing, or `{}`.", content: { "application/json": { schema: nothingSchema } }, required: false };
const errors = refusals({ also: [409, 503], body: true });

const status = createRoute({
  method: "get",
  path: "/v1/status",
  operationId: "status",
  summary: "How the run stands",
  description: "State, step, and the memory of each actor.",
  tags,
  responses: { 200: json(statusSchema, "The status."), ...refusals({ also: [503] }) },
});

const COMMANDS: readonly { name: "start" | "pause" | "resume" | "stop"; summary: string; description: string }[] = [
  {
    name: "start",
    summary: "Start the run",
    description: "Starts it, or goes on from its last checkpoint. Answers when it is under way. Twice is as once.",
  },
  {
    name: "pause",
    summary: "Pause the run",
    description: "It pauses before its next step: the one under way is finished. Twice is as once.",
  },
  { name: "resume", summary: "Go on after a pause", description: "Twice is as once." },
  { name: "stop", summary: "Stop the run", description: "It ends after the step under way, with a checkpoint. Twice is as once." },
];

const checkpoint = createRoute({
  method: "post",
  path: "/v1/checkpoint",
  operationId: "checkpoint",
  summary: "Write a checkpoint",
  description: "After the step under way. Answers when it is written.",
  tags,
  request: { body },
  responses: { 200: json(checkpointSchema, "It is written."), ...errors },
});

const evaluate = createRoute({
  method: "post",
  path: "/v1/evaluate",
  operationId: "evaluate",
  summary: "Evaluate on held-out data",
  description: "After the step under way. Answers when it is done, which may take minutes.",
  tags,
  request: { body },
  responses: { 200: json(evaluationSchema, "What came out."), ...errors },
});

const finite = (value: number) => Number.isFinite(value) ? value : null;

/** The run's status, and what can be done with it. */
export function addRun(app: App, { control }: RouteContext): void {
  app.openapi(status, async (c) => c.json(copy(await control.status()), 200));
  for (const { name, summary, description } of COMMANDS) {
    const route = createRoute({
      method: "post",
      path: `/v1/${name}`,
      operationId: name,
      summary,
      description,
      tags,
      request: { body },
      responses: { 200: json(statusSchema, "How it stands now."), ...errors },
    });
    app.openapi(route, async (c) => c.json(copy(await (control satisfies RunControl)[name]()), 200));
  }
  app.openapi(checkpoint, async (c) => {
    const { step, path } = await control.checkpoint();
    return c.json({ step, path }, 200);
  });
  app.openapi(evaluate, async (c) => {
    const { step, metrics } = await control.evaluate();
    return c.json({ step, metrics: Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, finite(value)])) }, 200);
  });
}

/** A status with what its schema has. */
export function copy({ state, name, step, maxSteps, pausing, accounts, error }: RunStatus) {
  return { state, name, step, maxSteps, pausing, accounts: { ...accounts }, ...(error !== undefined && { error }) };
}
