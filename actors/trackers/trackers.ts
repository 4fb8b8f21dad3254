import type { Config } from "../config/types.ts";
import type { TrackerSection } from "./options.ts";
import type { Ending } from "./tracker.ts";

/** A message to the trackers' thread. */
export type TrackersOrder =
  | {
    readonly kind: "follow";
    /** The run's directory. */
    readonly folder: string;
    readonly name: string;
    readonly config: Readonly<Record<string, unknown>>;
    readonly sections: readonly TrackerSection[];
  }
  | { readonly kind: "end"; readonly ending: Ending; readonly limit: number };

/** A message from the trackers' thread. */
export type TrackersNotice = { readonly kind: "ready" } | { readonly kind: "note"; readonly text: string } | {
  readonly kind: "closed";
  readonly told: boolean;
};

/** Milliseconds that a run waits for its trackers at its end. */
const END_LIMIT = 10_000;

/**
 * The trackers of a run (`logging.trackers`), in a thread of their own that reads the run's files. A tracker that is slow or out of reach
 * does not slow the run. At the end the run waits for it for ten seconds at most, or for two if it was out of reach before. What it has
 * missed by then is sent when the run resumes.
 */
export class Trackers implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<boolean>();
  #ending: Ending = "failed";

  /** Starts the thread. @param folder The run's directory. @param note Receives messages about failures. */
  constructor(folder: string, config: Config, note: (text: string) => void) {
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "trackers" });
    this.#worker.onmessage = ({ data }: MessageEvent<TrackersNotice>) => {
      if (data.kind === "ready") this.#ready.resolve();
      else if (data.kind === "note") note(data.text);
      else this.#closed.resolve(data.told);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      note(`The trackers ended: ${event.message}; the run goes on without them`);
      this.#ready.resolve();
      this.#closed.resolve(false);
    };
    const plain = JSON.parse(JSON.stringify(config)) as Record<string, unknown>;
    this.#order({ kind: "follow", folder, name: config.name, config: plain, sections: config.logging.trackers });
  }

  /** How the run ended. Default "failed". */
  set ending(ending: Ending) {
    this.#ending = ending;
  }

  #order(order: TrackersOrder): void {
    this.#worker.postMessage(order);
  }

  /** Sends the trackers what is left, and the end of the run. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#order({ kind: "end", ending: this.#ending, limit: END_LIMIT });
    await this.#ready.promise; // the limit counts from when its modules are loaded
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), END_LIMIT + 1000));
    await Promise.race([this.#closed.promise, late]);
    clearTimeout(timer);
    this.#worker.terminate();
  }
}
