/**
 * Reads the input of a grading child. The child's main module imports this module before the users' modules. From then on the child ends
 * with its owner, and it ignores the signals that a terminal or a service manager sends to all processes. Otherwise the samples that it
 * holds would count as failed.
 *
 * @module
 */
import { endWithOwner, leaveToOwner } from "../../ffi/end_with_owner.ts";

let wake: (() => void) | undefined;
const pieces: string[] = [];
leaveToOwner();
endWithOwner({
  onText: (text) => {
    pieces.push(text);
    wake?.();
  },
});

/** Yields the lines of standard input, one after the other, as long as the owner lives. */
export async function* lines(): AsyncGenerator<string> {
  let pending: string[] = [];
  for (;;) {
    // deno-lint-ignore no-await-in-loop -- it waits
    while (pieces.length === 0) await new Promise<void>((resolve) => wake = resolve);
    const parts = pieces.shift()!.split("\n");
    pending.push(parts[0]!);
    for (const part of parts.slice(1)) {
      yield pending.join("");
      pending = [part];
    }
  }
}
