/**
 * What stands before `Deno.serve`, which has no bound on connections, none on the time of a request's header, and none on a connection without a request, and
 * whose requests cannot tell that their client has gone.
 *
 * @module
 */

/** A client's connection. */
export class Connection {
  /** The client's address. */
  readonly address: string;
  readonly #outer: Deno.TcpConn;
  readonly #inner: Deno.TcpConn;
  readonly #gone = new AbortController();
  #requests = 0;
  #idleSince: number;
  #writingSince: number | undefined;
  #patience = Infinity;

  constructor(outer: Deno.TcpConn, inner: Deno.TcpConn) {
    this.#outer = outer;
    this.#inner = inner;
    this.address = outer.remoteAddr.hostname;
    this.#idleSince = performance.now();
  }

  /** Fires when the client has gone, or was sent away. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** A request begins on it. @returns Ends it. */
  begin(): () => void {
    this.#requests++;
    return () => {
      this.#requests--;
      this.#idleSince = performance.now();
    };
  }

  /** Lets it be open for no more than half a second after the request under way: what else comes on it is of no use. */
  hurry(): void {
    this.#patience = 500;
  }

  /** Whether it has had no request under way, or an answer that is not read, for some milliseconds. */
  isIdle(since: number): boolean {
    const now = performance.now();
    return this.#requests === 0 && now - this.#idleSince > Math.min(since, this.#patience) ||
      this.#writingSince !== undefined && now - this.#writingSince > since;
  }

  /** Carries bytes both ways until either side ends. */
  async run(): Promise<void> {
    await Promise.race([this.#copy(this.#outer, this.#inner), this.#copy(this.#inner, this.#outer)]);
    this.close();
  }

  /** Ends both sides. */
  close(): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    this.#outer.close();
    this.#inner.close();
  }

  async #copy(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(64 * 1024), isAnswer = to === this.#outer;
    try {
      for (;;) {
        // deno-lint-ignore no-await-in-loop -- bytes in their order
        const read = await from.read(buffer);
        if (read === null) return;
        for (let at = 0; at < read;) {
          if (isAnswer) this.#writingSince = performance.now();
          // deno-lint-ignore no-await-in-loop -- bytes in their order
          at += await to.write(buffer.subarray(at, read));
          if (isAnswer) this.#writingSince = undefined;
        }
      }
    } catch {
      // It was closed or reset, here or there: the connection is over either way.
    }
  }
}

/** Accepts connections and carries their bytes to a server on this machine. */
export class Gate {
  readonly #listener: Deno.TcpListener;
  readonly #target: number;
  readonly #limits: { readonly connections: number; readonly idle: number };
  readonly #connections = new Map<number, Connection>(); // by the port that the server sees
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #running = new Set<Promise<void>>();
  #opening = 0;
  #isOpen = true;
  readonly #accepting: Promise<void>;

  /** @param options Where to listen; `target`: the server's port on 127.0.0.1. */
  constructor(options: { hostname: string; port: number; target: number; connections: number; idle: number }) {
    const { hostname, port, target, connections, idle } = options;
    this.#listener = Deno.listen({ hostname, port });
    this.#target = target;
    this.#limits = { connections, idle };
    this.#timer = setInterval(() => this.#sweep(), Math.min(500, Math.max(20, idle / 4)));
    this.#accepting = this.#accept();
  }

  /** The port. */
  get port(): number {
    return this.#listener.addr.port;
  }

  /** Connections that are there. */
  get size(): number {
    return this.#connections.size;
  }

  /** The connection that the server sees as this port; undefined for one that did not come through here. */
  connection(port: number): Connection | undefined {
    return this.#connections.get(port);
  }

  /** Accepts no more. */
  stop(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#listener.close();
  }

  /** Resolves when the connections that are there have ended by themselves. */
  async drained(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    this.stop();
    clearInterval(this.#timer);
    await this.#accepting;
    for (const connection of this.#connections.values()) connection.close();
    await Promise.all(this.#running);
  }

  async #accept(): Promise<void> {
    while (this.#isOpen) {
      try {
        // deno-lint-ignore no-await-in-loop -- one after the other
        const outer = await this.#listener.accept();
        const running = this.#serve(outer).catch(() => {}).finally(() => this.#running.delete(running));
        this.#running.add(running);
      } catch {
        // Closed; or out of file descriptors, which the sweep brings back.
        // deno-lint-ignore no-await-in-loop -- a pause
        if (this.#isOpen) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async #serve(outer: Deno.TcpConn): Promise<void> {
    if (this.#connections.size + this.#opening >= this.#limits.connections) return outer.close();
    this.#opening++;
    let inner: Deno.TcpConn;
    try {
      outer.setNoDelay();
      inner = await Deno.connect({ hostname: "127.0.0.1", port: this.#target });
      inner.setNoDelay();
    } catch (error) {
      outer.close();
      throw error;
    } finally {
      this.#opening--;
    }
    const port = inner.localAddr.port, connection = new Connection(outer, inner);
    this.#connections.set(port, connection);
    if (!this.#isOpen) connection.close();
    await connection.run();
    this.#connections.delete(port);
  }

  #sweep(): void {
    for (const connection of this.#connections.values()) {
      if (connection.isIdle(this.#limits.idle)) connection.close();
    }
  }
}
