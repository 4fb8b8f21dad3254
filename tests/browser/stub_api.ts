import { dashboardPage } from "../../control/dashboard/page.ts";
import { connectivityOf, metricsLine, rolloutLines, warmLine } from "./stub_run.ts";

type Fields = Record<string, unknown>;

/** A request that the stub received. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly lastEventId: string | null;
}

const TUNABLE = { "optim.lr": 1e-4, "rollout.temperature": 1, "atrl.mode": "soft", "atrl.anchorFraction": 150 };
const OPENAPI = {
  openapi: "3.1.0",
  info: { title: "Stub", version: "1" },
  paths: {
    "/v1/status": {
      get: {
        summary: "How the run stands",
        responses: { 200: { description: "It", content: { "application/json": { schema: { $ref: "#/components/schemas/S" } } } } },
      },
    },
    "/v1/metrics": {
      get: {
        summary: "Lines of metrics",
        parameters: [{ name: "since", in: "query", schema: { type: "integer", default: -1 }, description: "Lines of steps above it" }],
        responses: { 200: { description: "Lines" }, 401: { description: "No token" } },
      },
    },
  },
  components: {
    schemas: { S: { type: "object", required: ["step"], properties: { step: { type: "integer", description: "Steps that are done" } } } },
  },
};

/** Serves the page and an endpoint that follows the documented interface. The test controls its run. */
export class StubApi implements AsyncDisposable {
  readonly token = "stub-token";
  readonly asked: Asked[] = [];
  readonly status: Fields = { state: "running", name: "stub", step: 12, maxSteps: 100, pausing: false, accounts: {} };
  metrics: Fields[] = [
    ...Array.from({ length: 20 }, (_, i) => warmLine(i + 1)),
    ...Array.from({ length: 12 }, (_, i) => metricsLine(i + 1)),
  ];
  rollouts = new Map<number, Fields[]>([[11, rolloutLines(11)], [12, rolloutLines(12)]]);
  /** The tokens with which the policy answers a chat. */
  words: readonly string[] = [" i", " see", " a", " red", " 4", " ."];
  readonly #tunable: Record<string, unknown> = { ...TUNABLE };
  readonly #streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
  readonly #ring: { id: number; frame: string }[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #last = 0;
  #down = false;

  constructor(port = 0) {
    this.#server = Deno.serve({ port, hostname: "127.0.0.1", onListen: () => {} }, (request) => this.#answer(request));
  }

  /** The page's address, without the token. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** The page's address with the token. */
  get signed(): string {
    return `${this.url}#token=${this.token}`;
  }

  /** Returns the requests for a path. */
  to(path: string): Asked[] {
    return this.asked.filter((one) => one.path === path);
  }

  /** Sends an event to all listeners. */
  emit(event: string, data: unknown): void {
    const id = ++this.#last, frame = `id: stub-${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    this.#ring.push({ id, frame });
    for (const stream of this.#streams) stream.enqueue(new TextEncoder().encode(frame));
  }

  /** Makes the run complete a step. */
  step(): void {
    const step = Number(this.status.step) + 1, line = metricsLine(step);
    this.status.step = step;
    this.metrics.push(line);
    this.rollouts.set(step, rolloutLines(step));
    this.emit("metrics", line);
    this.emit("rollouts", { step, samples: 4 });
  }

  /** Changes the run's state. */
  setState(change: Fields): void {
    Object.assign(this.status, change);
    this.emit("status", this.status);
  }

  /** Closes all streams. With `down`, no new ones open. */
  cut(down = false): void {
    this.#down = down;
    for (const stream of this.#streams) stream.close();
    this.#streams.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut(true);
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/" || pathname === "/docs") {
      const { html, headers } = dashboardPage();
      return new Response(html, { headers });
    }
    const body = request.body ? await request.json() : undefined, lastEventId = request.headers.get("last-event-id");
    this.asked.push({ method: request.method, path: pathname, body, lastEventId });
    if (request.headers.get("authorization") !== `Bearer ${this.token}`) return refusal(401, { message: "Cannot let in: no such token" });
    switch (pathname) {
      case "/v1/status":
        return Response.json(this.status);
      case "/v1/metrics":
        return Response.json({ lines: this.metrics });
      case "/v1/rollouts":
        return this.#rollouts(searchParams.get("step"));
      case "/v1/events":
        return this.#down ? refusal(503, { message: "Cannot stream: down" }) : this.#events(lastEventId);
      case "/v1/config":
        return request.method === "PATCH"
          ? this.#tune(body)
          : Response.json({ config: { sft: { steps: 600 } }, tuned: {}, tunable: this.#tunable });
      case "/v1/chat/completions":
        return this.#chat(body);
      case "/openapi.json":
        return Response.json(OPENAPI);
      case "/v1/checkpoint":
        return Response.json({ step: this.status.step, path: "runs/stub/checkpoints/step-12" });
      case "/v1/evaluate":
        return refusal(409, { message: "Cannot evaluate: no data", state: String(this.status.state) });
      case "/v1/pause":
        Object.assign(this.status, { pausing: true }); // the run is paused when the test says so
        return Response.json(this.status);
      case "/v1/resume":
        // The event of the new state may arrive before the answer, which is then older.
        this.setState({ state: "running", pausing: false });
        await new Promise((resolve) => setTimeout(resolve, 100));
        return Response.json({ ...this.status, state: "paused", pausing: true });
      case "/v1/stop":
        this.setState({ state: "stopping" });
        return Response.json(this.status);
    }
    return refusal(404, { message: "Cannot find it" });
  }

  #rollouts(asked: string | null): Response {
    const steps = [...this.rollouts.keys()];
    if (asked === null && steps.length === 0) return Response.json({ step: null, steps, samples: [] });
    const step = asked === null ? steps.at(-1)! : Number(asked), samples = this.rollouts.get(step);
    return samples ? Response.json({ step, steps, samples }) : refusal(404, { message: `Cannot find the answers of step ${step}` });
  }

  #events(lastEventId: string | null): Response {
    const missed = lastEventId === null ? [] : this.#ring.filter(({ id }) => id > Number(lastEventId.split("-")[1]));
    const first = `retry: 100\n\n: hello\n\nid: stub-${this.#last - missed.length}\nevent: status\ndata: ${
      JSON.stringify(this.status)
    }\n\n${missed.map(({ frame }) => frame).join("")}`;
    let own: ReadableStreamDefaultController<Uint8Array>;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        own = controller;
        this.#streams.add(controller);
        controller.enqueue(new TextEncoder().encode(first));
      },
      cancel: () => void this.#streams.delete(own),
    });
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  }

  #tune(body: unknown): Response {
    const walk = (at: unknown, path: string): [string, unknown][] =>
      typeof at === "object" && at !== null
        ? Object.entries(at).flatMap(([key, inner]) => walk(inner, path ? `${path}.${key}` : key))
        : [[path, at]];
    const changes = walk(body, ""), bad = changes.find(([, value]) => typeof value === "number" && value < 0);
    if (bad) return refusal(422, { message: "Cannot tune: it must be at least 0", param: bad[0] });
    const changed = changes.map(([path, to]) => ({ path, from: this.#tunable[path], to })),
      tuning = { changed, fromStep: Number(this.status.step) + 1 };
    Object.assign(this.#tunable, Object.fromEntries(changes));
    this.emit("tuned", tuning);
    return Response.json(tuning);
  }

  #chat(body: unknown): Response {
    const tokens = this.words,
      encoder = new TextEncoder(),
      pause = () => new Promise((resolve) => setTimeout(resolve, 30));
    const hasPicture = JSON.stringify(body).includes("image_url");
    const chunk = (choice: object) =>
      encoder.encode(
        `data: ${
          JSON.stringify({
            object: "chat.completion.chunk",
            "system_fingerprint": `step-${this.status.step}`,
            choices: [{ index: 0, ...choice }],
          })
        }\n\n`,
      );
    const stream = new ReadableStream<Uint8Array>({
      async start(controller) {
        for (const token of tokens) {
          controller.enqueue(
            chunk({
              delta: { content: token },
              logprobs: { content: [{ token, logprob: -0.5, bytes: null, top_logprobs: [] }] },
              finish_reason: null,
            }),
          );
          // deno-lint-ignore no-await-in-loop -- words come one after the other
          await pause();
        }
        const connectivity = connectivityOf(tokens, 3), looked = hasPicture ? connectivity : { ...connectivity, profiles: [], regions: [] };
        controller.enqueue(chunk({ delta: {}, finish_reason: "stop", connectivity: looked }));
        controller.enqueue(encoder.encode("data: [DONE]\n\n"));
        controller.close();
      },
    });
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  }
}

function refusal(status: number, { message, param = null, state }: { message: string; param?: string | null; state?: string }): Response {
  return Response.json({ error: { message, type: "invalid_request_error", code: null, param, ...(state && { state }) } }, { status });
}
