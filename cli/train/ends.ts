/** Exit code of a run that was stopped before its end: that of the commands, and of the process that trains. */
export const STOPPED = 130;

/** Exit code of the process that trains where it ended by an error that it has told. The commands' own is 1, which a panic of the runtime ends with too. */
export const FAILED = 97;

/** How the process that trains came to its end. */
export interface End {
  /**
   * `order`: it came to its end, was stopped, or failed and said why. `asked`: somebody ended it by a signal that asks for an end, before it could listen. `fault`:
   * anything else; it is started again.
   */
  readonly kind: "order" | "asked" | "fault";
  /** The exit code of the command where it is not started again. */
  readonly code: number;
  /** What ended it, and what that usually means; nothing of an orderly end. */
  readonly words: string;
}

/** Signals by which people, shells and service managers end a process. */
const ASKING: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);

const MEANINGS: Readonly<Record<string, string>> = {
  SIGKILL: "as a rule the system's memory killer (see dmesg), or somebody's kill -9",
  SIGTRAP: "as a rule the runtime had no heap left, or broke off by itself",
  SIGABRT: "native code or the runtime broke off",
  SIGSEGV: "a fault in native code",
  SIGBUS: "a fault in native code, or a mapped file that was cut off",
  SIGFPE: "a fault in native code",
  SIGILL: "an instruction that this processor does not have: kernels built for another one, as a rule",
  SIGSYS: "a system call that is forbidden here",
  SIGXCPU: "the limit of processor time, ulimit -t",
  SIGXFSZ: "the limit of a file's size, ulimit -f",
  SIGPIPE: "it wrote where nobody reads",
  "1": "an error that nothing caught, or a panic of the runtime, as where file handles run out (ulimit -n)",
  "70": "a panic of the runtime",
  "101": "a panic of the runtime",
  "127": "a program that is not there",
};

/**
 * Reads how the process that trains ended.
 *
 * @param status `signal`: its name; null where it ended by itself.
 *
 * @example
 * ```ts
 * import { endOf, FAILED } from "./ends.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(endOf({ code: 0, signal: null }).kind, "order");
 * assertEquals(endOf({ code: FAILED, signal: null }), { kind: "order", code: 1, words: "" });
 * assertEquals(endOf({ code: 137, signal: "SIGKILL" }).kind, "fault");
 * assertEquals(endOf({ code: 1, signal: null }).words, "code 1: an error that nothing caught, or a panic of the runtime, as where file handles run out (ulimit -n)");
 * ```
 */
export function endOf({ code, signal }: { readonly code: number; readonly signal: string | null }): End {
  if (signal === null && (code === 0 || code === STOPPED)) return { kind: "order", code, words: "" };
  if (signal === null && code === FAILED) return { kind: "order", code: 1, words: "" };
  if (signal !== null && ASKING.has(signal)) return { kind: "asked", code, words: signal };
  const meaning = MEANINGS[signal ?? String(code)], name = signal ?? `code ${code}`;
  return { kind: "fault", code: 1, words: meaning === undefined ? name : `${name}: ${meaning}` };
}
