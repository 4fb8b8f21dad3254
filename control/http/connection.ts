/** Milliseconds that a connection may take over something. */
export interface Patience {
  /** For a request's header, from the connection's start or from the header's first byte. */
  readonly header: number;
  /** Without a request, after one; and for 64 KiB of an answer to be taken. */
  readonly idle: number;
}

/** A client's connection: bytes from outside, which are carried to a server on this machine, and back. */
export class Connection {
  /** What the client is bounded by: see {@linkcode addressOf}. */
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

  /** Fires when the client has gone, or was sent away. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Whether a request with the right token came on it. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Whether anything came on it. */
  get isUsed(): boolean {
    return this.#inner !== undefined;
  }

  /** Since when it has had no request under way; undefined while it has one. */
  get idleSince(): number | undefined {
    return this.#requests === 0 ? this.#idleSince : undefined;
  }

  /** A request with the right token came on it. */
  know(): void {
    this.#isKnown = true;
  }

  /** A request begins on it. @returns Ends it. */
  begin(): () => void {
    this.#requests++;
    this.#headerSince = undefined;
    return () => {
      this.#requests--;
      this.#idleSince = this.#clock();
    };
  }

  /** Lets it be open for no more than half a second after the request under way: what else comes on it is of no use. */
  hurry(): void {
    this.#hurriedSince ??= this.#clock();
  }

  /** Whether it takes too long over a header, an answer, or nothing. */
  isLate({ header, idle }: Patience): boolean {
    const now = this.#clock(), over = (since: number | undefined, most: number) => since !== undefined && now - since > most;
    return over(this.#writingSince, idle) ||
      this.#requests === 0 && (over(this.#idleSince, idle) || over(this.#headerSince, header) || over(this.#hurriedSince, 500));
  }

  /**
   * Carries bytes both ways until either side ends. Nothing is opened inside before the first byte comes.
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
      // It was closed or reset, here or there: the connection is over either way.
    } finally {
      this.close();
    }
  }

  /** Ends both sides. */
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
      // The time is that of the whole piece: who takes a byte now and then is late too.
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
 * What a client is counted by: its IPv4 address, or the first 64 bits of its IPv6 address, of which one machine has all the rest.
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
