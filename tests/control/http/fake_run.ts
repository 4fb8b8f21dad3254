import { valueAt, withChanges } from "../../../actors/config/tunable.ts";
import { loadConfig } from "../../../actors/config/load.ts";
import type { Config } from "../../../actors/config/schema.ts";
import type {
  ChatPiece,
  ChatReply,
  ChatRequest,
  ChatToken,
  CheckpointInfo,
  RunControl,
  RunEvent,
  RunState,
  RunStatus,
  StepRollouts,
  TunedField,
  Tuning,
} from "../../../actors/run_control.ts";
import { CommandedRun, type CommandName, type CommandReply } from "../../../actors/run_commands.ts";
import { KedgeError } from "../../../ffi/errors.ts";

/** The answer of the fake policy, token by token. */
export const ANSWER = ["The", " red", " number", " is", " 4", "2", "."];

const STEPS = [1, 2, 3, 5];

/** A run in memory without a model. It has the states, answers and refusals of a real run. */
export class FakeRun extends CommandedRun implements RunControl {
  /** The number of calls that change the run or ask its policy. */
  calls = 0;
  /** Milliseconds between two tokens. */
  pace = 0;
  /** An error that the next call throws, once, unless it is `status` or `config`. */
  fault: unknown;
  /** The chat requests so far. */
  readonly asked: ChatRequest[] = [];
  /** Chats that were cancelled. */
  aborted = 0;
  /** The number of running chats. */
  chatting = 0;
  /** Chats wait for this promise; undefined: they do not wait. */
  gate: Promise<void> | undefined;
  readonly #listeners = new Set<(event: RunEvent) => void>();
  #config: Config = loadConfig().config;
  #tuned: Record<string, unknown> = {};
  #state: RunState;
  #step = 3;

  constructor(state: RunState = "idle") {
    super();
    this.#state = state;
  }

  protected override command<C extends CommandName>(name: C): Promise<CommandReply<C>> {
    return Promise.reject(new RangeError(`Cannot ${name}: this fake has no such command`));
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Sets the state, as if the run had reached it by itself. */
  become(state: RunState): void {
    this.#state = state;
    this.emit({ kind: "status", data: this.#status() });
  }

  emit(event: RunEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  config(): Config {
    return this.#config;
  }

  tuned(): Readonly<Record<string, unknown>> {
    return this.#tuned;
  }

  status(): Promise<RunStatus> {
    return Promise.resolve(this.#status());
  }

  start(): Promise<RunStatus> {
    return this.#move("start", {
      from: ["idle", "stopped", "failed"],
      to: "running",
      already: ["starting", "warm-start", "running", "paused"],
    });
  }

  override pause(): Promise<RunStatus> {
    return this.#move("pause", { from: ["running", "warm-start"], to: "paused", already: ["paused"] });
  }

  override resume(): Promise<RunStatus> {
    return this.#move("resume", { from: ["paused"], to: "running", already: ["running"] });
  }

  override stop(): Promise<RunStatus> {
    return this.#move("stop", { from: ["running", "paused", "warm-start"], to: "stopped", already: ["stopping", "stopped", "done"] });
  }

  override async checkpoint(): Promise<{ step: number; path: string }> {
    await this.#need("write a checkpoint", ["running", "paused"]);
    this.emit({ kind: "checkpoint", data: { step: this.#step } });
    return { step: this.#step, path: `runs/board/checkpoints/step-${this.#step}` };
  }

  override async evaluate(): Promise<{ step: number; metrics: Record<string, number> }> {
    await this.#need("evaluate", ["running", "paused"]);
    return { step: this.#step, metrics: { "val/accuracy": 0.5, "val/odd": NaN } };
  }

  override async tune(changes: Readonly<Record<string, unknown>>): Promise<Tuning> {
    this.calls++;
    await this.#mayFail();
    if ("algorithm.kl.coefficient" in changes) {
      throw new KedgeError("State", "Cannot change the KL coefficient: no reference is loaded", { state: this.#state });
    }
    if (changes["atrl.wMin"] === 7) throw new RangeError("Cannot weigh from 7: the least weight is above the greatest");
    const changed: TunedField[] = Object.entries(changes).map(([path, to]) => ({ path, from: valueAt(this.#config, path), to }))
      .filter(({ from, to }) => from !== to);
    this.#config = withChanges(this.#config, changes);
    Object.assign(this.#tuned, Object.fromEntries(changed.map(({ path, to }) => [path, to])));
    const tuning = { changed, fromStep: this.#step + 2 };
    this.emit({ kind: "tuned", data: tuning });
    return tuning;
  }

  async chat(request: ChatRequest, options: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void } = {}): Promise<ChatReply> {
    const { signal, onPiece } = options;
    this.calls++;
    this.chatting++;
    try {
      await this.#mayFail();
      if (["idle", "starting", "failed"].includes(this.#state)) {
        throw new KedgeError("State", "Cannot answer: no policy is loaded", { state: this.#state });
      }
      this.asked.push(request);
      const given = Promise.withResolvers<never>(), giveUp = () => given.reject(new DOMException("Given up", "AbortError"));
      given.promise.catch(() => {});
      signal?.addEventListener("abort", giveUp);
      if (signal?.aborted) giveUp();
      try {
        if (this.gate) await Promise.race([this.gate, given.promise]);
        return await this.#answer(request, { onPiece, given: given.promise });
      } catch (error) {
        if (signal?.aborted) this.aborted++;
        throw error;
      } finally {
        signal?.removeEventListener("abort", giveUp);
      }
    } finally {
      this.chatting--;
    }
  }

  async #answer(
    request: ChatRequest,
    options: { onPiece: ((piece: ChatPiece) => void) | undefined; given: Promise<never> },
  ): Promise<ChatReply> {
    const { n, maxTokens, stop, connectivity } = request, whole = ANSWER.join("");
    const stops = stop.map((text) => whole.indexOf(text)).filter((at) => at >= 0);
    const end = stops.length > 0 ? Math.min(...stops) : whole.length;
    const tokens: ChatToken[] = [];
    let text = "";
    for (const token of ANSWER.slice(0, maxTokens)) {
      // deno-lint-ignore no-await-in-loop -- token by token
      if (this.pace > 0) await pause(this.pace, options.given);
      const known = text.length;
      text = (text + token).slice(0, end);
      tokens.push({ text: token, logprob: -0.25 });
      for (let sample = 0; sample < n; sample++) options.onPiece?.({ sample, text: text.slice(known), tokens: [tokens.at(-1)!] });
      if (text.length >= end) break;
    }
    const seen = {
      values: tokens.map(() => 0.5),
      anchors: tokens.map((_, i) => i === 4),
      clusters: tokens.map(() => 0),
      weights: tokens.map(() => 1),
      profiles: tokens.map(() => [0.75, 0.25]),
      regions: [{ visual: 0, left: 0, top: 0, width: 0.5, height: 1 }, { visual: 0, left: 0.5, top: 0, width: 0.5, height: 1 }],
    };
    const finish = text.length >= end ? "stop" as const : "length" as const;
    const answers = Array.from({ length: n }, () => ({ text, tokens, finish, ...(connectivity && { connectivity: seen }) }));
    return { step: this.#step, promptTokens: 11, answers };
  }

  async metrics({ since, limit }: { since: number; limit: number }): Promise<Record<string, unknown>[]> {
    await this.#mayFail();
    return STEPS.filter((step) => step > since).slice(-limit).map((step) => ({
      step,
      "reward/overall": step / 10,
      "actor/entropy": 1.5,
      ...(step === 2 && { "val/accuracy": 0.25 }),
      "actor/skipped": NaN,
      note: "words",
    }));
  }

  async rollouts(step?: number): Promise<StepRollouts> {
    await this.#mayFail();
    const at = step ?? STEPS.at(-1)!;
    if (!STEPS.includes(at)) return { step: null, steps: STEPS, samples: [] };
    return {
      step: at,
      steps: STEPS,
      samples: [{ step: at, "prompt_id": "p", sample: 0, response: "4", tokens: ["4"], reward: { overall: 1 } }],
    };
  }

  async checkpoints(): Promise<CheckpointInfo[]> {
    await this.#mayFail();
    return [{ step: 2, score: null, best: false, path: "runs/board/checkpoints/step-2" }, { step: 3, score: 0.5, best: true, path: "x" }];
  }

  listen(listener: (event: RunEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #status(): RunStatus {
    const error = this.#state === "failed" ? { error: "Cannot go on: the loss is not finite" } : {};
    return {
      state: this.#state,
      name: "board",
      step: this.#step,
      maxSteps: 60,
      pausing: false,
      accounts: { policy: 1024, 'odd"name\\': 2 },
      ...error,
    };
  }

  async #move(name: string, options: { from: readonly RunState[]; to: RunState; already: readonly RunState[] }): Promise<RunStatus> {
    await this.#need(name, [...options.from, ...options.already]);
    if (!options.already.includes(this.#state)) this.become(options.to);
    return this.#status();
  }

  async #need(what: string, states: readonly RunState[]): Promise<void> {
    this.calls++;
    await this.#mayFail();
    if (!states.includes(this.#state)) throw new KedgeError("State", `Cannot ${what}: the run is ${this.#state}`, { state: this.#state });
  }

  #mayFail(): Promise<void> {
    const { fault } = this;
    this.fault = undefined;
    if (fault !== undefined) throw fault;
    return Promise.resolve();
  }
}

/** Waits some milliseconds, unless `given` rejects earlier. */
async function pause(time: number, given: Promise<never>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await Promise.race([new Promise<void>((resolve) => timer = setTimeout(resolve, time)), given]);
  } finally {
    clearTimeout(timer);
  }
}
