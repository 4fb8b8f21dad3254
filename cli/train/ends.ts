/** The exit code of a run that was stopped before its end. Commands and the training process use it. */
export const STOPPED = 130;

/**
 * The exit code of the training process after an error that it has printed. The commands themselves use 1, but a panic of the runtime ends
 * with 1 too.
 */
export const FAILED = 97;

/** The exit code of the ranks of a run when one of them did not come, or lost an actor. The run is restarted. */
export const LOST = 75;

/** How the training process ended. */
export interface End {
  /**
   * `order`: it finished, was stopped, or failed and printed why. `asked`: a signal asked it to end before it could listen. `fault`:
   * anything else; the process is restarted.
   */
  readonly kind: "order" | "asked" | "fault";
  /** The exit code of the command if the process is not restarted. */
  readonly code: number;
  /** The cause and what it usually means; "" if the process ended in order. */
  readonly words: string;
}

/** Signals that people, shells and service managers use to end a process. */
const ASKING: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);

const MEANINGS: Readonly<Record<string, string>> = {
  SIGKILL: "usually the system is out of memory (see dmesg), or a kill -9",
  SIGTRAP: "usually the runtime is out of heap, or aborted",
  SIGABRT: "native code or the runtime aborted",
  SIGSEGV: "a fault in native code",
  SIGBUS: "a fault in native code, or a mapped file that was truncated",
  SIGFPE: "a fault in native code",
  SIGILL: "an instruction that this processor does not have; usually the kernels were built for another one",
  SIGSYS: "a forbidden system call",
  SIGXCPU: "the limit of processor time, ulimit -t",
  SIGXFSZ: "the limit of file size, ulimit -f",
  SIGPIPE: "it wrote to a closed pipe",
  "1": "an uncaught error, or a panic of the runtime, for example because file handles ran out (ulimit -n)",
  "70": "a panic of the runtime",
  "101": "a panic of the runtime",
  "127": "a program was not found",
  "75": "a rank was lost, or did not come within world.timeoutSeconds",
  "134": "native code or the runtime of a rank aborted",
  "137": "a rank was killed: usually its system is out of memory (see dmesg), or a kill -9",
  "139": "a fault in native code of a rank",
  "205": "a host of the run was lost",
};

/**
 * Reads how the training process ended.
 *
 * @param status `signal`: the signal's name, or null if the process ended by itself.
 * @example
 * ```ts
 * import { endOf, FAILED } from "./ends.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(endOf({ code: 0, signal: null }).kind, "order");
 * assertEquals(endOf({ code: FAILED, signal: null }), { kind: "order", code: 1, words: "" });
 * assertEquals(endOf({ code: 137, signal: "SIGKILL" }).kind, "fault");
 * assertEquals(endOf({ code: 1, signal: null }).words, "code 1: an uncaught error, or a panic of the runtime, for example because file handles ran out (ulimit -n)");
 * ```
 */
export function endOf({ code, signal }: { readonly code: number; readonly signal: string | null }): End {
  if (signal === null && (code === 0 || code === STOPPED)) return { kind: "order", code, words: "" };
  if (signal === null && code === FAILED) return { kind: "order", code: 1, words: "" };
  if (signal !== null && ASKING.has(signal)) return { kind: "asked", code, words: signal };
  const meaning = MEANINGS[signal ?? String(code)], name = signal ?? `code ${code}`;
  return { kind: "fault", code: 1, words: meaning === undefined ? name : `${name}: ${meaning}` };
}
