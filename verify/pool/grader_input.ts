/**
 * What a grading child is sent. Its main module imports this one before the users' modules, so that the child ends with its owner from the first moment, and at none
 * of the signals that a terminal or a service manager sends to all processes: the samples that it has would count as failed.
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

/** Its lines, one after the other, as long as the owner lives. */
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
