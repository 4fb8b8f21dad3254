/**
 * What stands before `Deno.serve`, which has no bound on connections, none on the time of a request's header, and none on a connection without a request, and
 * whose requests cannot tell that their client has gone.
 *
 * @module
 */
import { Connection, type Patience } from "./connection.ts";
import type { Limits } from "./options.ts";

/** What a gate is bounded by. */
export type GateLimits = Patience & Pick<Limits, "connections" | "addressConnections" | "strangers" | "addressStrangers">;

/**
 * Accepts connections and carries their bytes to a server on this machine.
 *
 * A connection is a stranger until a request with the right token came on it. Strangers have places of their own, so that they take none from who has the token;
 * and a new one is always let in, where all places are taken instead of the oldest of the address that has the most. So whoever asks at once is answered,
 * however many wait. Of the others one that has no request under way makes room.
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

  /** @param options Where to listen; `target`: the server's port on 127.0.0.1. */
  constructor(options: { hostname: string; port: number; target: number; limits: GateLimits }) {
    const { hostname, port, target, limits } = options;
    this.#listener = Deno.listen({ hostname, port });
    this.#target = target;
    this.#limits = limits;
    this.#sweepInterval = Math.min(500, Math.max(20, Math.min(limits.idle, limits.header) / 4));
    this.#timer = setInterval(() => this.#sweep(), this.#sweepInterval);
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
    return this.#byPort.get(port);
  }

  /** Takes a connection on which the right token came for known, if there is room. @returns Whether there was. */
  admit(connection: Connection): boolean {
    if (connection.isKnown) return true;
    const { connections, strangers, addressConnections } = this.#limits, known = [...this.#connections].filter(({ isKnown }) => isKnown);
    const own = known.filter(({ address }) => address === connection.address);
    const crowd = own.length >= addressConnections ? own : known.length >= connections - strangers ? known : undefined;
    if (crowd) {
      const [idlest] = crowd.filter(({ idleSince }) => idleSince !== undefined).sort((a, b) => a.idleSince! - b.idleSince!);
      if (!idlest) return false;
      this.#drop(idlest);
    }
    connection.know();
    return true;
  }

  /** Accepts no more. */
  stop(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#listener.close();
  }

  /** Resolves when the connections that are there have ended by themselves. */
  async drained(): Promise<void> {
    // One without a request has nothing to end.
    for (const connection of this.#connections) if (!connection.isUsed) this.#drop(connection);
    await Promise.all(this.#running);
  }

  /** Ends all connections. */
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
        // Closed; or out of file descriptors, which the sweep brings back.
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

  /** Sends a stranger away where one more would be too many. */
  #makeRoom(address: string): void {
    const strangers = [...this.#connections].filter(({ isKnown }) => !isKnown), counts = new Map<string, number>();
    for (const { address } of strangers) counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values()), isOwn = (counts.get(address) ?? 0) >= this.#limits.addressStrangers;
    if (!isOwn && strangers.length < this.#limits.strangers) return;
    const oldest = strangers.find((each) => isOwn ? each.address === address : counts.get(each.address) === most);
    if (oldest) this.#drop(oldest);
  }

  /** Ends a connection; its place is free at once. */
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
