/**
 * One grading child process, from its parent's side.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import type { ChildMessage, GradeMessage, StartMessage } from "./grader_child.ts";
import { importFlags, isOwnModule, type ModuleAccess, moduleAccess } from "../module_access.ts";
import type { RewardPlan } from "../plan.ts";

/** The permissions of a child, and its options. */
export interface GraderProcessOptions {
  readonly plan: RewardPlan;
  /** Path or name of the Deno program. */
  readonly deno: string;
  /** Paths that graders may read. */
  readonly read: readonly string[];
  /** Hosts that graders may reach. */
  readonly net: readonly string[];
  /** Names of environment variables that graders may read. */
  readonly env: readonly string[];
  /** The largest heap, in MiB. */
  readonly memory: number;
  /** Milliseconds that loading may take. */
  readonly startLimit: number;
  /** Kills a child that is still loading. */
  readonly signal: AbortSignal;
}

/** The next message of a child, or the reason why there will be none. */
export type Received = ChildMessage | { readonly kind: "timeout" | "ended" } | { readonly kind: "garbage"; readonly text: string };

/** The longest line that a child may send, in characters. */
const MAX_LINE = 64 * 1024 * 1024;
/** The maximum number of unread lines. */
const MAX_LINES = 10_000;
/**
 * The longest interval that is counted at once, in milliseconds. While this process was suspended, by SIGSTOP for example, it could not
 * hear from a child.
 */
const TICK = 100;
/** Milliseconds from a child's end until its pipes are closed. */
const LEFT_BEHIND = 1_000;
/** The number of characters kept of what a child printed to standard error. */
const KEPT = 4_000;

/** Environment variables that Deno itself needs to find its cache. */
const OWN_ENVIRONMENT = ["HOME", "DENO_DIR", "XDG_CACHE_HOME", "PATH", "USERPROFILE", "LOCALAPPDATA"];

/** Returns the variables that this process may read, with their values; undefined if it may read none of them. */
function environment(names: readonly string[]): Record<string, string> | undefined {
  const found: Record<string, string> = {};
  let allowed = false;
  for (const variable of names) {
    if (Deno.permissions.querySync({ name: "env", variable }).state !== "granted") continue;
    allowed = true;
    const value = Deno.env.get(variable);
    if (value !== undefined) found[variable] = value;
  }
  return allowed ? found : undefined;
}

const SERVE = import.meta.resolve("./grader_child.ts");

/**
 * Returns the main module of a child.
 *
 * It imports Kedge's modules statically, which Deno lets it read. It imports the users' modules by names that Deno cannot see in advance,
 * so that Deno checks what they import against what the child may read. The data that Deno stores for an origin is out of their reach.
 */
function mainModule(modules: readonly string[]): string {
  const imports = modules.map((url, i) => isOwnModule(url) ? `import * as m${i} from ${JSON.stringify(url)};` : "").join("");
  const loads = modules.map((url, i) => isOwnModule(url) ? `m${i}` : `await import(${JSON.stringify([...url])}.join(""))`);
  const closes = ["localStorage", "sessionStorage", "caches"].map((name) => `delete globalThis.${name};`).join("");
  // This module comes first: from then on the child ends with its owner.
  const source = `import { serve } from ${JSON.stringify(SERVE)};${imports}${closes}await serve([${loads.join(",")}]);`;
  return `data:application/javascript,${encodeURIComponent(source)}`;
}

/** The preparation of a reward's processes. The first process computes it. */
export interface Preparation {
  /** Arguments for Deno; the main module comes last. */
  readonly args: readonly string[];
  readonly start: Deno.CommandOptions;
}

/** Computes the permissions of a reward's processes. */
export async function prepare(options: GraderProcessOptions): Promise<Preparation> {
  const { plan, deno } = options, users = plan.modules.filter((url) => !isOwnModule(url));
  const local = users.find((url) => url.startsWith("file:"));
  // The hosts that modules come from: those of the users' modules and of this one. A list of hosts would otherwise exclude them. Packages
  // of JSR are modules too.
  const remote = [...plan.modules, import.meta.url].filter((url) => /^https?:/.test(url)).map((url) => new URL(url).host);
  const env = environment([...OWN_ENVIRONMENT, ...options.env]),
    imports = [...new Set([...remote, ...users.length > 0 ? ["jsr.io", ...options.net] : []])];
  const start: Deno.CommandOptions = {
    ...(local === undefined ? {} : { cwd: new URL(".", local) }),
    ...(env === undefined ? {} : { clearEnv: true, env: { ...env, NO_COLOR: "1" } }),
  };
  const access: ModuleAccess = users.length === 0
    ? { files: [], config: undefined }
    : await moduleAccess([SERVE, ...plan.modules], { deno, imports, start, signal: options.signal, limit: options.startLimit, users });
  const odd = access.files.find((path) => path.includes(","));
  if (odd !== undefined) {
    throw new KedgeError("BadData", `Cannot load the reward ${odd}: Deno accepts no path with a comma; rename the file or its folder`, {
      file: odd,
    });
  }
  const list = (flag: string, values: readonly string[]) => values.length > 0 ? [`--allow-${flag}=${values.join(",")}`] : [];
  return {
    args: [
      "run",
      "--no-prompt",
      ...importFlags(access.config, imports),
      ...(users.length > 0 ? ["--cached-only"] : []), // a user's module must not fetch anything while it runs
      `--v8-flags=--max-old-space-size=${options.memory}`,
      ...list("read", [...access.files, ...options.read]),
      ...list("net", options.net),
      ...list("env", options.env),
      mainModule(plan.modules),
    ],
    start,
  };
}

/** The key of section `grader` that permits each kind of access. */
const PERMISSION_KEYS: Readonly<Record<string, string>> = { read: "read", import: "net", net: "net", env: "env" };

/** Explains how to permit the access that Deno refused to a module. */
function permissionHint(output: string): string {
  const [, access] = /Requires (read|import|net|env) access/.exec(output) ?? [];
  if (access === undefined) return "";
  return `\nA module may import files of its own folder, and packages by name; \`grader.${
    PERMISSION_KEYS[access]
  }\` of the configuration permits more`;
}

function textOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): ReadableStreamDefaultReader<string> {
  return stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array<ArrayBuffer>>).getReader();
}

async function* chunks(reader: ReadableStreamDefaultReader<string>): AsyncGenerator<string> {
  for (;;) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** A running child. Disposing kills it. */
export class GraderProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #mark: string;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: string[] = [];
  readonly #stdout: ReadableStreamDefaultReader<string>;
  readonly #stderr: ReadableStreamDefaultReader<string>;
  readonly #read: Promise<unknown>;
  #wake: (() => void) | undefined;
  #over = false;
  #killed = false;
  #printed = "";
  /** Whether its grader takes several samples at once. It is known when the child is ready. */
  batch = false;

  private constructor(child: Deno.ChildProcess, mark: string) {
    this.#child = child;
    this.#mark = mark;
    this.#writer = child.stdin.getWriter();
    this.#stdout = textOf(child.stdout);
    this.#stderr = textOf(child.stderr);
    this.#read = Promise.all([this.#readLines(), this.#readPrinted()]);
  }

  /**
   * Starts a child and waits until it is ready.
   *
   * @throws KedgeError "BadData" with Deno's message, if its modules do not load or export no reward.
   * @throws KedgeError "Unsupported" if the program is a wrapper around Deno, which a time limit would not end.
   * @throws Deno.errors.NotCapable if this process may not run Deno.
   */
  static async start(options: GraderProcessOptions, { args, start }: Preparation): Promise<GraderProcess> {
    const { plan, deno } = options;
    const child = new Deno.Command(deno, {
      ...start,
      args: [...args],
      stdin: "piped", // when it closes, the child ends
      stdout: "piped",
      stderr: "piped",
      // a terminal sends its signals to all of its processes; graders must not get them, because they would lose their samples
      detached: true,
    }).spawn();
    const process = new GraderProcess(child, `${crypto.randomUUID()} `);
    const kill = () => process.kill();
    options.signal.addEventListener("abort", kill);
    if (options.signal.aborted) kill();
    process.#write({ plan, mark: process.#mark } satisfies StartMessage);
    const message = await process.#ready(options.startLimit);
    options.signal.removeEventListener("abort", kill);
    if (message.kind === "ready" && message.pid === child.pid) {
      process.batch = message.batch;
      return process;
    }
    await process[Symbol.asyncDispose]();
    if (message.kind === "ready") {
      throw new KedgeError(
        "Unsupported",
        `Cannot run graders: ${deno} is a wrapper around Deno, and killing it at the time limit would leave Deno running; ` +
          `allow running ${Deno.execPath()} itself, or name Deno's program in the pool's \`deno\``,
        { deno },
      );
    }
    const output = message.kind === "refused"
      ? message.message
      : message.kind === "timeout"
      ? `not ready after ${options.startLimit} ms`
      : process.printed;
    throw new KedgeError(
      "BadData",
      `Cannot load the reward ${plan.modules.join(", ")}: ${output.replace(/\n\s+at async data:.*/, "").trim() || message.kind}${
        permissionHint(output)
      }`,
      {
        modules: plan.modules,
      },
    );
  }

  /** The process's id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** The last characters that the child printed to standard error. */
  get printed(): string {
    return this.#printed;
  }

  /** Sends samples. */
  send(message: GradeMessage): void {
    this.#write(message);
  }

  #write(message: StartMessage | GradeMessage): void {
    // If the child has exited, `next` reports it.
    this.#writer.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`)).catch(() => {});
  }

  /** Returns the first message and skips what modules print while they load. */
  async #ready(limit: number): Promise<Received> {
    const until = performance.now() + limit;
    for (;;) {
      // deno-lint-ignore no-await-in-loop -- line after line
      const received = await this.next(Math.max(1, until - performance.now()));
      if (received.kind !== "garbage") return received;
    }
  }

  /** Waits for the next message, for at most `limit` milliseconds in which this process runs. */
  async next(limit: number): Promise<Received> {
    for (let left = limit; left > 0 && this.#lines.length === 0 && !this.#over;) {
      const since = performance.now(), tick = Math.min(left, TICK);
      let timer: ReturnType<typeof setTimeout> | undefined;
      // deno-lint-ignore no-await-in-loop -- it waits
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, tick);
      });
      this.#wake = undefined;
      clearTimeout(timer);
      left -= Math.min(performance.now() - since, 2 * tick);
    }
    const line = this.#lines.shift();
    if (line === undefined) return { kind: this.#over ? "ended" : "timeout" };
    if (!line.startsWith(this.#mark)) return { kind: "garbage", text: line.slice(0, 200) };
    try {
      return JSON.parse(line.slice(this.#mark.length), (_, value) => value === null ? NaN : value) as ChildMessage;
    } catch {
      return { kind: "garbage", text: line.slice(this.#mark.length, this.#mark.length + 200) };
    }
  }

  async #readLines(): Promise<void> {
    let parts: string[] = [], length = 0;
    for await (const chunk of chunks(this.#stdout)) {
      const [first, ...rest] = chunk.split("\n");
      parts.push(first!);
      length += first!.length;
      for (const part of rest) {
        this.#lines.push(parts.join(""));
        parts = [part];
        length = part.length;
        this.#wake?.();
      }
      if (length > MAX_LINE || this.#lines.length > MAX_LINES) break; // endless garbage
    }
    if (length > 0) this.#lines.push(parts.join("").slice(0, 1_000));
    this.#over = true;
    this.#wake?.();
    await this.#stdout.cancel();
  }

  async #readPrinted(): Promise<void> {
    for await (const chunk of chunks(this.#stderr)) this.#printed = (this.#printed + chunk).slice(-KEPT);
  }

  /** Ends the process at once. */
  kill(): void {
    if (this.#killed) return;
    this.#killed = true;
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has exited already
    }
  }

  /** Kills the process and waits until it has exited and its pipes are closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await Promise.all([this.#child.status, this.#writer.close().catch(() => {})]);
    // Reads what it had printed. A process that it left behind would hold the pipes open.
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([this.#read, new Promise((resolve) => timer = setTimeout(resolve, LEFT_BEHIND))]);
    clearTimeout(timer);
    await Promise.all([this.#stdout.cancel(), this.#stderr.cancel()]);
    await this.#read;
  }
}
