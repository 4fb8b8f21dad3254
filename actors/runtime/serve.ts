/**
 * The actor's own side: its thread, its mailbox, its loop.
 *
 * @module
 */
import type { OwnerId } from "../../tensor/owner.ts";
import type { TensorHandle } from "../../tensor/handle.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Mailbox } from "./mailbox.ts";
import { Peer } from "./peer.ts";
import { ActorMemory, Carrier, RequestTensors } from "./actor_memory.ts";
import { type Envelope, type Message, type Notice, type Order, toPlain } from "./protocol.ts";

/** What a handler is given beside its message. */
export interface Turn {
  /** Takes up a tensor that was moved here. */
  receive(handle: TensorHandle): Tensor;
  /** Takes up a tensor that was lent; it goes back with the reply. */
  borrow(handle: TensorHandle): Tensor;
  /** Moves a tensor to the one who asked, in the reply. */
  move(tensor: Tensor): TensorHandle;
  /** Tells the one who asked a part of the answer, before the reply. */
  tell(part: unknown): void;
  /** Whether the request was cancelled: a shared flag, true at once. */
  cancelled(): boolean;
}

/** What an actor is made of. */
export interface Behaviour<M extends Message> {
  /** Answers a message. What it throws is the answer then, and the actor lives on. */
  handle(message: M, turn: Turn): unknown;
  /** Another actor that it may ask from now on. */
  connect?(name: string, peer: (memory: ActorMemory) => Peer<Message, Record<string, unknown>>): void;
  /** Frees what it holds, before its thread ends. */
  close?(): void | Promise<void>;
}

/** What an actor is started with. */
export interface Start<O> {
  /** Its devices and accounts. */
  readonly memory: ActorMemory;
  /** As of `SpawnOptions`. */
  readonly options: O;
  /** Tells all who are connected. */
  readonly emit: (event: unknown) => void;
}

interface Letter {
  readonly port: MessagePort;
  readonly from: OwnerId;
  readonly id: number;
  readonly body: Message;
  readonly lent: readonly TensorHandle[];
  readonly flag: Int32Array | undefined;
  cancelled: boolean;
}

/** How an actor reads its mail. */
export interface ServeOptions {
  /** Messages that may wait. Default 64. */
  capacity?: number;
  /** Whether a message is answered while an earlier one still is; default one after the other. */
  concurrent?: boolean;
}

const worker = self as unknown as {
  onmessage: ((event: MessageEvent<Order>) => void) | null;
  postMessage(message: Notice): void;
  close(): void;
};

/**
 * Makes this worker an actor. Call it once, at the top of the worker's module.
 *
 * @param make Makes the actor, once, on its own thread.
 *
 * @example
 * ```ts
 * import { Actor, ActorMemory } from "@kedge/kedge/actors";
 * import { CpuDevice, openOwner } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * // A worker's module: `serveActor(({ options }) => ({ handle: ({ x }) => options.factor * x }));`
 * const source = `import { serveActor } from "${import.meta.resolve("@kedge/kedge/actors")}";
 * serveActor(({ options }) => ({ handle: ({ x }) => options.factor * x }));`;
 *
 * using device = CpuDevice.open();
 * using memory = new ActorMemory(openOwner(device), { device: "cpu" });
 * const module = new URL(`data:application/javascript,${encodeURIComponent(source)}`);
 * const actor = await Actor.spawn<{ type: "scale"; x: number }, { scale: number }>(memory, {
 *   name: "scaler",
 *   module,
 *   device: "cpu",
 *   options: { factor: 3 },
 * });
 * assertEquals(await actor.peer.request(() => ({ type: "scale", x: 14 })), 42);
 * await actor.close();
 * ```
 */
export function serveActor<M extends Message, O>(
  make: (start: Start<O>) => Behaviour<M> | Promise<Behaviour<M>>,
  options: ServeOptions = {},
): void {
  const mailbox = new Mailbox<Letter>(options.capacity ?? 64), ports = new Set<MessagePort>();
  const waiting = new Map<MessagePort, Map<number, Letter>>();
  let memory: ActorMemory | undefined, behaviour: Behaviour<M> | undefined;
  const later: Order[] = [];

  const answer = async (letter: Letter) => {
    const { port, id, body, from, flag } = letter, tensors = new RequestTensors(memory!, letter.lent), carrier = new Carrier(memory!, from);
    const turn: Turn = {
      receive: (handle) => tensors.receive(handle),
      borrow: (handle) => tensors.borrow(handle),
      move: (tensor) => carrier.move(tensor),
      tell: (part) => port.postMessage({ kind: "part", id, body: part } satisfies Envelope),
      cancelled: () => letter.cancelled || (flag !== undefined && Atomics.load(flag, 0) !== 0),
    };
    let reply: Envelope;
    try {
      const result = await behaviour!.handle(body as M, turn);
      reply = { kind: "reply", id, body: result, returns: tensors.clear() };
    } catch (error) {
      reply = { kind: "failure", id, error: toPlain(error), returns: tensors.clear() };
    }
    waiting.get(port)?.delete(id);
    port.postMessage(reply);
  };

  const read = async () => {
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- one message after the other
      const letter = await mailbox.take();
      if (!letter) return;
      const answered = answer(letter);
      // deno-lint-ignore no-await-in-loop -- as above
      if (!options.concurrent) await answered;
    }
  };

  const connect = (port: MessagePort, from: OwnerId) => {
    ports.add(port);
    const letters = new Map<number, Letter>();
    waiting.set(port, letters);
    port.onmessage = ({ data }: MessageEvent<Envelope>) => {
      if (data.kind === "cancel") {
        const letter = letters.get(data.id);
        if (letter) letter.cancelled = true;
      }
      if (data.kind !== "request") return;
      const letter = {
        port,
        from,
        id: data.id,
        body: data.body,
        lent: data.lent,
        flag: data.flag && new Int32Array(data.flag),
        cancelled: false,
      };
      letters.set(data.id, letter);
      if (mailbox.put(letter)) return;
      letters.delete(data.id);
      const error = toPlain(
        new Error(`Cannot take the message "${data.body.type}": ${mailbox.closed ?? `${mailbox.capacity} wait already`}`),
      );
      port.postMessage({ kind: "failure", id: data.id, error, returns: [] } satisfies Envelope);
    };
  };

  const order = async (order: Order) => {
    if (order.kind === "start") {
      try {
        memory = new ActorMemory(order.owner, order);
        const emit = (body: unknown) => ports.forEach((port) => port.postMessage({ kind: "event", body } satisfies Envelope));
        behaviour = await make({ memory, options: order.options as O, emit });
        void read();
        worker.postMessage({ kind: "ready" });
        // deno-lint-ignore no-await-in-loop -- in order
        for (const early of later.splice(0)) await obey(early);
      } catch (error) {
        worker.postMessage({ kind: "failed", error: toPlain(error) });
      }
    } else if (!behaviour) later.push(order);
    else await obey(order);
  };

  const obey = async (order: Order) => {
    if (order.kind === "connect") {
      const { name, port, owner } = order;
      if (name === undefined) connect(port, owner);
      else {
        behaviour!.connect?.(name, (memory) => new Peer(name, port, owner, memory));
        worker.postMessage({ kind: "connected", name });
      }
    } else if (order.kind === "close") {
      mailbox.close("the actor is closing");
      let error: unknown;
      try {
        await behaviour!.close?.();
        memory![Symbol.dispose]();
      } catch (caught) {
        error = caught;
      }
      worker.postMessage({ kind: "closed", error: error === undefined ? undefined : toPlain(error) });
      for (const port of ports) port.close();
      worker.close();
    }
  };

  worker.onmessage = ({ data }) => void order(data);
}
