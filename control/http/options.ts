/**
 * The options, limits and defaults of the control endpoint.
 *
 * @module
 */

/** A page without data of the run: the dashboard's shell. */
export interface Page {
  /** The text of the page. */
  readonly html: string;
  /** Header fields that replace the endpoint's own. A page with a script needs a Content-Security-Policy that allows it. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A limit on the requests of one address. */
export interface Rate {
  /** Requests per second in the long run. */
  readonly perSecond: number;
  /** Requests at once. */
  readonly burst: number;
}

/** Limits on what clients can use. */
export interface Limits {
  /** Bytes of a body. */
  readonly body: number;
  /** Bytes of a chat's body. */
  readonly chatBody: number;
  /** Milliseconds for a body to arrive. */
  readonly bodyTime: number;
  /** Milliseconds for a chat's body to arrive. */
  readonly chatBodyTime: number;
  /** Bytes of all bodies that are held at the same time. */
  readonly bodies: number;
  /** Bytes of a request's header fields. */
  readonly headers: number;
  /** Characters of a URL. */
  readonly url: number;
  /** Chats that wait for their answers. */
  readonly chats: number;
  /** Clients of the event stream. */
  readonly clients: number;
  /** Clients of the event stream from one address. */
  readonly addressClients: number;
  /** Events that a client may be behind. */
  readonly queueEvents: number;
  /** Bytes that a client may be behind. */
  readonly queueBytes: number;
  /** Events that are kept for clients that reconnect. */
  readonly ring: number;
  /** Milliseconds between two comments in the event stream. */
  readonly heartbeat: number;
  /** Connections in all. */
  readonly connections: number;
  /** Connections without a request with the right token so far. */
  readonly strangers: number;
  /** Connections of one address with a request with the right token. */
  readonly addressConnections: number;
  /** Connections of one address without a request with the right token so far. */
  readonly addressStrangers: number;
  /** Milliseconds for a request's header to arrive. */
  readonly header: number;
  /** Milliseconds that a connection may be open without a request, and that a client may take to read 64 KiB of an answer. */
  readonly idle: number;
}

/** The default limits. */
export const LIMITS: Limits = {
  body: 64 * 1024,
  chatBody: 32 * 1024 * 1024,
  bodyTime: 10_000,
  chatBodyTime: 30_000,
  bodies: 256 * 1024 * 1024,
  headers: 32 * 1024,
  url: 8 * 1024,
  chats: 4,
  clients: 128,
  addressClients: 64,
  queueEvents: 512,
  queueBytes: 4 * 1024 * 1024,
  ring: 2000,
  heartbeat: 15_000,
  connections: 256,
  strangers: 64,
  addressConnections: 128,
  addressStrangers: 32,
  header: 10_000,
  idle: 30_000,
};

/** The limit on the requests of one address. Requests without the token have a separate limit of the same size. */
export const RATE: Rate = { perSecond: 300, burst: 600 };

/** The limit on requests of one address with a wrong token or none. */
export const FAILED_RATE: Rate = { perSecond: 20, burst: 20 };

/** Counts of the things that an endpoint holds, and of its errors so far. */
export interface ControlCounts {
  /** Connected clients of the event stream. */
  readonly clients: number;
  /** Clients that were disconnected because they were too slow, or because newer clients of their address arrived. */
  readonly cutOff: number;
  /** Answers with status 500. */
  readonly unexpected: number;
  /** Bytes of bodies that are being read. */
  readonly bodyBytes: number;
}

/** Options of an endpoint, whatever it listens on. */
export interface AppOptions {
  /** The token that clients must send. */
  readonly token: string;
  /** The page at / and /docs. Default: none. */
  readonly page?: Page | (() => Page) | undefined;
  /** Origins of other pages that may send requests, such as "https://example.org". Default: none. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** The limit on the requests of one address. */
  readonly rate?: Partial<Rate> | undefined;
  /** Limits that differ from {@linkcode LIMITS}. */
  readonly limits?: Partial<Limits> | undefined;
  /** Host names that a Host header may contain, without a port. Undefined permits any. */
  readonly hosts?: readonly string[] | undefined;
  /** Returns the milliseconds of a monotonic clock. */
  readonly now?: (() => number) | undefined;
  /** Is called for unexpected errors. Default: they are written to stderr. */
  readonly onUnexpected?: ((error: unknown) => void) | undefined;
}

/** Options for {@linkcode serveControl}. */
export interface ServeOptions extends Omit<AppOptions, "token" | "hosts"> {
  /** The address to listen on. Default: "127.0.0.1". An address that other machines can reach needs a token of the caller's own. */
  readonly hostname?: string | undefined;
  /** The port. Default: 8787. 0 selects a free port. */
  readonly port?: number | undefined;
  /** At least 8 printable ASCII characters without a space. Default: a new token. */
  readonly token?: string | undefined;
}
