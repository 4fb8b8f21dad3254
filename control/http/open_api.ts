import { createRoute, z } from "@hono/zod-openapi";
import { json, refusals } from "./routes/answers.ts";
import type { App } from "./routes/context.ts";

const route = createRoute({
  method: "get",
  path: "/openapi.json",
  operationId: "openapi",
  summary: "This interface as OpenAPI 3.1",
  description: "Made from the schemas that check requests.",
  tags: ["Health"],
  responses: { 200: json(z.record(z.string(), z.unknown()), "The document."), ...refusals() },
});

type Document = ReturnType<App["getOpenAPI31Document"]>;

/** Describes an application's routes, and adds the route that says so. */
export function openApiOf(app: App): Document & Record<string, unknown> {
  app.openapi(route, (c) => c.json({ ...document }, 200));
  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description: "The token that the endpoint printed when it started, or was given.",
  });
  const document: Document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Kedge",
      version: "1",
      description: "A training run, to be watched and steered. Every refusal is an `Error`. HEAD works where GET does.",
    },
    security: [{ token: [] }],
    tags: [
      { name: "Run", description: "How the run stands, and what can be done with it." },
      { name: "Configuration", description: "What it runs with; some fields can be changed while it goes on." },
      { name: "Records", description: "What it wrote." },
      { name: "Events", description: "What happens, as it happens." },
      { name: "Chat", description: "Questions to the policy, as OpenAI's interface has them." },
      { name: "Health", description: "Probes, and this document." },
      { name: "Pages", description: "For browsers." },
    ],
  });
  return { ...document };
}
