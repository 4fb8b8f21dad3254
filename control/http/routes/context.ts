import type { OpenAPIHono } from "@hono/zod-openapi";
import type { RunControl } from "../../../actors/run_control.ts";
import type { EventLog } from "../event_log.ts";
import type { Limits, Page } from "../options.ts";
import type { Exposition } from "../exposition.ts";

/** Who asks. */
export interface Caller {
  /** Its address. */
  readonly address: string;
  /** Fires when its connection ends. */
  readonly gone?: AbortSignal | undefined;
  /** Whether the right token came on its connection before. */
  readonly isKnown?: boolean | undefined;
  /** Called when the right token has come. Returns whether there is a place for one more of those who have it. */
  readonly admit?: (() => boolean) | undefined;
}

/** The application as its routes see it. */
export type App = OpenAPIHono<{ Bindings: Caller }>;

/** What routes work with. */
export interface RouteContext {
  readonly control: RunControl;
  readonly events: EventLog;
  readonly exposition: Exposition;
  readonly limits: Limits;
  /** Fires when the endpoint closes. */
  readonly closing: AbortSignal;
  readonly page?: Page | (() => Page) | undefined;
}
