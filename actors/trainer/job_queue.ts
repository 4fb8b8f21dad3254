// deno-lint-ignore-file no-await-in-loop -- one thing after another
/** What a loop does between two of its steps: whatever was asked for meanwhile, in order; and it rests while it is paused. */
export class JobQueue {
  readonly #onPause: (paused: boolean) => void;
  readonly #jobs: { work: () => Promise<void>; refuse: (error: Error) => void }[] = [];
  #pausing = false;
  #wake: (() => void) | undefined;
  #closed: Error | undefined;

  /** @param onPause Told when it comes to rest, and when it goes on. */
  constructor(onPause: (paused: boolean) => void) {
    this.#onPause = onPause;
  }

  /** Whether it rests, or will at the end of the step. */
  get pausing(): boolean {
    return this.#pausing;
  }

  /** Rests from the end of the step on. */
  pause(): void {
    this.#pausing = true;
  }

  /** Goes on. */
  resume(): void {
    this.#pausing = false;
    this.#wake?.();
  }

  /** Does something at the end of the step, or now where it rests. @returns What it gave. */
  ask<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(this.#closed);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#jobs.push({ work: () => work().then(resolve, reject), refuse: reject });
    this.#wake?.();
    return promise;
  }

  /** Does what was asked for. */
  async jobs(): Promise<void> {
    for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) await job.work();
  }

  /** Called by the loop between two steps: returns when it is to go on. */
  async rest(): Promise<void> {
    await this.jobs();
    if (!this.#pausing) return;
    this.#onPause(true);
    while (this.#pausing) {
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
      await this.jobs();
    }
    this.#onPause(false);
  }

  /** Refuses what was asked for and is asked for from now on. */
  close(error: Error): void {
    this.#closed = error;
    for (const { refuse } of this.#jobs.splice(0)) refuse(error);
  }
}
