import { createRoute, z } from "@hono/zod-openapi";
import { json, refusals } from "./routes/answers.ts";
import type { App } from "./routes/context.ts";

const route = createRoute({
  method: "get",
  path: "/openapi.json",
  operationId: "openapi",
  summary: "This interface as OpenAPI 3.1",
  description: "It is generated from the schemas that check requests.",
  tags: ["Health"],
  responses: { 200: json(z.record(z.string(), z.unknown()), "The document."), ...refusals() },
});

type Document = ReturnType<App["getOpenAPI31Document"]>;

/** Describes the routes of an application, and adds the route that serves the description. */
export function openApiOf(app: App): Document & Record<string, unknown> {
  app.openapi(route, (c) => c.json({ ...document }, 200));
  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description: "The token that the endpoint printed or was given at its start.",
  });
  const document: Document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Kedge",
      version: "1",
      description: "Watches and steers a training run. Every refusal is an `Error`. HEAD works where GET does.",
    },
    security: [{ token: [] }],
    tags: [
      { name: "Run", description: "The run's state, and the commands for it." },
      { name: "Configuration", description: "The run's configuration; some fields can be changed during the run." },
      { name: "Records", description: "The run's metrics, answers and checkpoints." },
      { name: "Events", description: "Events as they happen." },
      { name: "Chat", description: "Questions to the policy, in the format of OpenAI's interface." },
      { name: "Health", description: "Probes, and this document." },
      { name: "Pages", description: "For browsers." },
    ],
  });
  return { ...document };
}
