import { KedgeError } from "../../ffi/errors.ts";
import type { z } from "zod";

/** Kinds of refusals. */
export const ERROR_TYPES = [
  "invalid_request_error",
  "authentication_error",
  "state_error",
  "not_found_error",
  "rate_limit_error",
  "server_error",
  "unavailable_error",
] as const;

/** Statuses of refusals. */
export type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 414 | 415 | 421 | 422 | 429 | 431 | 500 | 503;

/** What a refusal says beside its words. */
export interface ErrorFacts {
  /** For programs. */
  readonly code?: string;
  /** The field that is wrong, as "optim.lr". */
  readonly param?: string;
  /** The run's state. */
  readonly state?: string;
  /** Header fields. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The body of a refusal. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: typeof ERROR_TYPES[number];
    readonly code: string | null;
    readonly param: string | null;
    readonly state?: string;
  };
}

function typeOf(status: ErrorStatus): typeof ERROR_TYPES[number] {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 409:
      return "state_error";
    case 429:
      return "rate_limit_error";
    case 500:
      return "server_error";
    case 503:
      return "unavailable_error";
    default:
      return "invalid_request_error";
  }
}

/** A refusal as a client sees it. */
export class ApiError extends Error {
  /** "ApiError". */
  override readonly name = "ApiError";

  /** A refusal with its status, words for the client, and facts. */
  constructor(readonly status: ErrorStatus, message: string, readonly facts: ErrorFacts = {}) {
    super(message);
  }

  /** As JSON. */
  body(): ErrorBody {
    const { code = null, param = null, state } = this.facts;
    return { error: { message: this.message, type: typeOf(this.status), code, param, ...(state !== undefined && { state }) } };
  }

  /** As an answer. */
  response(): Response {
    return Response.json(this.body(), { status: this.status, headers: { ...this.facts.headers } });
  }
}

/**
 * What a client is told of an error of the run. Only errors that are made for a caller's eyes keep their words.
 *
 * @param error What was thrown.
 * @param options `wrong`: status of a value that the run refuses. `missing`: of what is out of range.
 * @returns Undefined for an error that nobody expected.
 */
export function refusalOf(error: unknown, options: { wrong?: 400 | 422; outOfRange?: 400 | 404 | 422 } = {}): ApiError | undefined {
  const { wrong = 400, outOfRange = wrong } = options;
  if (error instanceof ApiError) return error;
  if (error instanceof KedgeError) {
    const { code, message, details } = error;
    switch (code) {
      case "State":
        return new ApiError(409, message, { code, ...(typeof details.state === "string" && { state: details.state }) });
      case "BadData":
        return new ApiError(wrong, message, { code });
      case "OutOfMemory":
      case "Actor":
      case "Diverged":
        return new ApiError(503, message, { code });
      default:
        return undefined;
    }
  }
  // A plain RangeError is a caller's; V8's own ("Maximum call stack size exceeded", "Invalid array length") and its TypeErrors say nothing to a client.
  if (error instanceof RangeError && error.message.startsWith("Cannot ")) return new ApiError(outOfRange, error.message);
  if (
    error instanceof TypeError && error.message.startsWith("Cannot ") && !/^Cannot (read|set|destructure|convert|mix)\b/.test(error.message)
  ) {
    return new ApiError(wrong, error.message);
  }
  return undefined;
}

/** A value that is not as its schema has it: the first fault, of a union's alternatives the one that came furthest. */
export function refusalOfIssues(issues: readonly z.core.$ZodIssue[], options: { status?: 400 | 422; what?: string } = {}): ApiError {
  const { status = 400, what = "the request" } = options;
  const { path, message } = deepest(issues[0]!, []);
  const param = path.join(".");
  return new ApiError(status, `Cannot read ${param === "" ? what : `"${clip(param)}"`}: ${clip(message)}`, {
    code: "invalid_value",
    ...(param !== "" && { param: clip(param) }),
  });
}

/** A client's own words, no longer than is good for an answer. */
export function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

function deepest(issue: z.core.$ZodIssue, before: readonly PropertyKey[]): { path: string[]; message: string } {
  const path = [...before, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    return { path: [...path, issue.keys[0]!].map(String), message: `there is no such field, or it cannot be set here` };
  }
  if (issue.code === "invalid_union") {
    const [best] = issue.errors.toSorted((a, b) => depth(b) - depth(a));
    if (best && depth(best) > 0) return deepest(best[0]!, path);
  }
  return { path: path.map(String), message: issue.message };
}

function depth(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length + (issue.code === "unrecognized_keys" ? 1 : 0)));
}
