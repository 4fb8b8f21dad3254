import type { z } from "@hono/zod-openapi";
import type { ErrorStatus } from "../api_error.ts";
import { errorSchema } from "../schemas.ts";

const WORDS: Readonly<Record<ErrorStatus, string>> = {
  400: "The request cannot be read, or the run refuses it.",
  401: "No token, or a wrong one.",
  403: "The request comes from a page of another origin, which `--cors` did not name.",
  404: "Not found.",
  405: "The path does not accept this method; `Allow` lists the accepted ones.",
  408: "The body did not arrive in time.",
  409: "The run's state does not allow it; `state` names the state.",
  413: "The body is too large.",
  414: "The URL is too long.",
  415: "The body is not `application/json`.",
  421: "The Host header names another machine.",
  422: "A field that is unknown, cannot be tuned, or has a wrong value; `param` names it.",
  429: "Too many requests; `Retry-After` gives the seconds until a retry.",
  431: "The header fields are too long.",
  500: "An unexpected error occurred.",
  503: "It is not possible now.",
};

// The guard before all routes may answer with these statuses.
const EVERYWHERE = [400, 403, 405, 414, 421, 429, 431, 500] as const,
  WITH_TOKEN = [401] as const,
  WITH_BODY = [408, 413, 415, 503] as const;

interface ErrorAnswer {
  description: string;
  content: { "application/json": { schema: typeof errorSchema } };
}

/** Describes the refusals of a route for OpenAPI. */
export function refusals(
  options: { also?: readonly ErrorStatus[]; token?: boolean; body?: boolean } = {},
): { [status in ErrorStatus]: ErrorAnswer } {
  const { also = [], token = true, body = false } = options;
  const statuses: ErrorStatus[] = [...new Set([...EVERYWHERE, ...(token ? WITH_TOKEN : []), ...(body ? WITH_BODY : []), ...also])].sort();
  const entries = statuses.map((
    status,
  ) => [status, { description: WORDS[status], content: { "application/json": { schema: errorSchema } } }]);
  // Refusals are thrown, so that the types of handlers do not depend on them.
  return Object.fromEntries(entries) as { [status in ErrorStatus]: ErrorAnswer };
}

/** Describes an answer in JSON. */
export function json<T extends z.ZodType>(
  schema: T,
  description: string,
): { description: string; content: { "application/json": { schema: T } } } {
  return { description, content: { "application/json": { schema } } };
}
