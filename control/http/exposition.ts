import { RUN_STATES, type RunControl, type RunEvent } from "../../actors/run_control.ts";

/** What the endpoint itself has to tell. */
export interface EndpointCounts {
  readonly clients: number;
  readonly cutOff: number;
  readonly unexpected: number;
}

const MOST = 2000; // metrics by name

type Labels = Readonly<Record<string, string>>;

const escape = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
const value = (number: number) =>
  Number.isNaN(number) ? "NaN" : number === Infinity ? "+Inf" : number === -Infinity ? "-Inf" : String(number);

/** One metric with its samples, in Prometheus' text format. */
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

/** A metric's name as Prometheus has it: "reward/overall" is "kedge_reward_overall". */
function prometheusName(name: string): string {
  return `kedge_${name.replaceAll(/[^a-zA-Z0-9_]+/g, "_")}`;
}

/** A run's numbers as Prometheus reads them. */
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

  /** Takes note of a line of metrics. */
  see(event: RunEvent): void {
    if (event.kind === "metrics") this.#take(event.data, true);
  }

  /** Takes note of a request. */
  count(labels: { route: string; method: string; code: number }): void {
    const { route, method, code } = labels, key = `${route} ${method} ${code}`;
    const found = this.#requests.get(key);
    if (found) found.count++;
    else this.#requests.set(key, { labels: { route, method, code: String(code) }, count: 1 });
  }

  /** Everything as text, format 0.0.4. */
  async text(): Promise<string> {
    // Values that come once in many steps are older than this endpoint may be.
    await (this.#seeded ??= this.#seed());
    const { state, name, step, maxSteps, accounts } = await this.#control.status(), { clients, cutOff, unexpected } = this.#counts();
    const gauge = (metric: string, help: string, samples: readonly (readonly [Labels, number])[]) =>
      family(metric, { help, type: "gauge", samples });
    const counter = (metric: string, help: string, samples: readonly (readonly [Labels, number])[]) =>
      family(metric, { help, type: "counter", samples });
    const own = [
      gauge("kedge_run_info", "The run.", [[{ name }, 1]]),
      gauge("kedge_run_state", "1 for the state that the run is in.", RUN_STATES.map((each) => [{ state: each }, each === state ? 1 : 0])),
      gauge("kedge_step", "Steps that are done.", [[{}, step]]),
      gauge("kedge_max_steps", "Steps of the whole run.", [[{}, maxSteps]]),
      gauge("kedge_account_bytes", "Bytes that an actor holds.", Object.entries(accounts).map(([actor, bytes]) => [{ actor }, bytes])),
      gauge("kedge_event_clients", "Clients of the events.", [[{}, clients]]),
      counter("kedge_event_clients_cut_off_total", "Clients of the events that read too slowly.", [[{}, cutOff]]),
      counter("kedge_http_unexpected_errors_total", "Answers with status 500.", [[{}, unexpected]]),
      counter(
        "kedge_http_requests_total",
        "Requests by route and status.",
        [...this.#requests.values()].map((each) => [each.labels, each.count]),
      ),
    ];
    const taken = new Set(own.map((text) => /^# HELP (\S+)/.exec(text)?.[1]));
    const metrics = [...this.#newest].toSorted(([a], [b]) => a < b ? -1 : 1).map(([metric, number]) => {
      const safe = prometheusName(metric);
      if (taken.has(safe)) return "";
      taken.add(safe);
      return gauge(safe, `Newest ${metric}.`, [[{}, number]]);
    });
    return [...own, ...metrics].join("");
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
