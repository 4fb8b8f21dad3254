import { KedgeError } from "../../ffi/errors.ts";
import type { z } from "zod";

/** The kinds of errors. */
export const ERROR_TYPES = [
  "invalid_request_error",
  "authentication_error",
  "state_error",
  "not_found_error",
  "rate_limit_error",
  "server_error",
  "unavailable_error",
] as const;

/** The HTTP statuses of errors. */
export type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 414 | 415 | 421 | 422 | 429 | 431 | 500 | 503;

/** The machine-readable parts of an error. */
export interface ErrorFacts {
  /** A code for programs. */
  readonly code?: string;
  /** The field that is wrong, such as "optim.lr". */
  readonly param?: string;
  /** The run's state. */
  readonly state?: string;
  /** Header fields of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The body of an error answer. */
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

/** An error that is sent to the client. */
export class ApiError extends Error {
  /** The error's name, "ApiError". */
  override readonly name = "ApiError";

  /** Makes an error with its status, a message for the client, and machine-readable facts. */
  constructor(readonly status: ErrorStatus, message: string, readonly facts: ErrorFacts = {}) {
    super(message);
  }

  /** Returns the error as JSON. */
  body(): ErrorBody {
    const { code = null, param = null, state } = this.facts;
    return { error: { message: this.message, type: typeOf(this.status), code, param, ...(state !== undefined && { state }) } };
  }

  /** Returns the error as an answer. */
  response(): Response {
    return Response.json(this.body(), { status: this.status, headers: { ...this.facts.headers } });
  }
}

/**
 * Translates an error of the run for the client. Only errors that are meant for callers keep their message.
 *
 * @param error The thrown value.
 * @param options `wrong`: the status for a value that the run refuses. `outOfRange`: the status for a RangeError.
 * @returns Undefined for an unexpected error.
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
  // Kedge's own RangeErrors are for callers. V8's ("Maximum call stack size exceeded", "Invalid array length") and TypeErrors mean nothing
  // to a client.
  if (error instanceof RangeError && error.message.startsWith("Cannot ")) return new ApiError(outOfRange, error.message);
  if (
    error instanceof TypeError && error.message.startsWith("Cannot ") && !/^Cannot (read|set|destructure|convert|mix)\b/.test(error.message)
  ) {
    return new ApiError(wrong, error.message);
  }
  return undefined;
}

/** Makes an error from a schema's issues: the first one, or in a union the one of the alternative that matched furthest. */
export function refusalOfIssues(issues: readonly z.core.$ZodIssue[], options: { status?: 400 | 422; what?: string } = {}): ApiError {
  const { status = 400, what = "the request" } = options;
  const { path, message } = deepest(issues[0]!, []);
  const param = path.join(".");
  return new ApiError(status, `Cannot read ${param === "" ? what : `"${clip(param)}"`}: ${clip(message)}`, {
    code: "invalid_value",
    ...(param !== "" && { param: clip(param) }),
  });
}

/** Shortens a client's own text for an answer. */
export function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

function deepest(issue: z.core.$ZodIssue, before: readonly PropertyKey[]): { path: string[]; message: string } {
  const path = [...before, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    return { path: [...path, issue.keys[0]!].map(String), message: `unknown field, or it cannot be set here` };
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
