import type { z } from "@hono/zod-openapi";
import type { ErrorStatus } from "../api_error.ts";
import { errorSchema } from "../schemas.ts";

const WORDS: Readonly<Record<ErrorStatus, string>> = {
  400: "What was sent cannot be read, or the run refuses it.",
  401: "No token, or a wrong one.",
  403: "A page of another origin asks, and its origin was not given with `--cors`.",
  404: "There is no such thing.",
  405: "The path does not take this method; `Allow` says which it takes.",
  408: "The body did not come in time.",
  409: "The run's state does not allow it; `state` says which it is.",
  413: "The body is too large.",
  414: "The URL is too long.",
  415: "The body is not `application/json`.",
  421: "The Host header names another machine.",
  422: "A field that is unknown, cannot be tuned, or has a wrong value; `param` says which.",
  429: "Too many requests; `Retry-After` says when to come back, in seconds.",
  431: "The header fields are too long.",
  500: "Something went wrong that nobody expected.",
  503: "It cannot be done now.",
};

// The guard before all routes may answer with these.
const EVERYWHERE = [400, 403, 405, 414, 421, 429, 431, 500] as const,
  WITH_TOKEN = [401] as const,
  WITH_BODY = [408, 413, 415, 503] as const;

interface ErrorAnswer {
  description: string;
  content: { "application/json": { schema: typeof errorSchema } };
}

/** Refusals of a route, as OpenAPI has them. */
export function refusals(
  options: { also?: readonly ErrorStatus[]; token?: boolean; body?: boolean } = {},
): { [status in ErrorStatus]: ErrorAnswer } {
  const { also = [], token = true, body = false } = options;
  const statuses: ErrorStatus[] = [...new Set([...EVERYWHERE, ...(token ? WITH_TOKEN : []), ...(body ? WITH_BODY : []), ...also])].sort();
  const entries = statuses.map((
    status,
  ) => [status, { description: WORDS[status], content: { "application/json": { schema: errorSchema } } }]);
  // Refusals are thrown, so that no handler's type depends on which of them are there.
  return Object.fromEntries(entries) as { [status in ErrorStatus]: ErrorAnswer };
}

/** An answer in JSON. */
export function json<T extends z.ZodType>(
  schema: T,
  description: string,
): { description: string; content: { "application/json": { schema: T } } } {
  return { description, content: { "application/json": { schema } } };
}
