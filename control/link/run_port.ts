import { toPlain } from "../../actors/runtime/protocol.ts";
import type { ChatRequest, RunControl } from "../../actors/run_control.ts";
import type { Channel, LinkMessage } from "./channel.ts";

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
      const value = await (method === "chat"
        ? control.chat(argument as ChatRequest, {
          signal: cancel.signal,
          onPiece: (piece) => channel.send({ kind: "piece", id, piece }),
        })
        : method === "tune"
        ? control.tune(argument as Readonly<Record<string, unknown>>)
        : control[method]());
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
