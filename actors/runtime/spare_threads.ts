/**
 * Threads of actors that have ended, for actors that come. A new thread imports its modules and compiles their code, which takes longer
 * than a small run's steps; a spare one has done so. A thread imports a user's module once, so that a later actor on it does not see a
 * change of the file.
 *
 * @example
 * ```ts
 * import { Actor, ActorMemory, SpareThreads } from "@kedge/kedge/actors";
 * import { CpuDevice, openOwner } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * // A worker's module that counts the actors of its thread.
 * const source = `import { serveActor } from "${import.meta.resolve("@kedge/kedge/actors")}";
 * let actors = 0;
 * serveActor(() => ({ handle: ((mine) => () => mine)(++actors) }));`;
 *
 * using device = CpuDevice.open();
 * using memory = new ActorMemory(openOwner(device), { device: "cpu" });
 * using spares = new SpareThreads();
 * const options = { name: "counter", module: new URL(`data:application/javascript,${encodeURIComponent(source)}`), device: "cpu", options: null };
 * for (const expected of [1, 2]) {
 *   const actor = await Actor.spawn<{ type: "ask" }, { ask: number }>(memory, { ...options, spares });
 *   assertEquals(await actor.peer.request(() => ({ type: "ask" })), expected);
 *   await actor.close();
 * }
 * ```
 */
export class SpareThreads implements Disposable {
  readonly #idle = new Map<string, Worker[]>();
  #closed = false;

  /** Takes a thread that runs a module; undefined if there is none. */
  take(module: string): Worker | undefined {
    return this.#idle.get(module)?.pop();
  }

  /** Keeps a thread whose actor has closed. */
  put(module: string, worker: Worker): void {
    worker.onmessage = null;
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      const idle = this.#idle.get(module) ?? [], at = idle.indexOf(worker);
      if (at >= 0) idle.splice(at, 1);
    };
    if (this.#closed) return worker.terminate();
    const idle = this.#idle.get(module);
    if (idle) idle.push(worker);
    else this.#idle.set(module, [worker]);
  }

  /** Ends the threads that are kept, and those that come later. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const worker of [...this.#idle.values()].flat()) worker.terminate();
    this.#idle.clear();
  }
}
