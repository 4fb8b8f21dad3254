/**
 * What the control endpoint is told when it starts, and what it takes for granted.
 *
 * @module
 */

/** A page that holds no data: the dashboard's shell. */
export interface Page {
  /** The whole page. */
  readonly html: string;
  /** Over the endpoint's own: a page with a script needs a Content-Security-Policy that knows it. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** How fast one address may ask. */
export interface Rate {
  /** Requests that may come in a second, in the long run. */
  readonly perSecond: number;
  /** Requests that may come at once. */
  readonly burst: number;
}

/** What a client can have at most. */
export interface Limits {
  /** Bytes of a body. */
  readonly body: number;
  /** Bytes of a chat's body. */
  readonly chatBody: number;
  /** Milliseconds for a body to come. */
  readonly bodyTime: number;
  /** Milliseconds for a chat's body to come. */
  readonly chatBodyTime: number;
  /** Bytes of all bodies that are held at a time. */
  readonly bodies: number;
  /** Bytes of a request's header fields. */
  readonly headers: number;
  /** Characters of a URL. */
  readonly url: number;
  /** Chats that wait for their answers. */
  readonly chats: number;
  /** Clients of the events. */
  readonly clients: number;
  /** Clients of the events from one address. */
  readonly addressClients: number;
  /** Events that a client may be behind. */
  readonly queueEvents: number;
  /** Bytes that a client may be behind. */
  readonly queueBytes: number;
  /** Events that are kept for who comes back. */
  readonly ring: number;
  /** Milliseconds between two comments to clients of the events. */
  readonly heartbeat: number;
  /** Connections. */
  readonly connections: number;
  /** Of them, those on which no request with the right token came yet. */
  readonly strangers: number;
  /** Connections of one address on which the right token came. */
  readonly addressConnections: number;
  /** Of one address, those on which no request with the right token came yet. */
  readonly addressStrangers: number;
  /** Milliseconds for a request's header to come. */
  readonly header: number;
  /** Milliseconds that a connection may be open without a request, or may take for 64 KiB of an answer. */
  readonly idle: number;
}

/** Where nothing else is said. */
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

/** Requests of an address; those without the token have a bound of their own, of the same size. */
export const RATE: Rate = { perSecond: 300, burst: 600 };

/** Requests of an address with a wrong token, or with none. */
export const FAILED_RATE: Rate = { perSecond: 20, burst: 20 };

/** What an endpoint holds, and what went wrong so far. */
export interface ControlCounts {
  /** Clients of the events. */
  readonly clients: number;
  /** Those that were cut off since they were too slow, or since others of their address came. */
  readonly cutOff: number;
  /** Answers with status 500. */
  readonly unexpected: number;
  /** Bytes of bodies that are being read. */
  readonly bodyBytes: number;
}

/** Of an endpoint, whatever it listens on. */
export interface AppOptions {
  /** What a client must know. */
  readonly token: string;
  /** At / and /docs; default: there is none. */
  readonly page?: Page | (() => Page) | undefined;
  /** Origins of pages elsewhere that may ask, as "https://example.org"; default: none. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** Per address. */
  readonly rate?: Partial<Rate> | undefined;
  /** Those that differ from {@linkcode LIMITS}. */
  readonly limits?: Partial<Limits> | undefined;
  /** Names that a Host header may have, without a port; undefined: any. */
  readonly hosts?: readonly string[] | undefined;
  /** Milliseconds that only rise. */
  readonly now?: (() => number) | undefined;
  /** Told of errors that nobody expected; default: they are written to stderr. */
  readonly onUnexpected?: ((error: unknown) => void) | undefined;
}

/** Of {@linkcode serveControl}. */
export interface ServeOptions extends Omit<AppOptions, "token" | "hosts"> {
  /** Address to listen on; default "127.0.0.1". Beyond this machine only with a token of one's own. */
  readonly hostname?: string | undefined;
  /** Default 8787; 0: one that is free. */
  readonly port?: number | undefined;
  /** At least 8 printable ASCII characters without a space; default: one is made. */
  readonly token?: string | undefined;
}
