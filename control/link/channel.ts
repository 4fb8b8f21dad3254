/**
 * Lines of JSON between two processes of this machine: the one that trains and the one that serves it.
 *
 * @module
 */
import { callCommand, type CommandName } from "../../actors/run_commands.ts";
import { type PlainError, toPlain } from "../../actors/runtime/protocol.ts";
import type { ChatPiece, ChatRequest, RunControl, RunEvent } from "../../actors/run_control.ts";

/** What the serving process asks for. */
export type AskedMethod = "status" | "start" | "chat" | CommandName;

/** What goes over the line. */
export type LinkMessage =
  | { readonly kind: "hello"; readonly secret: string }
  | { readonly kind: "ask"; readonly id: number; readonly method: AskedMethod; readonly argument?: unknown }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "piece"; readonly id: number; readonly piece: ChatPiece }
  | { readonly kind: "answer"; readonly id: number; readonly value: Awaited<ReturnType<RunControl[AskedMethod]>> }
  | { readonly kind: "refusal"; readonly id: number; readonly error: PlainError }
  | { readonly kind: "event"; readonly event: RunEvent };

const BYTES = "base64 of bytes";

/** A message as a line: bytes, as of pictures, as base64. */
export function lineOf(message: LinkMessage): string {
  const plain = (_: string, value: unknown) => value instanceof Uint8Array ? { [BYTES]: value.toBase64() } : value;
  return `${JSON.stringify(message, plain)}\n`;
}

/** The message of a line. */
export function messageOf(line: string): LinkMessage {
  return JSON.parse(line, (_, value) => typeof value?.[BYTES] === "string" ? Uint8Array.fromBase64(value[BYTES]) : value);
}

/** One end of the line. */
export class Channel implements Disposable {
  readonly #connection: Deno.Conn;
  #writing: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @param connection It is the channel's own from here on. */
  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Sends a message, after those before it; quiet where the other end has gone, which `messages` tells. */
  send(message: LinkMessage): void {
    const bytes = new TextEncoder().encode(lineOf(message));
    this.#writing = this.#writing.then(async () => {
      // deno-lint-ignore no-await-in-loop -- until all is written
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
    }).catch(() => this[Symbol.dispose]());
  }

  /** What comes, until either end closes. */
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

  /** Closes it. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.close();
  }
}

type Ask = Extract<LinkMessage, { kind: "ask" }>;

/**
 * Lets the process at the other end ask a run, and tells it what happens, until the channel ends.
 *
 * @param secret What the other end knows this one by.
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
    for (const cancel of cancels.values()) cancel.abort(); // nobody waits for them any more
    channel[Symbol.dispose]();
  }
}
