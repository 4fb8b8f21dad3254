// deno-lint-ignore-file no-console -- a process of a command
/**
 * The process that serves a run over HTTP. `cli/train.ts` starts it beside the training process, so that clients cost the training process
 * no disk, network or processor time. It may listen and read the run's directory, and nothing else. Its priority is lower than that of
 * training. The first line of its output is {@linkcode Serving} as JSON. It ends when its input closes.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Config } from "../../actors/config/types.ts";
import { dashboardPage } from "../../control/dashboard/page.ts";
import { isLoopback, serveControl } from "../../control/http/serve.ts";
import { endWithOwner, leaveToOwner } from "../../ffi/end_with_owner.ts";
import { Channel } from "../../control/link/channel.ts";
import { LinkedRun } from "../../control/link/linked_run.ts";
import { readRequest } from "./request.ts";

/** The request to serve a run. The token is in KEDGE_TOKEN, and the secret for the training process is in KEDGE_LINK. */
export interface ServeRequest {
  /** The run's, without what was tuned. */
  readonly config: Config;
  readonly hostname: string;
  readonly port: number;
  /** Whether the token was generated, so that the user has not chosen it. */
  readonly made: boolean;
  /** Origins of other pages that may send requests. */
  readonly corsOrigins: readonly string[];
}

/** The line that the process prints when it listens. */
export interface Serving {
  readonly url: string;
  /** The port on this machine that the training process connects to. */
  readonly linkPort: number;
}

const HELLO_TIME = 5000;
/** Milliseconds that clients have to finish at the end. */
const GRACE = 10_000;

/** Accepts the training process, which connects again after a restart. Other connections are closed. */
async function accept(listener: Deno.TcpListener, { run, secret }: { run: LinkedRun; secret: string }): Promise<void> {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  for await (const connection of listener) {
    connection.setNoDelay();
    const channel = new Channel(connection), timer = setTimeout(() => channel[Symbol.dispose](), HELLO_TIME);
    void (async () => {
      const messages = channel.messages(), { value: hello } = await messages.next();
      clearTimeout(timer);
      if (hello?.kind !== "hello" || !timingSafeEqual(digest(hello.secret), digest(secret))) return channel[Symbol.dispose]();
      await run.attach(channel, messages);
    })().catch(() => channel[Symbol.dispose]());
  }
}

async function serveRun(request: ServeRequest): Promise<void> {
  const { promise: ended, resolve: onEnd } = Promise.withResolvers<void>();
  leaveToOwner(); // the training process ends first, and then this one
  endWithOwner({ onEnd, grace: GRACE });
  const { config, hostname, port, made, corsOrigins } = request;
  const token = Deno.env.get("KEDGE_TOKEN")!, secret = Deno.env.get("KEDGE_LINK")!;
  const run = new LinkedRun(config);
  // Only this machine may use a generated token. For other addresses no token is passed, and serveControl refuses them.
  const tokenAllowed = !made || isLoopback(hostname);
  await using server = serveControl(run, { hostname, port, page: dashboardPage(), corsOrigins, ...(tokenAllowed && { token }) });
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(JSON.stringify({ url: server.url, linkPort: listener.addr.port } satisfies Serving));
  void accept(listener, { run, secret }).catch(() => {});
  await ended;
}

if (import.meta.main) {
  try {
    await serveRun(readRequest<ServeRequest>());
    Deno.exit(0);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
