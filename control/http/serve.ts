import type { RunControl } from "../../actors/run_control.ts";
import { ApiError } from "./api_error.ts";
import { createApp } from "./app.ts";
import { Gate } from "./gate.ts";
import { type ControlCounts, LIMITS, type ServeOptions } from "./options.ts";
import { checkToken, makeToken } from "./token.ts";

/** A listening endpoint. */
export interface ControlServer extends AsyncDisposable {
  /** The address, such as "http://127.0.0.1:8787". */
  readonly url: string;
  /** The token that clients must send. */
  readonly token: string;
  /** Whether the token was generated here. */
  readonly made: boolean;
  /** Resolves when the endpoint has closed. */
  readonly finished: Promise<void>;
  /** Returns what is held now, and the errors so far. */
  counts(): ControlCounts & { readonly connections: number };
  /** Ends streams, cancels chats, gives other answers 2 s to finish, and closes. */
  close(): Promise<void>;
}

const GRACE = 2000; // milliseconds for current answers to finish

/** Explains why an address cannot be listened on. Other errors are returned unchanged. */
function listenError(error: unknown, address: string): unknown {
  const why = error instanceof Deno.errors.AddrInUse
    ? "another program listens there, perhaps another run"
    : error instanceof Deno.errors.AddrNotAvailable
    ? "this machine has no such address"
    : error instanceof Deno.errors.PermissionDenied
    ? "the system lets only its administrator listen there"
    : undefined;
  if (why === undefined) return error;
  return new RangeError(
    `Cannot listen on ${address}: ${why}. Give another HOST:PORT (deno task train --serve HOST:PORT, deno task serve HOST:PORT); port 0 is any free one`,
    { cause: error },
  );
}

/** Tells whether only this machine can reach an address. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** Resolves to the answer, or to an empty one if the client has disconnected. A server does not close before its handlers return. */
async function unlessGone(answer: Promise<Response>, gone: AbortSignal): Promise<Response> {
  const left = Promise.withResolvers<Response>(), leave = () => left.resolve(new Response(null, { status: 503 }));
  gone.addEventListener("abort", leave);
  try {
    if (gone.aborted) leave();
    return await Promise.race([answer, left.promise]);
  } finally {
    gone.removeEventListener("abort", leave);
  }
}

/**
 * Serves a run over HTTP.
 *
 * @throws {RangeError} for an address that other machines can reach without a token of the caller's own, for an address where listening
 * fails, and for an invalid token.
 * @example
 * ```ts
 * import { RunController, serveControl } from "@kedge/kedge/control";
 * import { assertEquals } from "@std/assert";
 *
 * await using control = new RunController({ sets: [`runDir=${Deno.makeTempDirSync()}`] });
 * await using server = serveControl(control, { port: 0 });
 * const answer = await fetch(`${server.url}/v1/status`, { headers: { authorization: `Bearer ${server.token}` } });
 * assertEquals((await answer.json()).state, "idle");
 * ```
 */
export function serveControl(control: RunControl, options: ServeOptions = {}): ControlServer {
  const { hostname = "127.0.0.1", port = 8787, token: chosenToken, limits, ...rest } = options, made = chosenToken === undefined;
  const isLocal = isLoopback(hostname);
  if (!isLocal && made) {
    throw new RangeError(
      `Cannot listen on ${hostname}: other machines could reach it, so it needs your own token (--token); without one, listen on 127.0.0.1`,
    );
  }
  const token = made ? makeToken() : checkToken(chosenToken), bare = hostname.replace(/^\[(.*)\]$/, "$1");
  const hosts = isLocal ? [...new Set(["localhost", "127.0.0.1", "[::1]", ...(bare.startsWith("127.") ? [bare] : [])])] : undefined;
  const app = createApp(control, { ...rest, token, limits, hosts });
  let server: Deno.HttpServer<Deno.NetAddr>, gate: Gate;
  try {
    server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request, info) => handle(request, info));
  } catch (error) {
    app.close();
    throw error;
  }
  try {
    gate = new Gate({ hostname: bare, port, target: server.addr.port, limits: { ...LIMITS, ...limits } });
  } catch (error) {
    app.close();
    server.shutdown();
    throw listenError(error, `${hostname}:${port}`);
  }

  async function handle(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response> {
    const connection = gate.connection(info.remoteAddr.port);
    if (!connection) return new ApiError(421, "Cannot answer on this port").response();
    info.completed.catch(() => {}).finally(connection.begin());
    const { address, gone, isKnown } = connection, caller = { address, gone, isKnown, admit: () => gate.admit(connection) };
    const response = await unlessGone(app.fetch(request, caller), gone);
    // The server would wait for the rest of a cancelled body, and a refused client must not keep its connection.
    if (response.status === 408 || response.status === 413 || response.status === 503 && !connection.isKnown) connection.hurry();
    return response;
  }

  async function end(): Promise<void> {
    gate.stop();
    app.close();
    const timer = setTimeout(() => gate.close(), GRACE);
    await server.shutdown();
    // The gate still holds bytes that the server has written.
    await gate.drained();
    clearTimeout(timer);
    await gate.close();
  }

  const closed = Promise.withResolvers<void>();
  let closing: Promise<void> | undefined;
  const close = () => closing ??= end().then(closed.resolve, closed.reject);
  return {
    url: `http://${bare.includes(":") ? `[${bare}]` : bare}:${gate.port}`,
    token,
    made,
    finished: closed.promise,
    counts: () => ({ ...app.counts(), connections: gate.size }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
