/**
 * The program of a grading child process. It reads samples as JSON lines and writes results as JSON lines. The pool writes its main module,
 * which imports the users' modules and calls {@linkcode serve}.
 *
 * @module
 */
import { lines } from "./grader_input.ts";
import { describe, type Grader, makeGrader, type Outcome, type RewardPlan } from "../plan.ts";
import type { RewardInput } from "../reward.ts";
import type { RewardModule } from "../reward_module.ts";

/** The first line that is sent to a child. */
export interface StartMessage {
  readonly plan: RewardPlan;
  /** The prefix of every line that the child sends, which distinguishes them from other output. */
  readonly mark: string;
}

/** A line that is sent to a child: samples to grade. */
export interface GradeMessage {
  readonly inputs: readonly RewardInput[];
  /** Whether a batch grader may grade them together. */
  readonly together: boolean;
}

/** A line from a child, without its mark. */
export type ChildMessage =
  /** The child waits for samples. */
  | { readonly kind: "ready"; readonly pid: number; readonly batch: boolean }
  /** The plan cannot be carried out. */
  | { readonly kind: "refused"; readonly message: string }
  /** The next sample was graded. */
  | { readonly kind: "graded"; readonly outcome: Outcome }
  /** All samples of a line were graded together. */
  | { readonly kind: "batch"; readonly outcomes: readonly Outcome[] }
  /** The batch failed as a whole. */
  | { readonly kind: "failed"; readonly message: string };

/** JSON has no NaN, so that NaN is sent as null. Nothing else is sent as null. */
const encode = (message: ChildMessage): string => JSON.stringify(message, (_, value) => Number.isNaN(value) ? null : value);

/** Reads samples, grades them and writes results until the process ends. */
export async function serve(modules: readonly RewardModule[]): Promise<void> {
  const { stdout, stderr } = Deno, encoder = new TextEncoder();
  // What graders print goes to standard error. Standard output carries only results.
  const print = (...data: unknown[]) => {
    stderr.writeSync(encoder.encode(`${data.map((one) => typeof one === "string" ? one : Deno.inspect(one)).join(" ")}\n`));
  };
  Object.assign(globalThis.console, { log: print, info: print, debug: print, warn: print, error: print, table: print, dir: print });
  let mark = "", grader: Grader | undefined;
  const send = (message: ChildMessage) => {
    const bytes = encoder.encode(`${mark}${encode(message)}\n`);
    for (let sent = 0; sent < bytes.length;) sent += stdout.writeSync(bytes.subarray(sent));
  };
  for await (const line of lines()) {
    if (grader === undefined) {
      const start = JSON.parse(line) as StartMessage;
      mark = start.mark;
      try {
        grader = makeGrader(start.plan, modules);
      } catch (error) {
        send({ kind: "refused", message: describe(error) });
        return;
      }
      send({ kind: "ready", pid: Deno.pid, batch: grader.batch });
      continue;
    }
    const { inputs, together } = JSON.parse(line) as GradeMessage;
    if (together) {
      try {
        send({ kind: "batch", outcomes: await grader.gradeBatch(inputs) });
      } catch (error) {
        send({ kind: "failed", message: describe(error) });
      }
      continue;
    }
    // deno-lint-ignore no-await-in-loop -- one sample after the other, so that the time limit is each one's own
    for (const input of inputs) send({ kind: "graded", outcome: await grader.grade(input) });
  }
}
