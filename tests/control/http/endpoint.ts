import { type ControlServer, serveControl } from "../../../control/http/serve.ts";
import type { ServeOptions } from "../../../control/http/options.ts";
import type { RunState } from "../../../actors/run_control.ts";
import { FakeRun } from "./fake_run.ts";

/** Waits until a condition holds. */
export async function until(isSo: () => boolean, options: { within?: number; what: string }): Promise<void> {
  const { within = 5000, what } = options, end = performance.now() + within;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`Cannot wait any longer: ${what} did not happen within ${within} ms`);
    // deno-lint-ignore no-await-in-loop -- a pause
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A fake run behind a real endpoint. */
export interface Endpoint extends AsyncDisposable {
  readonly run: FakeRun;
  readonly server: ControlServer;
  /** The unexpected errors so far. */
  readonly surprises: unknown[];
  /** Sends a request with the token, unless headers replace it. */
  ask(path: string, init?: RequestInit): Promise<Response>;
  /** Sends a request with a JSON body. */
  send(method: string, path: string, body: unknown): Promise<Response>;
}

/** Opens an endpoint on a free port. It accepts any number of requests, unless options limit them. */
export function endpoint(options: ServeOptions & { state?: RunState } = {}): Endpoint {
  const { state = "running", ...rest } = options, run = new FakeRun(state), surprises: unknown[] = [];
  const rate = { perSecond: 1e6, burst: 1e6 };
  const server = serveControl(run, { port: 0, rate, onUnexpected: (error) => surprises.push(error), ...rest });
  const ask: Endpoint["ask"] = (path, init = {}) => {
    const headers = new Headers(init.headers);
    if (!headers.has("authorization")) headers.set("authorization", `Bearer ${server.token}`);
    return fetch(server.url + path, { ...init, headers });
  };
  return {
    run,
    server,
    surprises,
    ask,
    send: (method, path, body) => ask(path, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** Sends bytes on a new connection, and returns the answer's bytes until the connection ends or the time is over. */
export async function raw(
  url: string,
  options: { text: string | Uint8Array; time?: number },
): Promise<{ answer: string; ended: boolean; ms: number }> {
  const { text, time = 3000 } = options, { hostname, port } = new URL(url), start = performance.now();
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const buffer = new Uint8Array(65536), decoder = new TextDecoder();
  let answer = "", ended = true;
  const timer = setTimeout(() => {
    ended = false;
    connection.close();
  }, time);
  try {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    // deno-lint-ignore no-await-in-loop -- bytes in their order
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- bytes in their order
      const read = await connection.read(buffer);
      if (read === null) break;
      answer += decoder.decode(buffer.subarray(0, read), { stream: true });
    }
  } catch {
    // The connection was reset, or closed by the timer.
  }
  clearTimeout(timer);
  if (ended) connection.close();
  return { answer, ended, ms: performance.now() - start };
}
