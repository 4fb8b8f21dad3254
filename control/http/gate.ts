/**
 * Stands in front of `Deno.serve`. `Deno.serve` does not limit connections, the time for a request's header, or connections without a
 * request, and its requests cannot tell that their client has disconnected.
 *
 * @module
 */
import { Connection, type Patience } from "./connection.ts";
import type { Limits } from "./options.ts";

/** The limits of a gate. */
export type GateLimits = Patience & Pick<Limits, "connections" | "addressConnections" | "strangers" | "addressStrangers">;

/**
 * Accepts connections and forwards their bytes to a server on this machine.
 *
 * A connection is a stranger until a request with the right token has arrived on it. Strangers have their own limit, so that they do not
 * use up the connections of clients with the token. A new stranger is always accepted. If the limit is reached, the oldest stranger of the
 * address with the most connections is dropped, so that a new client is answered at once, however many wait. If known connections reach
 * their limit, one without a request is dropped.
 */
export class Gate {
  readonly #listener: Deno.TcpListener;
  readonly #target: number;
  readonly #limits: GateLimits;
  readonly #connections = new Set<Connection>(); // oldest first
  readonly #byPort = new Map<number, Connection>(); // by the port that the server sees
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #sweepInterval: number;
  #lastSweep: number = performance.now();
  /** Milliseconds in which this process could serve. */
  #served = 0;
  readonly #running = new Set<Promise<void>>();
  #isOpen = true;
  readonly #accepting: Promise<void>;

  /** @param options The address to listen on. `target` is the server's port on 127.0.0.1. */
  constructor(options: { hostname: string; port: number; target: number; limits: GateLimits }) {
    const { hostname, port, target, limits } = options;
    this.#listener = Deno.listen({ hostname, port });
    this.#target = target;
    this.#limits = limits;
    this.#sweepInterval = Math.min(500, Math.max(20, Math.min(limits.idle, limits.header) / 4));
    this.#timer = setInterval(() => this.#sweep(), this.#sweepInterval);
    this.#accepting = this.#accept();
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#listener.addr.port;
  }

  /** The number of open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Returns the connection that the server sees as this port; undefined if it did not pass through this gate. */
  connection(port: number): Connection | undefined {
    return this.#byPort.get(port);
  }

  /** Counts a connection as known, after a request with the right token, if the limits permit. @returns Whether they do. */
  admit(connection: Connection): boolean {
    if (connection.isKnown) return true;
    const { connections, strangers, addressConnections } = this.#limits,
      authorised = [...this.#connections].filter(({ isKnown }) => isKnown);
    const sameAddress = authorised.filter(({ address }) => address === connection.address);
    const crowd = sameAddress.length >= addressConnections
      ? sameAddress
      : authorised.length >= connections - strangers
      ? authorised
      : undefined;
    if (crowd) {
      const [idlest] = crowd.filter(({ idleSince }) => idleSince !== undefined).sort((a, b) => a.idleSince! - b.idleSince!);
      if (!idlest) return false;
      this.#drop(idlest);
    }
    connection.know();
    return true;
  }

  /** Accepts no more connections. */
  stop(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#listener.close();
  }

  /** Resolves when the open connections have ended by themselves. */
  async drained(): Promise<void> {
    // A connection without a request has nothing to finish.
    for (const connection of this.#connections) if (!connection.isUsed) this.#drop(connection);
    await Promise.all(this.#running);
  }

  /** Closes all connections. */
  async close(): Promise<void> {
    this.stop();
    clearInterval(this.#timer);
    await this.#accepting;
    for (const connection of this.#connections) this.#drop(connection);
    await Promise.all(this.#running);
  }

  async #accept(): Promise<void> {
    while (this.#isOpen) {
      try {
        // deno-lint-ignore no-await-in-loop -- one after the other
        const outer = await this.#listener.accept();
        const running = this.#serve(outer).finally(() => this.#running.delete(running));
        this.#running.add(running);
      } catch {
        // The listener is closed, or file descriptors ran out; the sweep frees some.
        // deno-lint-ignore no-await-in-loop -- a pause
        if (this.#isOpen) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async #serve(outer: Deno.TcpConn): Promise<void> {
    const connection = new Connection(outer, () => this.#now());
    this.#makeRoom(connection.address);
    this.#connections.add(connection);
    let port: number | undefined;
    await connection.run(async () => {
      outer.setNoDelay();
      const inner = await Deno.connect({ hostname: "127.0.0.1", port: this.#target });
      inner.setNoDelay();
      this.#byPort.set(port = inner.localAddr.port, connection);
      return inner;
    });
    this.#connections.delete(connection);
    if (port !== undefined) this.#byPort.delete(port);
  }

  /** Drops a stranger if one more would exceed the limit. */
  #makeRoom(address: string): void {
    const strangers = [...this.#connections].filter(({ isKnown }) => !isKnown), counts = new Map<string, number>();
    for (const { address } of strangers) counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values()), isOwn = (counts.get(address) ?? 0) >= this.#limits.addressStrangers;
    if (!isOwn && strangers.length < this.#limits.strangers) return;
    const oldest = strangers.find((each) => isOwn ? each.address === address : counts.get(each.address) === most);
    if (oldest) this.#drop(oldest);
  }

  /** Drops a connection. Its slot is free at once. */
  #drop(connection: Connection): void {
    this.#connections.delete(connection);
    connection.close();
  }

  /**
   * The clock of all deadlines. Between two sweeps it goes on by two intervals at most: where this process got no processor, or was stopped, the bytes of its clients
   * wait unread, and no client is late for that.
   */
  #now(): number {
    return this.#served + Math.min(performance.now() - this.#lastSweep, 2 * this.#sweepInterval);
  }

  #sweep(): void {
    this.#served = this.#now();
    this.#lastSweep = performance.now();
    for (const connection of this.#connections) if (connection.isLate(this.#limits)) this.#drop(connection);
  }
}
