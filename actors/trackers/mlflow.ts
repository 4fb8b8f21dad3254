import { z } from "zod";
import { KedgeError } from "../../ffi/errors.ts";
import type { AnswerTable, Ending, Metrics, TrackedRun, Tracker } from "./tracker.ts";

/** Options of {@linkcode MlflowRun}. */
export interface MlflowOptions {
  /** The tracking server, as "http://127.0.0.1:5000". */
  readonly uri: string;
  /** The experiment's name. The experiment is made if it is missing. Default "kedge". */
  readonly experiment?: string | undefined;
  /** Tags of the run. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** The credentials: a bearer token, or a user's name and password. */
  readonly credentials?: { readonly token: string } | { readonly user: string; readonly password: string } | undefined;
  /** The time limit of a request in milliseconds. Default 10,000. */
  readonly timeout?: number | undefined;
}

const made = z.object({ "experiment_id": z.string() }), named = z.object({ experiment: made });
const run = z.object({
  info: z.object({ "run_id": z.string(), "artifact_uri": z.string().optional() }),
  data: z.object({ tags: z.array(z.object({ key: z.string(), value: z.string() })).optional() }).optional(),
});
const created = z.object({ run }), searched = z.object({ runs: z.array(run).default([]) });

/** The limits of a request of MLflow's REST interface (mlflow.org, "REST API", Request Limits). */
const BATCH = { metrics: 1000, params: 100, paramLength: 500, keyLength: 250 } as const;

/**
 * A run on an MLflow tracking server, by its REST interface (version 2.0). Metrics keep their names; characters that MLflow refuses
 * become "_".
 *
 * @example
 * ```ts
 * import { MlflowRun } from "./mlflow.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const asked: string[] = [];
 * const replies: Record<string, unknown> = {
 *   "experiments/get-by-name": { experiment: { experiment_id: "1" } },
 *   "runs/search": {},
 *   "runs/create": { run: { info: { run_id: "r", artifact_uri: "mlflow-artifacts:/1/r/artifacts" } } },
 * };
 * await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
 *   const what = new URL(request.url).pathname.replace("/api/2.0/mlflow/", "");
 *   asked.push(what);
 *   return Response.json(replies[what] ?? {});
 * });
 * await using tracker = new MlflowRun({ uri: `http://127.0.0.1:${server.addr.port}` });
 * await tracker.begin({ name: "board", id: "a1b2c3d4", config: { seed: 0 }, started: 0 });
 * await tracker.metrics([{ step: 1, time: 0, values: { "actor/loss": 0.5 } }]);
 * assertEquals(asked.at(-1), "runs/log-batch");
 * ```
 */
export class MlflowRun implements Tracker {
  readonly name: string;
  readonly #options: MlflowOptions;
  #run = "";
  #artifacts = "";
  #tables: { path: string; type: "table" }[] = [];

  /** Sends no request yet. */
  constructor(options: MlflowOptions) {
    this.#options = options;
    this.name = `mlflow at ${new URL(options.uri).host}`;
  }

  async begin({ name, id, config, started }: TrackedRun): Promise<void> {
    const experiment = await this.#experiment(this.#options.experiment ?? "kedge"), filter = `tags."kedge.id" = '${id}'`;
    const asked = await this.#ask("runs/search", { "experiment_ids": [experiment], filter, "max_results": 1 });
    const [before] = searched.parse(asked).runs;
    if (before) {
      this.#is(before);
      return void await this.#ask("runs/update", { "run_id": this.#run, status: "RUNNING" });
    }
    const tags = Object.entries({ ...this.#options.tags, "kedge.id": id }).map(([key, value]) => ({ key, value }));
    const made = { "experiment_id": experiment, "run_name": name, "start_time": started, tags };
    this.#is(created.parse(await this.#ask("runs/create", made)).run);
    const params = Object.entries(flat(config)).map(([key, value]) => ({ key: mlflowKey(key), value: value.slice(0, BATCH.paramLength) }));
    for (let at = 0; at < params.length; at += BATCH.params) {
      // deno-lint-ignore no-await-in-loop -- a server takes one request after the other
      await this.#ask("runs/log-batch", { "run_id": this.#run, params: params.slice(at, at + BATCH.params) });
    }
  }

  #is({ info, data }: z.infer<typeof run>): void {
    this.#run = info["run_id"];
    this.#artifacts = artifactPath(info["artifact_uri"] ?? "");
    const logged = data?.tags?.find(({ key }) => key === "mlflow.loggedArtifacts")?.value;
    this.#tables = logged === undefined ? [] : JSON.parse(logged);
  }

  async metrics(lines: readonly Metrics[]): Promise<void> {
    const all = lines.flatMap(({ step, time, values }) =>
      Object.entries(values).map(([name, value]) => ({ key: mlflowKey(name), value, timestamp: time, step }))
    );
    for (let at = 0; at < all.length; at += BATCH.metrics) {
      // deno-lint-ignore no-await-in-loop -- in their order
      await this.#ask("runs/log-batch", { "run_id": this.#run, metrics: all.slice(at, at + BATCH.metrics) });
    }
  }

  /** Uploads an artifact. A server that does not serve artifacts itself gets none, because that needs a client of its store. */
  async answers({ step, columns, rows }: AnswerTable): Promise<void> {
    if (this.#artifacts === "") return;
    const path = `answers/step-${step}.json`;
    await this.#fetch("PUT", `mlflow-artifacts/artifacts/${this.#artifacts}/${path}`, JSON.stringify({ columns, data: rows }));
    if (!this.#tables.some((table) => table.path === path)) this.#tables.push({ path, type: "table" });
    const value = JSON.stringify(this.#tables);
    // MLflow's page shows the artifacts that this tag names as tables, and others as files. The tag's length is limited.
    if (value.length <= 5000) await this.#ask("runs/set-tag", { "run_id": this.#run, key: "mlflow.loggedArtifacts", value });
  }

  async end(ending: Ending): Promise<void> {
    const status = { done: "FINISHED", stopped: "KILLED", failed: "FAILED" }[ending];
    await this.#ask("runs/update", { "run_id": this.#run, status, "end_time": Date.now() });
  }

  async #experiment(name: string): Promise<string> {
    try {
      const answer = await this.#fetch("GET", `mlflow/experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`);
      return named.parse(answer).experiment["experiment_id"];
    } catch (error) {
      if (!(error instanceof KedgeError && error.details["status"] === 404)) throw error;
      return made.parse(await this.#ask("experiments/create", { name }))["experiment_id"];
    }
  }

  #ask(what: string, body: unknown): Promise<unknown> {
    return this.#fetch("POST", `mlflow/${what}`, JSON.stringify(body));
  }

  async #fetch(method: string, path: string, body?: string): Promise<unknown> {
    const { uri, credentials, timeout = 10_000 } = this.#options;
    const response = await fetch(`${uri.replace(/\/+$/, "")}/api/2.0/${path}`, {
      method,
      headers: { "content-type": "application/json", ...credentials && { authorization: authorization(credentials) } },
      ...(body !== undefined && { body }),
      signal: AbortSignal.timeout(timeout),
      redirect: "error", // the credentials must not go to another server
    });
    const text = await response.text();
    if (!response.ok) {
      throw new KedgeError(
        "Device",
        `Cannot reach ${this.name}: ${method} ${path.split("?")[0]} answered ${response.status} ${text.slice(0, 200)}`,
        {
          status: response.status,
        },
      );
    }
    return text === "" ? {} : JSON.parse(text);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

function authorization(credentials: NonNullable<MlflowOptions["credentials"]>): string {
  if ("token" in credentials) return `Bearer ${credentials.token}`;
  const bytes = new TextEncoder().encode(`${credentials.user}:${credentials.password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** Returns the path of a run's artifacts on the tracking server; "" if they are stored elsewhere. */
function artifactPath(uri: string): string {
  return /^mlflow-artifacts:\/(?:\/[^/]+\/)?(.+?)\/*$/.exec(uri)?.[1] ?? "";
}

/** Returns a name with the characters that MLflow accepts: letters, digits, "_", "-", ".", " ", "/". */
function mlflowKey(name: string): string {
  return name.replace(/[^\w\-. /]/g, "_").slice(0, BATCH.keyLength);
}

/** Returns the leaves of a configuration as text, by path. */
function flat(value: unknown, path = ""): Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { [path]: typeof value === "string" ? value : JSON.stringify(value) ?? "null" };
  }
  return Object.assign({}, ...Object.entries(value).map(([key, inner]) => flat(inner, path === "" ? key : `${path}.${key}`)));
}
