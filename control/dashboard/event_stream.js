/** Reads server-sent events from a response. An EventSource cannot send a token. */

/** Parses events from text that arrives in pieces. */
export class EventParser {
  #rest = "";
  #id = "";
  #event = "";
  #data = [];
  /** The delay in milliseconds that the stream asks for before a client reconnects. @type {number | undefined} */
  retry;

  /** @param {string} text @returns {{ id: string, event: string, data: string }[]} The events that end in the text. */
  push(text) {
    // A carriage return at the end may be the first half of a line break.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => this.#take(line)).filter((event) => event !== undefined);
  }

  #take(line) {
    if (line === "") {
      const [data, event] = [this.#data, this.#event];
      [this.#data, this.#event] = [[], ""];
      return data.length === 0 ? undefined : { id: this.#id, event: event || "message", data: data.join("\n") };
    }
    const [, field, value] = line.match(/^([^:]*):? ?(.*)$/s);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return undefined;
  }
}

/** Yields the events of a response. `heard` is called for every piece that arrives, even for a comment. */
export async function* eventsOf(response, { parser = new EventParser(), heard = () => {} } = {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- a stream is read piece by piece
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Waits, unless the signal aborts. */
const rested = (milliseconds, signal) =>
  new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    signal.addEventListener("abort", over);
  });

/**
 * Follows a stream of events until `signal` aborts. When the stream ends or is silent for too long, it reconnects with the last event's id.
 * The delay grows with each attempt.
 *
 * @param open Opens the stream. It receives the last event's id, undefined at first, and a signal.
 * @param options `onEvent` receives each event. `onState` receives "connecting", "live", or "waiting" with the seconds. `first` and `most`
 * bound the milliseconds between attempts. After `silence` milliseconds without data the stream is closed.
 */
export const follow = async (open, { signal, onEvent, onState, first = 500, most = 15_000, silence = 40_000 }) => {
  let last, wait = first;
  while (!signal.aborted) {
    const quiet = new AbortController(), parser = new EventParser();
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => quiet.abort(), silence);
    };
    onState("connecting");
    try {
      heard();
      // deno-lint-ignore no-await-in-loop -- one try after the other
      const response = await open(last, AbortSignal.any([signal, quiet.signal]));
      onState("live");
      for await (const event of eventsOf(response, { parser, heard })) {
        if (event.id !== "") last = event.id;
        wait = first;
        onEvent(event);
      }
    } catch (error) {
      if (error.status === 401 || signal.aborted) return;
    } finally {
      clearTimeout(timer);
    }
    wait = Math.max(wait, parser.retry ?? 0);
    onState("waiting", wait / 1000);
    // deno-lint-ignore no-await-in-loop -- one try after the other
    await rested(wait, signal);
    wait = Math.min(most, wait * 2);
  }
};
