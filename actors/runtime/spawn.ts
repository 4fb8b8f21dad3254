/**
 * The supervisor's side: it starts actors, notices if they die, and frees what they held.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import { openOwner, type OwnerId, type OwnerReport, ownerReport, reclaimOwner } from "../../tensor/owner.ts";
import { Peer } from "./peer.ts";
import type { ActorMemory } from "./actor_memory.ts";
import type { SpareThreads } from "./spare_threads.ts";
import { fromPlain, type Message, type Notice, type Order } from "./protocol.ts";

/** How an actor is started. */
export interface SpawnOptions {
  /** The actor's name in messages. */
  readonly name: string;
  /** The worker's module, which calls `serveActor`. */
  readonly module: URL;
  /** The name of the device, as `openDevice` takes it. */
  readonly device: string;
  /** The threads of its CPU ops; default all cores. */
  readonly threads?: number | undefined;
  /** What the actor is made with. */
  readonly options: unknown;
  /** Receives the events that it emits. */
  readonly onEvent?: (event: unknown) => void;
  /** Is called when it dies by an uncaught error. */
  readonly onDeath?: (error: Error) => void;
  /** Where its thread comes from, if there is one for its module, and goes to when it has closed. Default: a new thread, which ends. */
  readonly spares?: SpareThreads | undefined;
}

/** Milliseconds that a closing actor has to finish its message before its thread is terminated. */
const CLOSE_LIMIT = 10_000;

/**
 * A living actor, as its supervisor holds it.
 *
 * @example
 * ```ts
 * import { Actor, ActorMemory } from "@kedge/kedge/actors";
 * import { CpuDevice, openOwner, Tensor, type TensorHandle } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * // A worker's module that reads a tensor which is lent to it.
 * const source = `import { serveActor } from "${import.meta.resolve("@kedge/kedge/actors")}";
 * serveActor(() => ({ handle: ({ x }, turn) => turn.borrow(x).toFloats().reduce((a, b) => a + b) }));`;
 *
 * using device = CpuDevice.open();
 * using memory = new ActorMemory(openOwner(device), { device: "cpu" });
 * using x = Tensor.from(memory.host, [1, 2, 4]);
 * const module = new URL(`data:application/javascript,${encodeURIComponent(source)}`);
 * const actor = await Actor.spawn<{ type: "sum"; x: TensorHandle }, { sum: number }>(memory, {
 *   name: "adder",
 *   module,
 *   device: "cpu",
 *   options: null,
 * });
 * assertEquals(await actor.peer.request((carrier) => ({ type: "sum", x: carrier.lend(x) })), 7);
 * await actor.close();
 * assertEquals(actor.report().bytes, 0);
 * ```
 */
export class Actor<M extends Message, Replies extends Record<M["type"], unknown>> {
  /** Sends requests to it. */
  readonly peer: Peer<M, Replies>;
  readonly #worker: Worker;
  readonly #memory: ActorMemory;
  readonly #closed = Promise.withResolvers<Error | undefined>();
  readonly #introduced = new Map<string, () => void>();
  /** The actor's end of the port, until the actor is ready to take it. */
  #far: MessagePort | undefined;
  /** Keeps its thread when it has closed. */
  readonly #keep: ((worker: Worker) => void) | undefined;
  #dead = false;

  private constructor(memory: ActorMemory, worker: Worker, readonly owner: OwnerId, options: SpawnOptions) {
    const { spares, module } = options;
    this.#memory = memory;
    this.#worker = worker;
    this.#keep = spares && ((worker) => spares.put(module.href, worker));
    const { port1, port2 } = new MessageChannel();
    this.peer = new Peer(options.name, port1, owner, memory, options.onEvent ? { onEvent: options.onEvent } : {});
    const { device, threads } = options;
    this.#order({ kind: "start", owner, device, threads, options: options.options });
    this.#far = port2;
  }

  /**
   * Starts an actor, and waits until it is ready.
   *
   * @throws What the function that makes the actor threw; {KedgeError} `Actor` if its module fails.
   */
  static async spawn<M extends Message, Replies extends Record<M["type"], unknown>>(
    memory: ActorMemory,
    options: SpawnOptions,
  ): Promise<Actor<M, Replies>> {
    const worker = options.spares?.take(options.module.href) ?? new Worker(options.module, { type: "module", name: options.name });
    const actor = new Actor<M, Replies>(memory, worker, openOwner(memory.host), options);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.onmessage = ({ data }: MessageEvent<Notice>) => {
      if (data.kind === "ready") resolve();
      else if (data.kind === "failed") reject(fromPlain(data.error));
      else if (data.kind === "connected") actor.#introduced.get(data.name)?.();
      else actor.#closed.resolve(data.error && fromPlain(data.error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      const error = new KedgeError("Actor", `Cannot go on: ${options.name} died: ${event.message}`, { actor: options.name });
      reject(error);
      actor.#die(error.message);
      options.onDeath?.(error);
    };
    try {
      await promise;
      const port = actor.#far!;
      actor.#far = undefined;
      actor.#order({ kind: "connect", port, owner: memory.owner }, [port]);
      return actor;
    } catch (error) {
      actor.#die((error as Error).message);
      throw error;
    }
  }

  /** Returns how many bytes and tensors it holds. */
  report(): OwnerReport {
    return ownerReport(this.#memory.host, this.owner);
  }

  /** Lets another actor send requests to this one, which it knows by a name. Returns when the other actor can do so. */
  async introduce(other: Actor<Message, Record<string, unknown>>, name: string): Promise<void> {
    const { port1, port2 } = new MessageChannel(), { promise, resolve } = Promise.withResolvers<void>();
    other.#introduced.set(name, resolve);
    this.#order({ kind: "connect", port: port1, owner: other.owner }, [port1]);
    other.#order({ kind: "connect", port: port2, owner: this.owner, name }, [port2]);
    await Promise.race([promise, other.#closed.promise]);
  }

  #order(order: Order, transfer: Transferable[] = []): void {
    this.#worker.postMessage(order, transfer);
  }

  #die(why: string, keep?: (worker: Worker) => void): void {
    if (this.#dead) return;
    this.#dead = true;
    if (keep) keep(this.#worker);
    else this.#worker.terminate();
    this.peer.break(why);
    this.#far?.close();
    this.#closed.resolve(undefined);
    reclaimOwner(this.owner, [...new Set([this.#memory.device, this.#memory.host])]);
  }

  /** Ends it after the message under way, or at once after ten seconds, and frees all that it held. Does nothing if it is dead. */
  async close(): Promise<void> {
    if (this.#dead) return;
    this.#order({ kind: "close", keep: this.#keep !== undefined });
    let timer: ReturnType<typeof setTimeout> | undefined, isLate = false;
    const late = new Promise<undefined>((resolve) => timer = setTimeout(() => (isLate = true, resolve(undefined)), CLOSE_LIMIT));
    const error = await Promise.race([this.#closed.promise, late]);
    clearTimeout(timer);
    this.#die("it was closed", isLate || error ? undefined : this.#keep);
    if (error) throw error;
  }
}
