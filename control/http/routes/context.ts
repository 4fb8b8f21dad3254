import type { OpenAPIHono } from "@hono/zod-openapi";
import type { RunControl } from "../../../actors/run_control.ts";
import type { EventLog } from "../event_log.ts";
import type { Limits, Page } from "../options.ts";
import type { Exposition } from "../exposition.ts";

/** The client of a request. */
export interface Caller {
  /** The client's address. */
  readonly address: string;
  /** Aborts when the client's connection ends. */
  readonly gone?: AbortSignal | undefined;
  /** Whether an earlier request on the connection had the right token. */
  readonly isKnown?: boolean | undefined;
  /** Is called when a request with the right token has arrived. Returns whether the limit permits one more known connection. */
  readonly admit?: (() => boolean) | undefined;
}

/** The type of the application that routes are added to. */
export type App = OpenAPIHono<{ Bindings: Caller }>;

/** The objects that routes need. */
export interface RouteContext {
  readonly control: RunControl;
  readonly events: EventLog;
  readonly exposition: Exposition;
  readonly limits: Limits;
  /** Aborts when the endpoint closes. */
  readonly closing: AbortSignal;
  readonly page?: Page | (() => Page) | undefined;
}
