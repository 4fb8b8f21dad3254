/**
 * The actor's side of its thread: it takes orders of the supervisor and answers the requests of other actors.
 *
 * @module
 */
import type { OwnerId } from "../../tensor/owner.ts";
import type { TensorHandle } from "../../tensor/handle.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ActorMemory, Carrier, RequestTensors } from "./actor_memory.ts";
import { Mailbox } from "./mailbox.ts";
import { Peer } from "./peer.ts";
import { SpareThreads } from "./spare_threads.ts";
import { type Envelope, type Message, type Notice, type Order, toPlain } from "./protocol.ts";

/** The request that a handler answers: its tensors, its parts, its cancelling. */
export interface Turn {
  /** Takes up a tensor that was moved here. */
  receive(handle: TensorHandle): Tensor;
  /** Takes up a tensor that was lent. It goes back with the reply. */
  borrow(handle: TensorHandle): Tensor;
  /** Moves a tensor to the sender of the request, in the reply. */
  move(tensor: Tensor): TensorHandle;
  /** Sends a part of the answer before the reply. */
  tell(part: unknown): void;
  /** Returns whether the request was cancelled. A shared flag makes it true at once. */
  cancelled(): boolean;
}

/** An actor's behaviour. */
export interface Behaviour<M extends Message> {
  /** Answers a message. An error that it throws is sent as the answer, and the actor goes on. */
  handle(message: M, turn: Turn): unknown;
  /** Receives another actor that this one may ask from now on. */
  connect?(name: string, peer: (memory: ActorMemory) => Peer<Message, Record<string, unknown>>): void;
  /** Frees what the actor holds, before its thread ends. */
  close?(): void | Promise<void>;
}

/** The options that an actor is started with. */
export interface Start<O> {
  /** The actor's devices, and its tensors there. */
  readonly memory: ActorMemory;
  /** The options of `SpawnOptions`. */
  readonly options: O;
  /** Sends an event to all connected actors. */
  readonly emit: (event: unknown) => void;
  /** Threads of actors that this thread's actors have started and ended. They are kept as long as the thread. */
  readonly spares: SpareThreads;
}

/** A request that waits for its answer. */
interface QueuedRequest {
  readonly port: MessagePort;
  readonly from: OwnerId;
  readonly id: number;
  readonly body: Message;
  readonly lent: readonly TensorHandle[];
  readonly flag: Int32Array | undefined;
  cancelled: boolean;
}

/** How an actor reads its mailbox. */
export interface ServeOptions {
  /** The most messages that may wait. Default 64. */
  capacity?: number;
  /** Whether a message is answered while an earlier one still is. Default: one after the other. */
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
 * @param make Makes the actor. It is called on the actor's own thread: once, or once for each actor of a thread that is kept.
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
  const spares = new SpareThreads();
  let server: ActorServer<M, O> | undefined;
  worker.onmessage = ({ data }) => {
    if (data.kind === "start") server = new ActorServer(make, { ...options, spares });
    void server!.take(data);
  };
}

/** An actor at work on its thread. */
class ActorServer<M extends Message, O> {
  readonly #make: (start: Start<O>) => Behaviour<M> | Promise<Behaviour<M>>;
  readonly #isConcurrent: boolean;
  readonly #spares: SpareThreads;
  readonly #mailbox: Mailbox<QueuedRequest>;
  readonly #ports = new Set<MessagePort>();
  /** Requests that wait for their answers, by port and id. */
  readonly #queued = new Map<MessagePort, Map<number, QueuedRequest>>();
  /** Orders that came before the actor was made. */
  readonly #early: Order[] = [];
  #memory: ActorMemory | undefined;
  #behaviour: Behaviour<M> | undefined;

  constructor(
    make: (start: Start<O>) => Behaviour<M> | Promise<Behaviour<M>>,
    { capacity = 64, concurrent = false, spares }: ServeOptions & { spares: SpareThreads },
  ) {
    this.#make = make;
    this.#spares = spares;
    this.#isConcurrent = concurrent;
    this.#mailbox = new Mailbox(capacity);
  }

  /** Takes an order of the supervisor. */
  async take(order: Order): Promise<void> {
    if (order.kind === "start") return await this.#start(order);
    if (!this.#behaviour) this.#early.push(order);
    else await this.#obey(order);
  }

  async #start({ owner, device, threads, options }: Extract<Order, { kind: "start" }>): Promise<void> {
    try {
      const memory = this.#memory = new ActorMemory(owner, { device, threads });
      const emit = (body: unknown) => this.#ports.forEach((port) => port.postMessage({ kind: "event", body } satisfies Envelope));
      this.#behaviour = await this.#make({ memory, options: options as O, emit, spares: this.#spares });
      void this.#readMailbox();
      worker.postMessage({ kind: "ready" });
      // deno-lint-ignore no-await-in-loop -- in order
      for (const order of this.#early.splice(0)) await this.#obey(order);
    } catch (error) {
      worker.postMessage({ kind: "failed", error: toPlain(error) });
    }
  }

  async #obey(order: Order): Promise<void> {
    if (order.kind === "close") return await this.#close(order.keep);
    if (order.kind !== "connect") return;
    const { name, port, owner } = order;
    if (name === undefined) return this.#listen(port, owner);
    this.#behaviour!.connect?.(name, (memory) => new Peer(name, port, owner, memory));
    worker.postMessage({ kind: "connected", name });
  }

  async #close(keep: boolean): Promise<void> {
    this.#mailbox.close("the actor is closing");
    let error: unknown;
    try {
      await this.#behaviour!.close?.();
      this.#memory![Symbol.dispose]();
    } catch (caught) {
      error = caught;
    }
    for (const port of this.#ports) port.close();
    worker.postMessage({ kind: "closed", error: error === undefined ? undefined : toPlain(error) });
    if (!keep) worker.close();
  }

  /** Puts the requests of another actor into the mailbox. */
  #listen(port: MessagePort, from: OwnerId): void {
    const requests = new Map<number, QueuedRequest>();
    this.#ports.add(port);
    this.#queued.set(port, requests);
    port.onmessage = ({ data }: MessageEvent<Envelope>) => {
      if (data.kind === "cancel") {
        const request = requests.get(data.id);
        if (request) request.cancelled = true;
      }
      if (data.kind !== "request") return;
      const { id, body, lent } = data, flag = data.flag && new Int32Array(data.flag);
      const request = { port, from, id, body, lent, flag, cancelled: false };
      requests.set(id, request);
      if (this.#mailbox.put(request)) return;
      requests.delete(id);
      const { closed, capacity } = this.#mailbox;
      const error = toPlain(new Error(`Cannot take the message "${body.type}": ${closed ?? `${capacity} wait already`}`));
      port.postMessage({ kind: "failure", id, error, returns: [] } satisfies Envelope);
    };
  }

  async #readMailbox(): Promise<void> {
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- one message after the other
      const request = await this.#mailbox.take();
      if (!request) return;
      const answered = this.#answer(request);
      // deno-lint-ignore no-await-in-loop -- as above
      if (!this.#isConcurrent) await answered;
    }
  }

  async #answer(request: QueuedRequest): Promise<void> {
    const { port, id, body, from, flag } = request, memory = this.#memory!;
    const tensors = new RequestTensors(memory, request.lent), carrier = new Carrier(memory, from);
    const turn: Turn = {
      receive: (handle) => tensors.receive(handle),
      borrow: (handle) => tensors.borrow(handle),
      move: (tensor) => carrier.move(tensor),
      tell: (part) => port.postMessage({ kind: "part", id, body: part } satisfies Envelope),
      cancelled: () => request.cancelled || (flag !== undefined && Atomics.load(flag, 0) !== 0),
    };
    let reply: Envelope;
    try {
      const result = await this.#behaviour!.handle(body as M, turn);
      reply = { kind: "reply", id, body: result, returns: tensors.giveBack() };
    } catch (error) {
      reply = { kind: "failure", id, error: toPlain(error), returns: tensors.giveBack() };
    }
    this.#queued.get(port)?.delete(id);
    port.postMessage(reply);
  }
}
