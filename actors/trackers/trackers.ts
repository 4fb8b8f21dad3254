import type { Config } from "../config/types.ts";
import type { TrackerSection } from "./options.ts";
import type { Ending } from "./tracker.ts";

/** What the trackers' thread is told. */
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

/** What the trackers' thread tells. */
export type TrackersNotice = { readonly kind: "ready" } | { readonly kind: "note"; readonly text: string } | {
  readonly kind: "closed";
  readonly told: boolean;
};

/** Milliseconds that a run's end waits for its trackers. */
const END_LIMIT = 10_000;

/**
 * The trackers of a run (`logging.trackers`), in a thread of their own, which reads the run's files: a tracker that is slow or out of reach does not slow the run,
 * and at its end holds it up for ten seconds at most, for two where it was out of reach before. What it has missed by then it is told when the run is resumed.
 */
export class Trackers implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<boolean>();
  #ending: Ending = "failed";

  /** Starts the thread. @param folder The run's directory. @param note Is told of trouble. */
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

  /** How the run ended; "failed" where nothing else is said. */
  set ending(ending: Ending) {
    this.#ending = ending;
  }

  #order(order: TrackersOrder): void {
    this.#worker.postMessage(order);
  }

  /** Has the trackers told what is left, and the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#order({ kind: "end", ending: this.#ending, limit: END_LIMIT });
    await this.#ready.promise; // its modules are loaded: from here on the limit counts
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), END_LIMIT + 1000));
    await Promise.race([this.#closed.promise, late]);
    clearTimeout(timer);
    this.#worker.terminate();
  }
}
