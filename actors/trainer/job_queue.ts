// deno-lint-ignore-file no-await-in-loop -- one job after the other
/**
 * Jobs that a loop does between two of its steps, in their order, and its pause: a paused loop waits between two steps and does jobs at
 * once.
 */
export class JobQueue {
  readonly #onPause: (paused: boolean) => void;
  readonly #jobs: { work: () => Promise<void>; refuse: (error: Error) => void }[] = [];
  #pausing = false;
  #wake: (() => void) | undefined;
  #closed: Error | undefined;

  /** Makes an empty queue. @param onPause Is told when the loop begins to wait, and when it goes on. */
  constructor(onPause: (paused: boolean) => void) {
    this.#onPause = onPause;
  }

  /** Whether the loop is paused, or will be at the end of the step. */
  get pausing(): boolean {
    return this.#pausing;
  }

  /** Makes the loop wait when the current step ends. */
  pause(): void {
    this.#pausing = true;
  }

  /** Lets the loop continue. */
  resume(): void {
    this.#pausing = false;
    this.#wake?.();
  }

  /** Adds a job for the end of the step; a paused loop does it now. @returns What the job returns. */
  add<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(this.#closed);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#jobs.push({ work: () => work().then(resolve, reject), refuse: reject });
    this.#wake?.();
    return promise;
  }

  /** Does the jobs that wait. */
  async runAll(): Promise<void> {
    for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) await job.work();
  }

  /** Does the jobs that wait, and waits as long as the loop is paused. The loop calls it between two steps. */
  async rest(): Promise<void> {
    await this.runAll();
    if (!this.#pausing) return;
    this.#onPause(true);
    while (this.#pausing) {
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
      await this.runAll();
    }
    this.#onPause(false);
  }

  /** Refuses the jobs that wait, and those that are added from now on. */
  close(error: Error): void {
    this.#closed = error;
    for (const { refuse } of this.#jobs.splice(0)) refuse(error);
  }
}
