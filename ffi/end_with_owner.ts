/** Ends a process when the one that started it ends. */
interface OwnedOptions {
  /** Is called with what the owner writes, as it comes. */
  readonly onText?: (text: string) => void;
  /** Is called when the input has ended. */
  readonly onEnd?: () => void;
  /** Milliseconds from then until the process is killed. Default 0. */
  readonly grace?: number;
  /** The text that is written to standard error before the process is killed. */
  readonly words?: string;
}

/** Milliseconds that the words may take, where nobody reads them. */
const SAYING = 200;

// Deno lets every process kill itself, whatever else it may do; and a signal ends also one whose main thread is stuck, which an exit does not.
const WATCH = async ({ grace, words, saying }: { grace: number; words: string; saying: number }) => {
  const decoder = new TextDecoder(), buffer = new Uint8Array(65_536), { postMessage } = self as unknown as Worker;
  // deno-lint-ignore no-await-in-loop -- in order
  for (let n; (n = await Deno.stdin.read(buffer).catch(() => null)) !== null;) {
    postMessage(decoder.decode(buffer.subarray(0, n), { stream: true }));
  }
  postMessage(null);
  const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));
  await pause(grace);
  if (words !== "") await Promise.race([pause(saying), Deno.stderr.write(new TextEncoder().encode(words)).catch(() => {})]);
  Deno.kill(Deno.pid, "SIGKILL");
};

/**
 * Ends this process with the one that started it, whatever ended that one: it holds the other end of this one's standard input, which a thread of its own reads to its
 * end. Needs no permission. The thread keeps the process alive: end it by `Deno.exit`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * // A process that would run forever, its only thread at work.
 * const source = `import { endWithOwner } from "${import.meta.resolve("./end_with_owner.ts")}"; endWithOwner(); for (;;);`;
 * const program = `data:application/javascript,${encodeURIComponent(source)}`;
 * const child = new Deno.Command("deno", { args: ["run", "--no-prompt", program], stdin: "piped" }).spawn();
 * await child.stdin.close(); // as the death of this process would
 * assertEquals((await child.status).signal, "SIGKILL");
 * ```
 */
export function endWithOwner({ onText, onEnd, grace = 0, words = "" }: OwnedOptions = {}): void {
  const source = `(${WATCH})(${JSON.stringify({ grace, words, saying: SAYING })})`;
  const watcher = new Worker(`data:application/javascript,${encodeURIComponent(source)}`, { type: "module", name: "owner" });
  watcher.onmessage = ({ data }: MessageEvent<string | null>) => data === null ? onEnd?.() : onText?.(data);
}

/** Signals by which a terminal, a shell or a service manager ends all processes of a group. */
export const ENDING: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM", "SIGHUP"];

/** Leaves it to the owner when this process ends: signals that reach the whole group do nothing here. */
export function leaveToOwner(): void {
  for (const signal of ENDING) Deno.addSignalListener(signal, () => {});
}
