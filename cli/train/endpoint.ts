import { findProgram } from "./programs.ts";
import { makeToken } from "../../control/http/token.ts";
import type { ServeRequest, Serving } from "./serve_run.ts";

/**
 * What a command begins with so that all of its threads yield the processor to training: the lowest priority, and on Linux no turn out of turn on waking. What this
 * machine does not have, or this process may not start, is left out.
 */
function yielding(): string[] {
  const isAllowed = (command: string) => Deno.permissions.querySync({ name: "run", command }).state === "granted";
  const has = (name: string) => findProgram(name) !== undefined && isAllowed(name);
  return [...has("chrt") ? ["chrt", "--batch", "0"] : [], ...has("nice") ? ["nice", "-n", "19"] : []];
}

/** The process that serves a run, as its parent holds it. */
export class Endpoint implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  /** Resolves where it ends by itself. */
  readonly lost: Promise<void>;
  #closing = false;
  /** As "http://127.0.0.1:8787". */
  readonly url: string;
  /** For KEDGE_LINK of the process that trains. */
  readonly link: string;

  private constructor(child: Deno.ChildProcess, { url, linkPort }: Serving, secret: string) {
    this.#child = child;
    this.url = url;
    this.link = `${linkPort}:${secret}`;
    this.lost = new Promise((resolve) => void child.status.then(() => this.#closing || resolve()));
  }

  /**
   * Starts it, and waits until it listens.
   *
   * @param given `token`: what clients must know. `reads`: paths that it may read.
   * @throws {RangeError} where it does not come to listen; it has said why.
   */
  static async open(request: ServeRequest, { token, reads }: { token: string; reads: readonly string[] }): Promise<Endpoint> {
    const secret = makeToken(), host = request.hostname.includes(":") ? `[${request.hostname}]` : request.hostname;
    const flags = [
      "--no-prompt",
      `--allow-net=${[...new Set(["127.0.0.1", host])].join(",")}`,
      reads.some((path) => path.includes(",")) ? "--allow-read" : `--allow-read=${reads.join(",")}`,
      "--allow-env=KEDGE_TOKEN,KEDGE_LINK",
    ];
    const command = ["deno", "run", ...flags, new URL("./serve_run.ts", import.meta.url).href, JSON.stringify(request)];
    const [program, ...args] = [...yielding(), ...command] as [string, ...string[]];
    const child = new Deno.Command(program, {
      args,
      // Secrets go by the environment: arguments can be read by all users of a machine.
      env: { "KEDGE_TOKEN": token, "KEDGE_LINK": secret },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    let text = "";
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.includes("\n")) return new Endpoint(child, JSON.parse(text) as Serving, secret);
    }
    await child.stdin.close();
    await child.status;
    throw new RangeError("Cannot serve the run: see above");
  }

  /** Ends it: streams first, then the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
  }
}
