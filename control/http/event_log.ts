import type { RunEvent } from "../../actors/run_control.ts";
import type { Limits } from "./options.ts";

type Sizes = Pick<Limits, "ring" | "clients" | "addressClients" | "queueEvents" | "queueBytes" | "heartbeat">;

const encoder = new TextEncoder(), HEARTBEAT = encoder.encode(": still here\n\n");
const CHUNK = 64 * 1024; // the number of bytes that are passed on at once

/** Formats an event for the stream. JSON has no line breaks. */
function frame(event: string, data: unknown, id?: string): Uint8Array {
  return encoder.encode(`${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** A client with the events that it has not read yet. All clients share the frames. */
class Client {
  #first: Uint8Array[]; // the events that it missed; the ring limits their number
  #queue: Uint8Array[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;
  #end: "open" | "ended" | "gone" = "open";
  readonly #sizes: Sizes;
  readonly address: string | undefined;
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;

  constructor(
    first: readonly Uint8Array[],
    options: { sizes: Sizes; address: string | undefined; gone: (client: Client) => void },
  ) {
    this.#first = [...first];
    this.address = options.address;
    this.#sizes = options.sizes;
    this.stream = new ReadableStream({
      pull: async (controller) => {
        if (this.#end === "open" && this.#first.length + this.#queue.length === 0) {
          await new Promise<void>((resolve) => this.#wake = resolve);
        }
        if (this.#end === "gone") return;
        const chunk = this.#take();
        if (chunk.length > 0) controller.enqueue(chunk);
        if (this.#end === "ended" && this.#first.length + this.#queue.length === 0) controller.close();
      },
      cancel: () => {
        this.end("gone");
        options.gone(this);
      },
    }, { highWaterMark: 0 });
  }

  /** @returns False if the client is too far behind. */
  push(bytes: Uint8Array): boolean {
    if (this.#queue.length >= this.#sizes.queueEvents || this.#bytes + bytes.length > this.#sizes.queueBytes) return false;
    this.#queue.push(bytes);
    this.#bytes += bytes.length;
    this.#wake?.();
    return true;
  }

  /** "ended": ends after the queued events. "cut": ends at once. "gone": the client has disconnected. */
  end(how: "ended" | "cut" | "gone"): void {
    if (this.#end !== "open") return;
    this.#end = how === "cut" ? "ended" : how;
    if (how !== "ended") this.#first = this.#queue = [];
    this.#wake?.();
  }

  #take(): Uint8Array<ArrayBuffer> {
    const frames: Uint8Array[] = [];
    let bytes = 0;
    for (const from of [this.#first, this.#queue]) {
      while (from.length > 0 && (bytes === 0 || bytes + from[0]!.length <= CHUNK)) {
        const next = from.shift()!;
        bytes += next.length;
        if (from === this.#queue) this.#bytes -= next.length;
        frames.push(next);
      }
      if (from.length > 0) break;
    }
    const chunk = new Uint8Array(bytes);
    frames.reduce((at, each) => (chunk.set(each, at), at + each.length), 0);
    return chunk;
  }
}

/**
 * Sends a run's events to any number of clients. Each event is written once, kept in a ring for clients that reconnect, and queued for
 * connected clients. A client that is too far behind is disconnected. Nobody waits for it.
 */
export class EventLog {
  readonly #sizes: Sizes;
  readonly #epoch = crypto.getRandomValues(new Uint8Array(6)).toHex();
  readonly #clients = new Set<Client>();
  readonly #unlisten: () => void;
  #ring: Uint8Array[] = [];
  #last = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #cutOff = 0;
  #closed = false;

  /** @param listen The `listen` of a `RunControl`. */
  constructor(listen: (listener: (event: RunEvent) => void) => () => void, sizes: Sizes) {
    this.#sizes = sizes;
    this.#unlisten = listen((event) => this.#add(event));
  }

  /** The number of connected clients. */
  get clients(): number {
    return this.#clients.size;
  }

  /** The number of clients that were disconnected because they read too slowly, or because newer clients of their address arrived. */
  get cutOff(): number {
    return this.#cutOff;
  }

  /** Whether the number of clients is at its limit. */
  get isFull(): boolean {
    return this.#closed || this.#clients.size >= this.#sizes.clients;
  }

  /** The number of the last event. A client that asks for the status now and then joins after this number misses nothing. */
  get last(): number {
    return this.#last;
  }

  /**
   * Opens a new client's stream. The status comes first. Then come the events since `lastId`, or a `reset` if that id is no longer known,
   * or the events since the number `since`. Then come new events. If the client's address is at its limit, its oldest client is
   * disconnected, because it cannot be seen early whether that client still reads.
   */
  join(
    status: unknown,
    options: { since: number; lastId?: string | undefined; address?: string | undefined },
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { since, lastId, address } = options, first: Uint8Array[] = [encoder.encode("retry: 2000\n\n")];
    const start = lastId === undefined || lastId === "" ? since : this.#numberOf(lastId);
    if (start === undefined) {
      first.push(frame("status", status), frame("reset", {}, this.#id(since)));
    } else {
      first.push(frame("status", status, this.#id(start)));
    }
    const missed = this.#last - (start ?? since);
    if (missed > 0) first.push(...this.#ring.slice(-missed));
    const client = new Client(first, { sizes: this.#sizes, address, gone: (gone) => this.#drop(gone) });
    if (this.#closed) client.end("ended");
    else {
      const sameAddress = [...this.#clients].filter((each) => address !== undefined && each.address === address);
      if (sameAddress.length >= this.#sizes.addressClients) this.#cut(sameAddress[0]!);
      this.#clients.add(client);
      this.#timer ??= setInterval(() => this.#send(HEARTBEAT), this.#sizes.heartbeat);
    }
    return client.stream;
  }

  /** Ends all streams and stops listening. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unlisten();
    for (const client of this.#clients) {
      client.end("ended");
      this.#drop(client);
    }
  }

  #id(number: number): string {
    return `${this.#epoch}-${number}`;
  }

  /** Returns the number after an event's id, if all later events are in the ring. */
  #numberOf(id: string): number | undefined {
    const [, epoch, digits] = /^([0-9a-f]{12})-(\d{1,15})$/.exec(id) ?? [];
    const number = Number(digits);
    return epoch === this.#epoch && number <= this.#last && number >= this.#last - this.#ring.length ? number : undefined;
  }

  #add(event: RunEvent): void {
    const bytes = frame(event.kind, event.data, this.#id(this.#last + 1));
    this.#last++;
    this.#ring.push(bytes);
    if (this.#ring.length > this.#sizes.ring) this.#ring.shift();
    this.#send(bytes);
  }

  #send(bytes: Uint8Array): void {
    for (const client of this.#clients) {
      if (!client.push(bytes)) this.#cut(client);
    }
  }

  #cut(client: Client): void {
    this.#cutOff++;
    client.end("cut");
    this.#drop(client);
  }

  #drop(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
