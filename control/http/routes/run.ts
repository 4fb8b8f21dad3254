import { createRoute } from "@hono/zod-openapi";
import { callCommand, type CommandName, COMMANDS, type CommandWords } from "../../../actors/run_commands.ts";
import { COMMAND_REPLIES, nothingSchema, type Reply, STATUS_REPLY, statusOf, statusSchema } from "../schemas.ts";
import { json, refusals } from "./answers.ts";
import type { App, RouteContext } from "./context.ts";

const tags = ["Run"];
const body = { description: "Nothing, or `{}`.", content: { "application/json": { schema: nothingSchema } }, required: false };
const errors = refusals({ also: [409, 503], body: true });

const status = createRoute({
  method: "get",
  path: "/v1/status",
  operationId: "status",
  summary: "Status of the run",
  description: "The state, the step, and the memory of each actor.",
  tags,
  responses: { 200: json(statusSchema, "The status."), ...refusals({ also: [503] }) },
});

const START: CommandWords = {
  summary: "Start the run",
  description:
    "Starts the run, or resumes it from its last checkpoint. It answers when the run is active. A second request changes nothing.",
};

/** Adds the route for the run's status, and a route for each command without an argument. */
export function addRun(app: App, { control }: RouteContext): void {
  app.openapi(status, async (c) => c.json(statusOf(await control.status()), 200));
  const post = (name: string, { summary, description }: CommandWords, run: () => Promise<unknown>) => {
    const { schema, words, plain } = (COMMAND_REPLIES[name as CommandName] ?? STATUS_REPLY) as Reply<unknown>;
    const request = { body }, responses = { 200: json(schema, words), ...errors };
    const route = createRoute({ method: "post", path: `/v1/${name}`, operationId: name, summary, description, tags, request, responses });
    app.openapi(route, async (c) => c.json(plain(await run()), 200));
  };
  post("start", START, () => control.start());
  for (const [name, words] of Object.entries(COMMANDS) as [CommandName, CommandWords][]) {
    if (!words.takesArgument) post(name, words, () => callCommand(control, name, undefined as never));
  }
}
