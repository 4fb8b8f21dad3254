import { makeToken } from "../../control/http/token.ts";
import { findProgram } from "./programs.ts";
import { writeRequest } from "./request.ts";
import type { ServeRequest, Serving } from "./serve_run.ts";

/**
 * Returns the command prefix that lowers the scheduling priority of all threads below that of training. On Linux the threads
 * also do not preempt others when they wake. Programs that this machine lacks or this process may not start are omitted.
 */
function yielding(): string[] {
  const isAllowed = (command: string) => Deno.permissions.querySync({ name: "run", command }).state === "granted";
  const has = (name: string) => findProgram(name) !== undefined && isAllowed(name);
  return [...has("chrt") ? ["chrt", "--batch", "0"] : [], ...has("nice") ? ["nice", "-n", "19"] : []];
}

/** The process that serves a run, from its parent's side. */
export class Endpoint implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  /** Resolves if the process ends by itself. */
  readonly lost: Promise<void>;
  #closing = false;
  /** The address, such as "http://127.0.0.1:8787". */
  readonly url: string;
  /** The value of KEDGE_LINK for the training process. */
  readonly link: string;

  private constructor(child: Deno.ChildProcess, { url, linkPort }: Serving, secret: string) {
    this.#child = child;
    this.url = url;
    this.link = `${linkPort}:${secret}`;
    this.lost = new Promise((resolve) => void child.status.then(() => this.#closing || resolve()));
  }

  /**
   * Starts the process, and waits until it listens.
   *
   * @param given `token`: the token that clients must send. `reads`: paths that the process may read.
   * @throws {RangeError} if the process does not get to listen. It has printed why.
   */
  static async open(request: ServeRequest, { token, reads }: { token: string; reads: readonly string[] }): Promise<Endpoint> {
    const secret = makeToken(), host = request.hostname.includes(":") ? `[${request.hostname}]` : request.hostname;
    const flags = [
      "--no-prompt",
      `--allow-net=${[...new Set(["127.0.0.1", host])].join(",")}`,
      reads.some((path) => path.includes(",")) ? "--allow-read" : `--allow-read=${reads.join(",")}`,
      "--allow-env=KEDGE_TOKEN,KEDGE_LINK",
    ];
    const command = ["deno", "run", ...flags, new URL("./serve_run.ts", import.meta.url).href];
    const [program, ...args] = [...yielding(), ...command] as [string, ...string[]];
    const child = new Deno.Command(program, {
      args,
      // Secrets are passed in the environment, because all users of a machine can read arguments.
      env: { "KEDGE_TOKEN": token, "KEDGE_LINK": secret },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const input = child.stdin.getWriter();
    writeRequest(input, request);
    input.releaseLock();
    let text = "";
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.includes("\n")) return new Endpoint(child, JSON.parse(text) as Serving, secret);
    }
    await child.stdin.close();
    await child.status;
    throw new RangeError("Cannot serve the run: see above");
  }

  /** Ends the process. It closes its streams first. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
  }
}
