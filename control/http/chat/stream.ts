import type { ChatPiece, ChatReply } from "../../../actors/run_control.ts";
import type { ApiError } from "../api_error.ts";
import { Chunks, type Envelope } from "./answer.ts";

const encoder = new TextEncoder(), MOST = 16 * 1024 * 1024; // the number of bytes that a client may leave unread

/** How to stream an answer. */
export interface StreamOptions {
  /** Whether the usage is sent at the end. */
  readonly usage: boolean;
  readonly n: number;
  /** Cancels the answer. */
  readonly abort: () => void;
  /** Translates an error for the client. */
  readonly refusal: (error: unknown) => ApiError;
}

/**
 * Streams an answer as server-sent events. Pieces are queued, so that their producer never waits for the client. A client that leaves too
 * much unread is disconnected.
 */
export class ChatStream {
  readonly #chunks: Chunks;
  readonly #options: StreamOptions;
  readonly #stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #started = Promise.withResolvers<void>();
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  #state: "waiting" | "open" | "ended" = "waiting";

  constructor(envelope: Envelope, options: StreamOptions) {
    this.#chunks = new Chunks(envelope, options);
    this.#options = options;
    this.#stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#state = "ended";
        options.abort();
      },
    }, { highWaterMark: MOST, size: ({ length }) => length });
  }

  /** Returns the stream when the first piece is available. Until then, an error becomes an answer of its own. */
  async begun(reply: Promise<ChatReply>): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    await Promise.race([this.#started.promise, reply.then((whole) => this.#finish(whole))]);
    reply.then((whole) => this.#finish(whole)).catch((error) => this.#fail(error));
    return this.#stream;
  }

  /** Adds a piece. */
  readonly piece = (piece: ChatPiece): void => {
    this.#open();
    const chunk = this.#chunks.piece(piece);
    if (chunk) this.#send(chunk);
  };

  #open(): void {
    if (this.#state !== "waiting") return;
    this.#state = "open";
    for (let i = 0; i < this.#options.n; i++) this.#send(this.#chunks.role(i));
    this.#started.resolve();
  }

  #finish(reply: ChatReply): void {
    if (this.#state === "ended") return;
    const ends = this.#chunks.ends(reply);
    this.#open();
    for (const chunk of ends) this.#send(chunk);
    if (this.#options.usage) this.#send(this.#chunks.usage(reply));
    this.#write("[DONE]");
    this.#end();
  }

  #fail(error: unknown): void {
    if (this.#state === "ended") return;
    this.#send(this.#options.refusal(error).body());
    this.#end();
  }

  #send(data: unknown): void {
    this.#write(JSON.stringify(data));
  }

  #write(data: string): void {
    if (this.#state === "ended") return;
    this.#controller.enqueue(encoder.encode(`data: ${data}\n\n`));
    if (this.#controller.desiredSize! > 0) return;
    this.#state = "ended";
    this.#controller.error(new Error("Cannot keep up: the client reads too slowly"));
    this.#options.abort();
  }

  #end(): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#controller.close();
  }
}
