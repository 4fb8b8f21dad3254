import { RUN_STATES, type RunControl, type RunEvent } from "../../actors/run_control.ts";

/** The endpoint's own counts. */
export interface EndpointCounts {
  readonly clients: number;
  readonly cutOff: number;
  readonly unexpected: number;
}

const MOST = 2000; // the maximum number of metrics with a name from the run

type Labels = Readonly<Record<string, string>>;

const escape = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
const value = (number: number) =>
  Number.isNaN(number) ? "NaN" : number === Infinity ? "+Inf" : number === -Infinity ? "-Inf" : String(number);

/** Formats one metric with its samples in Prometheus' text format. */
function family(
  name: string,
  options: { help: string; type: "gauge" | "counter"; samples: readonly (readonly [Labels, number])[] },
): string {
  const { help, type, samples } = options;
  const lines = samples.map(([labels, number]) => {
    const inner = Object.entries(labels).map(([key, text]) => `${key}="${escape(text).replaceAll('"', '\\"')}"`).join(",");
    return `${name}${inner === "" ? "" : `{${inner}}`} ${value(number)}\n`;
  });
  return lines.length === 0 ? "" : `# HELP ${name} ${escape(help)}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

/** Returns a metric's name for Prometheus: "reward/overall" becomes "kedge_reward_overall". */
function prometheusName(name: string): string {
  return `kedge_${name.replaceAll(/[^a-zA-Z0-9_]+/g, "_")}`;
}

/** Collects a run's numbers for Prometheus. */
export class Exposition {
  readonly #control: RunControl;
  readonly #counts: () => EndpointCounts;
  readonly #newest = new Map<string, number>();
  readonly #requests = new Map<string, { labels: Labels; count: number }>();
  #seeded: Promise<void> | undefined;

  constructor(control: RunControl, counts: () => EndpointCounts) {
    this.#control = control;
    this.#counts = counts;
  }

  /** Records a line of metrics. */
  see(event: RunEvent): void {
    if (event.kind === "metrics") this.#take(event.data, true);
  }

  /** Records a request. */
  count(labels: { route: string; method: string; code: number }): void {
    const { route, method, code } = labels, key = `${route} ${method} ${code}`;
    const counter = this.#requests.get(key);
    if (counter) counter.count++;
    else this.#requests.set(key, { labels: { route, method, code: String(code) }, count: 1 });
  }

  /** Returns all metrics as text, format 0.0.4. */
  async text(): Promise<string> {
    // Values that are logged only every few steps may be older than this endpoint.
    await (this.#seeded ??= this.#seed());
    const { state, name, step, maxSteps, accounts } = await this.#control.status(), { clients, cutOff, unexpected } = this.#counts();
    const gauge = (metric: string, help: string, samples: readonly (readonly [Labels, number])[]) =>
      family(metric, { help, type: "gauge", samples });
    const counter = (metric: string, help: string, samples: readonly (readonly [Labels, number])[]) =>
      family(metric, { help, type: "counter", samples });
    const ownMetrics = [
      gauge("kedge_run_info", "The name of the run, in the label.", [[{ name }, 1]]),
      gauge(
        "kedge_run_state",
        "1 for the run's current state, 0 for the others.",
        RUN_STATES.map((each) => [{ state: each }, each === state ? 1 : 0]),
      ),
      gauge("kedge_step", "Completed steps.", [[{}, step]]),
      gauge("kedge_max_steps", "The number of steps of the whole run.", [[{}, maxSteps]]),
      gauge("kedge_account_bytes", "Bytes that each actor holds.", Object.entries(accounts).map(([actor, bytes]) => [{ actor }, bytes])),
      gauge("kedge_event_clients", "Connected clients of the event stream.", [[{}, clients]]),
      counter("kedge_event_clients_cut_off_total", "Clients of the event stream that were disconnected.", [[{}, cutOff]]),
      counter("kedge_http_unexpected_errors_total", "Answers with status 500.", [[{}, unexpected]]),
      counter(
        "kedge_http_requests_total",
        "HTTP requests by route, method and status.",
        [...this.#requests.values()].map((each) => [each.labels, each.count]),
      ),
    ];
    const reserved = new Set(ownMetrics.map((text) => /^# HELP (\S+)/.exec(text)?.[1]));
    const metrics = [...this.#newest].toSorted(([a], [b]) => a < b ? -1 : 1).map(([metric, number]) => {
      const safe = prometheusName(metric);
      if (reserved.has(safe)) return "";
      reserved.add(safe);
      return gauge(safe, `The latest value of ${metric}.`, [[{}, number]]);
    });
    return [...ownMetrics, ...metrics].join("");
  }

  async #seed(): Promise<void> {
    try {
      const lines = await this.#control.metrics({ since: -1, limit: 1000 });
      for (const line of lines.toReversed()) this.#take(line, false);
    } catch (error) {
      this.#seeded = undefined;
      throw error;
    }
  }

  #take(line: Readonly<Record<string, unknown>>, isNewer: boolean): void {
    for (const [name, number] of Object.entries(line)) {
      if (typeof number !== "number" || name === "step") continue;
      if (this.#newest.has(name) ? isNewer : this.#newest.size < MOST) this.#newest.set(name, number);
    }
  }
}
