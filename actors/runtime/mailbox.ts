import { KedgeError } from "../../ffi/errors.ts";

/**
 * A bounded FIFO queue with many writers and one reader. If it is full, `put` refuses the message: a sender that waits for its replies
 * never fills the queue.
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
 * assertEquals([await mailbox.take(), await mailbox.take()], [2, undefined]); // waiting messages are still read
 * ```
 */
export class Mailbox<T> {
  readonly #queue: T[] = [];
  #waiting: ((message: T | undefined) => void) | undefined;
  #closed: string | undefined;

  /** Makes an empty mailbox. @param capacity The most messages that may wait. */
  constructor(readonly capacity: number) {
    if (!(Number.isSafeInteger(capacity) && capacity >= 1)) throw new RangeError(`Cannot make a mailbox for ${capacity} messages`);
  }

  /** The number of messages that wait. */
  get size(): number {
    return this.#queue.length;
  }

  /** Why it was closed; undefined while it is open. */
  get closed(): string | undefined {
    return this.#closed;
  }

  /** Adds a message. @returns False if the mailbox is full or closed. */
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

  /** Waits for the next message. Returns undefined once the mailbox is closed and empty. There may be one reader at a time. */
  take(): Promise<T | undefined> {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
    if (this.#closed !== undefined) return Promise.resolve(undefined);
    if (this.#waiting) throw new KedgeError("Actor", "Cannot read a mailbox: somebody else is reading it");
    return new Promise((resolve) => this.#waiting = resolve);
  }

  /** Refuses messages from now on. */
  close(reason: string): void {
    this.#closed ??= reason;
    const wake = this.#waiting;
    this.#waiting = undefined;
    wake?.(undefined);
  }

  /** Removes and returns all messages that wait. */
  drain(): T[] {
    return this.#queue.splice(0);
  }
}
