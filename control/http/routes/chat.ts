import { createRoute, z } from "@hono/zod-openapi";
import { ApiError, refusalOf } from "../api_error.ts";
import { completionOf, type Envelope } from "../chat/answer.ts";
import { chunkSchema, completionSchema } from "../chat/answer_schema.ts";
import { chatRequestOf } from "../chat/request.ts";
import { chatRequestSchema } from "../chat/request_schema.ts";
import { ChatStream } from "../chat/stream.ts";
import { refusals } from "./answers.ts";
import type { App, RouteContext } from "./context.ts";

const chat = createRoute({
  method: "post",
  path: "/v1/chat/completions",
  operationId: "chat",
  summary: "Ask the policy",
  description: "OpenAI's interface, for the current weights. During a run, the policy answers between two steps. " +
    "With `stream` each event is a `ChatCompletionChunk`, and the last one is `[DONE]`. Fields of OpenAI's interface that would change the answer and are not " +
    "supported are refused. Only this endpoint has `connectivity`.",
  tags: ["Chat"],
  request: { body: { content: { "application/json": { schema: chatRequestSchema } }, required: true } },
  responses: {
    200: {
      description: "The answers.",
      content: {
        "application/json": { schema: completionSchema },
        "text/event-stream": { schema: z.string().openapi({ description: "Each `data:` is a `ChatCompletionChunk`, or `[DONE]`." }) },
      },
    },
    ...refusals({ also: [409, 429, 503], body: true }),
  },
});

/** Adds the route for questions to the policy. */
export function addChat(app: App, context: RouteContext & { unexpected: (error: unknown) => ApiError }): void {
  const { control, limits, closing, unexpected } = context;
  let waiting = 0;
  app.openAPIRegistry.register("ChatCompletionChunk", chunkSchema);
  app.openapi(chat, async (c) => {
    const body = c.req.valid("json"), request = chatRequestOf(body);
    if (waiting >= limits.chats) {
      throw new ApiError(429, `Cannot ask: ${limits.chats} chats are waiting for their answers`, { headers: { "retry-after": "2" } });
    }
    const envelope: Envelope = {
      id: `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`,
      created: Math.floor(Date.now() / 1000),
      model: control.config().name,
      logprobs: body.logprobs ?? false,
    };
    const stop = new AbortController(), abort = () => stop.abort();
    const signals = [closing, c.env?.gone].filter((signal) => signal !== undefined);
    for (const signal of signals) signal.addEventListener("abort", abort);
    if (signals.some(({ aborted }) => aborted)) abort();
    waiting++;
    const done = () => {
      waiting--;
      for (const signal of signals) signal.removeEventListener("abort", abort);
    };
    const refusal = (error: unknown) =>
      stop.signal.aborted
        ? new ApiError(503, "Cannot answer: the answer was cancelled", { code: "aborted" })
        : refusalOf(error) ?? unexpected(error);
    const ask = async (options: Parameters<typeof control.chat>[1]) => {
      try {
        return await control.chat(request, { ...options, signal: stop.signal });
      } finally {
        done();
      }
    };
    try {
      if (!body.stream) return c.json(completionOf(await ask({}), envelope), 200);
      const stream = new ChatStream(envelope, { usage: body.stream_options?.include_usage ?? false, n: request.n, abort, refusal });
      const bytes = await stream.begun(ask({ onPiece: stream.piece }));
      return c.body(bytes, 200, { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" });
    } catch (error) {
      throw refusal(error);
    }
  });
}
