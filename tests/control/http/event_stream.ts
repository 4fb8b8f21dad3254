/** One event as a client reads it. */
export interface ReadEvent {
  readonly id: string | undefined;
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- JSON of the server
  readonly data: any;
}

/** Reads server-sent events from an answer. */
export class EventReader implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";
  /** The number of comments so far. */
  comments = 0;

  constructor(answer: Response) {
    this.#reader = answer.body!.getReader();
  }

  /** The next event; undefined at the end. */
  async next(): Promise<ReadEvent | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        // deno-lint-ignore no-await-in-loop -- bytes in their order
        const { value, done } = await this.#reader.read();
        if (done) return undefined;
        this.#text += this.#decoder.decode(value, { stream: true });
        continue;
      }
      const block = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      if (block.startsWith(":")) this.comments++;
      const field = (name: string) => new RegExp(`^${name}: ([^\\n]*)$`, "m").exec(block)?.[1];
      const data = field("data");
      if (data !== undefined) return { id: field("id"), event: field("event")!, data: JSON.parse(data) };
    }
  }

  /** Returns the next `count` events. */
  async take(count: number): Promise<ReadEvent[]> {
    const events: ReadEvent[] = [];
    while (events.length < count) {
      // deno-lint-ignore no-await-in-loop -- in their order
      const event = await this.next();
      if (!event) throw new Error(`Cannot read ${count} events: the stream ended after ${events.length}`);
      events.push(event);
    }
    return events;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }
}
