import { KedgeError } from "../../ffi/errors.ts";

/**
 * A bounded queue, first in first out, between whoever delivers messages and the one that reads them. Full: `put` refuses, since a sender that waits for its
 * reply never has more than its own requests in it.
 *
 * @example
 * ```ts
 * import { Mailbox } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const mailbox = new Mailbox<number>(2);
 * mailbox.put(1);
 * mailbox.put(2);
 * assertEquals(mailbox.put(3), false);
 * assertEquals(await mailbox.take(), 1);
 * mailbox.close("the end");
 * assertEquals(mailbox.put(4), false);
 * assertEquals([await mailbox.take(), await mailbox.take()], [2, undefined]); // what lay in it is still read
 * ```
 */
export class Mailbox<T> {
  readonly #queue: T[] = [];
  #waiting: ((message: T | undefined) => void) | undefined;
  #closed: string | undefined;

  /** An empty one. @param capacity Messages that may wait. */
  constructor(readonly capacity: number) {
    if (!(Number.isSafeInteger(capacity) && capacity >= 1)) throw new RangeError(`Cannot make a mailbox for ${capacity} messages`);
  }

  /** Messages that wait. */
  get size(): number {
    return this.#queue.length;
  }

  /** Why it was closed; undefined while open. */
  get closed(): string | undefined {
    return this.#closed;
  }

  /** Delivers a message. @returns Whether there was room, and the mailbox open. */
  put(message: T): boolean {
    if (this.#closed !== undefined) return false;
    const wake = this.#waiting;
    if (wake) {
      this.#waiting = undefined;
      wake(message);
      return true;
    }
    if (this.#queue.length >= this.capacity) return false;
    this.#queue.push(message);
    return true;
  }

  /** The next message, when there is one; undefined once the mailbox is closed and empty. One reader at a time. */
  take(): Promise<T | undefined> {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
    if (this.#closed !== undefined) return Promise.resolve(undefined);
    if (this.#waiting) throw new KedgeError("Actor", "Cannot read a mailbox: somebody else is reading it");
    return new Promise((resolve) => this.#waiting = resolve);
  }

  /** Takes nothing in any more. */
  close(reason: string): void {
    this.#closed ??= reason;
    const wake = this.#waiting;
    this.#waiting = undefined;
    wake?.(undefined);
  }

  /** Takes out everything that waits. */
  drain(): T[] {
    return this.#queue.splice(0);
  }
}
