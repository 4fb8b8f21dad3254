import type { Config } from "../../actors/config/types.ts";
import type { CommandArgument, CommandName, CommandReply } from "../../actors/run_commands.ts";
import { fromPlain } from "../../actors/runtime/protocol.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { WatchedRun } from "../run/watched_run.ts";
import type { ChatPiece, ChatReply, ChatRequest, RunEvent, RunStatus } from "../../actors/run_control.ts";
import type { AskedMethod, Channel, LinkMessage } from "./channel.ts";

/** Milliseconds that a request waits for the run's process to connect. */
const ATTACH_TIME = 10_000;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onPiece: ((piece: ChatPiece) => void) | undefined;
}

/**
 * A run in another process, which may crash and be restarted. Until it connects again, the run's state is "starting". The run's files are
 * read from its directory by this process.
 */
export class LinkedRun extends WatchedRun {
  readonly #pending = new Map<number, Pending>();
  #channel: Channel | undefined;
  #arrival: PromiseWithResolvers<Channel> = Promise.withResolvers();
  #serial = 0;
  #last: RunStatus;

  /** @param config The configuration without later changes. */
  constructor(config: Config) {
    super(config);
    const { lastStep: step } = this;
    this.#last = { state: "starting", name: config.name, step, maxSteps: config.trainer.maxSteps, pausing: false, accounts: {} };
  }

  /**
   * Uses a channel from now on, until it ends. The previous channel is closed. @param messages The channel's messages, if some were read
   * already.
   */
  async attach(channel: Channel, messages: AsyncIterable<LinkMessage> = channel.messages()): Promise<void> {
    this.#channel?.[Symbol.dispose]();
    this.#channel = channel;
    this.#arrival.resolve(channel);
    this.forget();
    // The loop below receives its answer.
    this.status().then((data) => this.emit({ kind: "status", data }), () => {});
    for await (const message of messages) this.#take(message);
    channel[Symbol.dispose]();
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    this.#arrival = Promise.withResolvers();
    const error = new KedgeError("Actor", "Cannot answer: the process of the run has ended");
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.emit({ kind: "status", data: await this.status() });
  }

  #take(message: LinkMessage): void {
    if (message.kind === "event") return this.emit(message.event);
    if (message.kind !== "piece" && message.kind !== "answer" && message.kind !== "refusal") return;
    const pending = this.#pending.get(message.id);
    if (message.kind === "piece") return pending?.onPiece?.(message.piece);
    this.#pending.delete(message.id);
    if (message.kind === "answer") pending?.resolve(message.value);
    else pending?.reject(fromPlain(message.error));
  }

  protected override emit(event: RunEvent): void {
    if (event.kind === "status") this.#last = event.data;
    super.emit(event);
  }

  async #ask<T>(
    method: AskedMethod,
    argument?: unknown,
    { signal, onPiece }: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void } = {},
  ): Promise<T> {
    const channel = this.#channel ?? await this.#attached(method), id = ++this.#serial;
    if (method !== "status") this.forget();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>(), cancel = () => channel.send({ kind: "cancel", id });
    this.#pending.set(id, { resolve, reject, onPiece });
    channel.send({ kind: "ask", id, method, ...(argument !== undefined && { argument }) });
    if (signal?.aborted) cancel();
    signal?.addEventListener("abort", cancel);
    try {
      return await promise as T;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Returns the channel when the run's process has connected. @throws {KedgeError} `State` if that takes too long. */
  async #attached(method: AskedMethod): Promise<Channel> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), ATTACH_TIME));
    const channel = await Promise.race([this.#arrival.promise, late]);
    clearTimeout(timer);
    if (!channel) throw new KedgeError("State", `Cannot ${method}: the run is starting`, { state: "starting" });
    return channel;
  }

  protected override async askStatus(): Promise<RunStatus> {
    const lost: RunStatus = { ...this.#last, state: "starting", pausing: false, accounts: {} };
    if (!this.#channel) return lost;
    try {
      return this.#last = await this.#ask<RunStatus>("status");
    } catch (error) {
      if (error instanceof KedgeError && error.code === "Actor") return lost; // it has ended meanwhile
      throw error;
    }
  }

  override start(): Promise<RunStatus> {
    return this.#ask("start");
  }

  protected override command<C extends CommandName>(name: C, argument?: CommandArgument<C>): Promise<CommandReply<C>> {
    return this.#ask(name, argument);
  }

  override chat(request: ChatRequest, options: { signal?: AbortSignal; onPiece?: (piece: ChatPiece) => void } = {}): Promise<ChatReply> {
    return this.#ask("chat", request, options);
  }
}
