import type { CapturedWork, Device } from "../../ffi/device.ts";

/** Recorded steps that are kept. */
const MOST_STEPS = 32;

/**
 * Decode steps that a device has recorded. Steps of the same shape differ only in what the host writes to fixed places of the device before each: tokens, positions,
 * lengths, pages, keys of the draws. So a step that comes again is recorded, and from then on is started in one call. On a device that cannot record, each is run
 * plainly.
 */
export class CapturedSteps implements Disposable {
  readonly #device: Device;
  readonly #enabled: boolean;
  /** By shape, the least recently used first; undefined: it has run once. */
  readonly #steps = new Map<string, CapturedWork | undefined>();

  constructor(device: Device, { enabled }: { enabled: boolean }) {
    this.#device = device;
    this.#enabled = enabled;
  }

  /** Runs a step. @param shape Everything on which the arguments of its ops depend. */
  run(shape: unknown, work: () => void): void {
    const { capture, batchInvariant } = this.#device;
    if (!this.#enabled || !capture) return work();
    const key = JSON.stringify([shape, batchInvariant]), known = this.#steps.has(key), step = this.#steps.get(key);
    this.#steps.delete(key);
    if (!known) {
      this.#steps.set(key, undefined);
      this.#forgetOldest();
      return work();
    }
    const ready = step?.valid ? step : capture(work);
    if (step !== ready) step?.[Symbol.dispose]();
    this.#steps.set(key, ready);
    ready.launch();
  }

  #forgetOldest(): void {
    if (this.#steps.size <= MOST_STEPS) return;
    for (const [key, step] of this.#steps) {
      step?.[Symbol.dispose]();
      this.#steps.delete(key);
      return;
    }
  }

  /** Frees what was recorded. */
  [Symbol.dispose](): void {
    for (const step of this.#steps.values()) step?.[Symbol.dispose]();
    this.#steps.clear();
  }
}
