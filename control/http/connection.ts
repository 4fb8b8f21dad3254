/** Time limits for a connection, in milliseconds. */
export interface Patience {
  /** The limit for a request's header, counted from the connection's start or the header's first byte. */
  readonly header: number;
  /** The limit for an open connection without a request, and for the client to read 64 KiB of an answer. */
  readonly idle: number;
}

/** A client's connection. Its bytes are forwarded to a server on this machine, and back. */
export class Connection {
  /** The address by which the client is limited: see {@linkcode addressOf}. */
  readonly address: string;
  readonly #outer: Deno.TcpConn;
  readonly #clock: () => number;
  readonly #gone = new AbortController();
  #inner: Deno.TcpConn | undefined;
  #isKnown = false;
  #requests = 0;
  #idleSince: number;
  #headerSince: number | undefined;
  #writingSince: number | undefined;
  #hurriedSince: number | undefined;

  /** @param clock The time in milliseconds by which the client is judged. It does not count time in which this process could not serve. */
  constructor(outer: Deno.TcpConn, clock: () => number) {
    this.#outer = outer;
    this.#clock = clock;
    this.#idleSince = this.#headerSince = clock();
    this.address = addressOf(outer.remoteAddr.hostname);
  }

  /** Aborts when the client has disconnected or was disconnected. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Whether a request with the right token has arrived on it. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Whether any byte has arrived on it. */
  get isUsed(): boolean {
    return this.#inner !== undefined;
  }

  /** The time since which it has no request; undefined during a request. */
  get idleSince(): number | undefined {
    return this.#requests === 0 ? this.#idleSince : undefined;
  }

  /** Notes that a request with the right token has arrived. */
  know(): void {
    this.#isKnown = true;
  }

  /** Notes that a request begins. @returns A function that notes its end. */
  begin(): () => void {
    this.#requests++;
    this.#headerSince = undefined;
    return () => {
      this.#requests--;
      this.#idleSince = this.#clock();
    };
  }

  /** Closes the connection within half a second after the current request, because what else arrives on it is useless. */
  hurry(): void {
    this.#hurriedSince ??= this.#clock();
  }

  /** Tells whether it exceeds the time limit for a header, for an answer, or without a request. */
  isLate({ header, idle }: Patience): boolean {
    const now = this.#clock(), over = (since: number | undefined, most: number) => since !== undefined && now - since > most;
    return over(this.#writingSince, idle) ||
      this.#requests === 0 && (over(this.#idleSince, idle) || over(this.#headerSince, header) || over(this.#hurriedSince, 500));
  }

  /**
   * Forwards bytes both ways until one side ends. The server is contacted only when the first byte arrives.
   *
   * @param open Connects to the server.
   */
  async run(open: () => Promise<Deno.TcpConn>): Promise<void> {
    try {
      const buffer = new Uint8Array(64 * 1024), read = await this.#outer.read(buffer);
      if (read === null || this.gone.aborted) return;
      const inner = this.#inner = await open();
      if (this.gone.aborted) return inner.close();
      await Promise.race([this.#request(inner, { buffer, read }), this.#answer(inner)]);
    } catch {
      // Either side closed or reset the connection.
    } finally {
      this.close();
    }
  }

  /** Closes both sides. */
  close(): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    this.#outer.close();
    this.#inner?.close();
  }

  async #request(inner: Deno.TcpConn, first: { buffer: Uint8Array; read: number }): Promise<void> {
    const { buffer } = first;
    for (let read: number | null = first.read; read !== null;) {
      if (this.#requests === 0) this.#headerSince ??= this.#clock();
      // deno-lint-ignore no-await-in-loop -- bytes in their order
      await writeAll(inner, buffer.subarray(0, read));
      // deno-lint-ignore no-await-in-loop -- bytes in their order
      read = await this.#outer.read(buffer);
    }
  }

  async #answer(inner: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- bytes in their order
      const read = await inner.read(buffer);
      if (read === null) return;
      // The time limit applies to the whole piece, so that a client that reads single bytes is late too.
      this.#writingSince = this.#clock();
      // deno-lint-ignore no-await-in-loop -- bytes in their order
      await writeAll(this.#outer, buffer.subarray(0, read));
      this.#writingSince = undefined;
    }
  }
}

async function writeAll(to: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  // deno-lint-ignore no-await-in-loop -- until all is written
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

/**
 * Returns the address by which a client is counted: its IPv4 address, or the first 64 bits of its IPv6 address, because one machine usually
 * owns all the rest.
 *
 * @example
 * ```ts
 * import { addressOf } from "./connection.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(["192.0.2.7", "::ffff:192.0.2.7", "2001:db8:1:2:3:4:5:6", "2001:db8::6", "::1"].map(addressOf), [
 *   "192.0.2.7",
 *   "192.0.2.7",
 *   "2001:db8:1:2::/64",
 *   "2001:db8:0:0::/64",
 *   "0:0:0:0::/64",
 * ]);
 * ```
 */
export function addressOf(hostname: string): string {
  const [, mapped] = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(hostname) ?? [];
  if (mapped !== undefined) return mapped;
  if (!hostname.includes(":")) return hostname;
  const [head = "", tail] = hostname.split("%")[0]!.split("::"), groups = (part: string) => part === "" ? [] : part.split(":");
  const before = groups(head), after = tail === undefined ? [] : groups(tail);
  const all = [...before, ...Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => "0"), ...after];
  return `${all.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, "")).join(":")}::/64`;
}
