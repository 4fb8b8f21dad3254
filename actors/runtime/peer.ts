import { KedgeError } from "../../ffi/errors.ts";
import type { OwnerId } from "../../tensor/owner.ts";
import { type ActorMemory, Carrier } from "./actor_memory.ts";
import { type Envelope, fromPlain, type Message } from "./protocol.ts";

interface Pending {
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly carrier: Carrier;
  readonly flag: Int32Array | undefined;
  readonly onPart: ((part: unknown) => void) | undefined;
  readonly done: () => void;
}

/** Options of a request. */
export interface RequestOptions {
  /** Cancels the request. The actor sees a shared flag at once, and a message later. The reply, or its error, still comes. */
  signal?: AbortSignal;
  /** Receives the parts of the answer as they come, all of them before the reply. */
  onPart?: (part: unknown) => void;
}

/**
 * Another actor, as this one sees it. Requests and replies carry tensors.
 *
 * @typeParam Replies The type of the reply, by message type.
 *
 * @example
 * ```ts
 * import { ActorMemory, Peer } from "@kedge/kedge/actors";
 * import { CpuDevice, openOwner } from "@kedge/kedge/tensor";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * type Double = { readonly type: "double"; readonly x: number };
 * using device = CpuDevice.open();
 * using memory = new ActorMemory(openOwner(device), { device: "cpu" });
 * const { port1, port2 } = new MessageChannel();
 * port2.onmessage = ({ data: { id, body } }) => port2.postMessage({ kind: "reply", id, body: 2 * body.x, returns: [] }); // an actor does this
 * const peer = new Peer<Double, { double: number }>("doubler", port1, openOwner(device), memory);
 * assertEquals(await peer.request(() => ({ type: "double", x: 21 })), 42);
 * peer.break("it is gone");
 * await assertRejects(() => peer.request(() => ({ type: "double", x: 1 })), Error, "Cannot ask doubler: it is gone");
 * port2.close();
 * ```
 */
export class Peer<M extends Message, Replies extends Record<M["type"], unknown>> {
  readonly #pending = new Map<number, Pending>();
  readonly #lost: Carrier[] = [];
  #serial = 0;
  #broken: Error | undefined;

  /**
   * Begins to listen to the actor.
   *
   * @param port The port to the actor.
   * @param owner The actor's number in the handle table.
   * @param options `onEvent`: receives the events that the actor emits.
   */
  constructor(
    readonly name: string,
    readonly port: MessagePort,
    readonly owner: OwnerId,
    readonly memory: ActorMemory,
    options: { onEvent?: (event: unknown) => void } = {},
  ) {
    port.onmessage = ({ data }: MessageEvent<Envelope>) => {
      if (data.kind === "event") options.onEvent?.(data.body);
      if (data.kind === "part") this.#pending.get(data.id)?.onPart?.(data.body);
      if (data.kind !== "reply" && data.kind !== "failure") return;
      const pending = this.#pending.get(data.id);
      if (!pending) return;
      this.#pending.delete(data.id);
      pending.done();
      pending.carrier.takeBack(data.returns);
      if (data.kind === "reply") pending.resolve(data.body);
      else pending.reject(fromPlain(data.error));
    };
  }

  /** Why the actor answers no more; undefined while it does. */
  get broken(): Error | undefined {
    return this.#broken;
  }

  /**
   * Sends a request and waits for the reply.
   *
   * @param build Makes the message. The carrier puts its tensors in.
   * @returns The reply. Rejects with the error that the actor threw, or a KedgeError `Actor` where it died.
   */
  request<T extends M["type"]>(
    build: (carrier: Carrier) => Extract<M, { type: T }>,
    options: RequestOptions = {},
  ): Promise<Replies[T]> {
    if (this.#broken) return Promise.reject(this.#broken);
    const { signal, onPart } = options, id = ++this.#serial, carrier = new Carrier(this.memory, this.owner);
    const flag = signal ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
    const body = build(carrier);
    return new Promise<Replies[T]>((resolve, reject) => {
      const cancel = () => {
        Atomics.store(flag!, 0, 1);
        this.port.postMessage({ kind: "cancel", id } satisfies Envelope);
      };
      const done = () => signal?.removeEventListener("abort", cancel);
      this.#pending.set(id, { resolve: resolve as (body: unknown) => void, reject, carrier, flag, onPart, done });
      this.port.postMessage(
        { kind: "request", id, body, lent: carrier.lent, flag: flag?.buffer as SharedArrayBuffer | undefined } satisfies Envelope,
      );
      if (signal?.aborted) cancel();
      else signal?.addEventListener("abort", cancel);
    });
  }

  /** Notes that the actor has died. All requests that wait for it fail. */
  break(why: string): void {
    this.#broken ??= new KedgeError("Actor", `Cannot ask ${this.name}: ${why}`, { actor: this.name });
    for (const { reject, carrier, done } of this.#pending.values()) {
      done();
      this.#lost.push(carrier);
      reject(this.#broken);
    }
    this.#pending.clear();
    this.port.close();
  }
}
