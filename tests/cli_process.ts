/** Commands as processes, and what becomes of processes. */
import { assert } from "@std/assert";
import { ROOT } from "./root.ts";

/** How a command is started. */
export interface CliOptions {
  readonly env?: Record<string, string>;
  /** Whether it leads a group of processes of its own, as what a terminal starts does. */
  readonly group?: boolean;
  /** Programs it may run; default all. */
  readonly run?: string;
}

/** A running program of the repository, with its output and its input. */
export class CliProcess implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  readonly ended: Promise<Deno.CommandStatus>;
  output = "";
  readonly #read: Promise<unknown>;

  /** @param script Relative to the repository. */
  constructor(script: string, args: readonly string[], { env = {}, group = false, run }: CliOptions = {}) {
    const allowed = run === undefined ? "--allow-run" : `--allow-run=${run}`;
    const permissions = ["--no-prompt", "--allow-read", allowed, "--allow-env=PATH,HOME,DENO_DIR,KEDGE_TOKEN"];
    this.child = new Deno.Command("deno", {
      args: ["run", ...permissions, `${ROOT}/${script}`, ...args],
      cwd: ROOT,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: group,
    }).spawn();
    const take = async (stream: ReadableStream<Uint8Array>) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) this.output += text;
    };
    this.#read = Promise.all([take(this.child.stdout), take(this.child.stderr)]);
    this.ended = this.child.status;
  }

  /** Waits until the output matches. */
  async says(words: RegExp): Promise<RegExpExecArray> {
    await until(() => words.test(this.output), () => `it never said ${words}: ${this.output}`);
    return words.exec(this.output)!;
  }

  /** Waits for its end and for all of its output. */
  async end(): Promise<Deno.CommandStatus> {
    const status = await this.ended;
    await this.#read;
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGTERM");
    } catch { // it has ended
    }
    await this.end();
  }
}

/** Waits until a condition holds, for at most some minutes, because machines may be busy. */
export async function until(is: () => boolean | Promise<boolean>, words: () => string = () => "it never came about"): Promise<void> {
  for (const start = performance.now(); performance.now() - start < 240_000;) {
    // deno-lint-ignore no-await-in-loop -- it waits
    if (await is()) return;
    // deno-lint-ignore no-await-in-loop -- as above
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(words());
}

/** Returns what a program prints. It runs in another process with all permissions. */
export async function evaluated(code: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", { args: ["eval", code], stdin: "null" }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** Returns the ids and the commands of a process and its descendants. It works only on Linux. */
export async function family(pid: number): Promise<{ pid: number; command: string }[]> {
  const text = await evaluated(`const all = [];
    for (const { name } of Deno.readDirSync("/proc")) try {
      const stat = Deno.readTextFileSync(\`/proc/\${name}/stat\`).replace(/.*\\) /, "").split(" ");
      all.push({ pid: Number(name), parent: Number(stat[1]), command: Deno.readTextFileSync(\`/proc/\${name}/cmdline\`).replaceAll("\\0", " ") });
    } catch { /* gone, or no process */ }
    const own = new Set([${pid}]);
    for (let before = 0; before < own.size;) { before = own.size; for (const one of all) if (own.has(one.parent)) own.add(one.pid); }
    console.log(JSON.stringify(all.filter((one) => own.has(one.pid))));`);
  return JSON.parse(text);
}

/** Waits until none of these processes runs, for at most some seconds. @returns Those that still run. */
export async function afterDeath(pids: readonly number[]): Promise<number[]> {
  const text = await evaluated(`let left = ${JSON.stringify(pids)};
    const lives = (pid) => { try { return !/^State:\\s*[ZX]/m.test(Deno.readTextFileSync(\`/proc/\${pid}/status\`)); } catch { return false; } };
    for (let i = 0; i < 200 && (left = left.filter(lives)).length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(JSON.stringify(left));`);
  return JSON.parse(text);
}

/** Sends a signal to a process, or to a group by a negative number. */
export async function send(pid: number, signal: Deno.Signal): Promise<void> {
  // Faults are sent twice, because V8's own handler ignores the first one.
  const again = signal === "SIGSEGV" ? `setTimeout(() => Deno.kill(${pid}, "${signal}"), 100);` : "";
  await evaluated(`Deno.kill(${pid}, "${signal}"); ${again}`);
}
