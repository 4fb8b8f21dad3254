// deno-lint-ignore-file no-console -- a program
/**
 * Trains the built-in task from the library, as `deno task train` does, with a line of its own for each step. Ctrl-C ends it after the step under way, with a
 * checkpoint; started again, it goes on from there.
 *
 *   deno run -A examples/built_in_task.ts [name=mine] [trainer.maxSteps=20] [...]
 *
 * @module
 */
import { train } from "@kedge/kedge";

const stop = new AbortController(), interrupt = () => stop.abort();
Deno.addSignalListener("SIGINT", interrupt);

const { run, state, step, maxSteps } = await train({ sets: Deno.args }, {
  signal: stop.signal,
  onEvent: (event) => {
    if (event.kind === "note") console.log(event.text);
    if (event.kind !== "metrics") return;
    const { line } = event, shown = ["reward/overall", "atrl/connectivity_ratio", "val/accuracy"];
    const numbers = shown.flatMap((name) => typeof line[name] === "number" ? [`${name} ${line[name].toFixed(3)}`] : []);
    if (numbers.length > 0) console.log(`step ${line.step}: ${numbers.join(", ")}`);
  },
});
console.log(`${state} after ${step} of ${maxSteps} steps: ${run}`);
Deno.removeSignalListener("SIGINT", interrupt); // which would keep the program alive
