/**
 * Exchanges lines of JSON between two processes of this machine: the training process and the serving process.
 *
 * @module
 */
import { callCommand, type CommandName } from "../../actors/run_commands.ts";
import { type PlainError, toPlain } from "../../actors/runtime/protocol.ts";
import type { ChatPiece, ChatRequest, RunControl, RunEvent } from "../../actors/run_control.ts";

/** The methods that the serving process can call. */
export type AskedMethod = "status" | "start" | "chat" | CommandName;

/** The messages of the connection. */
export type LinkMessage =
  | { readonly kind: "hello"; readonly secret: string }
  | { readonly kind: "ask"; readonly id: number; readonly method: AskedMethod; readonly argument?: unknown }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "piece"; readonly id: number; readonly piece: ChatPiece }
  | { readonly kind: "answer"; readonly id: number; readonly value: Awaited<ReturnType<RunControl[AskedMethod]>> }
  | { readonly kind: "refusal"; readonly id: number; readonly error: PlainError }
  | { readonly kind: "event"; readonly event: RunEvent };

const BYTES = "base64 of bytes";

/** Encodes a message as a line. Bytes, such as those of pictures, become base64. */
export function lineOf(message: LinkMessage): string {
  const plain = (_: string, value: unknown) => value instanceof Uint8Array ? { [BYTES]: value.toBase64() } : value;
  return `${JSON.stringify(message, plain)}\n`;
}

/** Decodes the message of a line. */
export function messageOf(line: string): LinkMessage {
  return JSON.parse(line, (_, value) => typeof value?.[BYTES] === "string" ? Uint8Array.fromBase64(value[BYTES]) : value);
}

/** One end of the connection. */
export class Channel implements Disposable {
  readonly #connection: Deno.Conn;
  #writing: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @param connection The connection. The channel owns it from now on. */
  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Sends a message after the earlier ones. If the other end has closed, it does nothing; `messages` then ends. */
  send(message: LinkMessage): void {
    const bytes = new TextEncoder().encode(lineOf(message));
    this.#writing = this.#writing.then(async () => {
      // deno-lint-ignore no-await-in-loop -- until all is written
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
    }).catch(() => this[Symbol.dispose]());
  }

  /** Yields the messages that arrive, until one end closes. */
  async *messages(): AsyncGenerator<LinkMessage> {
    const decoder = new TextDecoder(), buffer = new Uint8Array(64 * 1024);
    let text = "";
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- in their order
      const read = await this.#connection.read(buffer).catch(() => null);
      if (read === null) return;
      const lines = (text + decoder.decode(buffer.subarray(0, read), { stream: true })).split("\n");
      text = lines.pop()!;
      for (const line of lines) yield messageOf(line);
    }
  }

  /** Closes the channel. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.close();
  }
}

type Ask = Extract<LinkMessage, { kind: "ask" }>;

/**
 * Answers the requests of the process at the other end, and sends it the run's events, until the channel ends.
 *
 * @param secret The secret that identifies this process to the other one.
 */
export async function answerOver(channel: Channel, { control, secret }: { control: RunControl; secret: string }): Promise<void> {
  const cancels = new Map<number, AbortController>();
  channel.send({ kind: "hello", secret });
  const unlisten = control.listen((event) => channel.send({ kind: "event", event }));

  const answer = async ({ id, method, argument }: Ask) => {
    const cancel = new AbortController();
    cancels.set(id, cancel);
    try {
      const onPiece = (piece: ChatPiece) => channel.send({ kind: "piece", id, piece });
      const value = await (method === "chat"
        ? control.chat(argument as ChatRequest, { signal: cancel.signal, onPiece })
        : method === "status" || method === "start"
        ? control[method]()
        : callCommand(control, method, argument as never));
      channel.send({ kind: "answer", id, value });
    } catch (error) {
      channel.send({ kind: "refusal", id, error: toPlain(error) });
    } finally {
      cancels.delete(id);
    }
  };

  try {
    for await (const message of channel.messages()) {
      if (message.kind === "ask") void answer(message);
      else if (message.kind === "cancel") cancels.get(message.id)?.abort();
    }
  } finally {
    unlisten();
    for (const cancel of cancels.values()) cancel.abort(); // their results are not needed any more
    channel[Symbol.dispose]();
  }
}
