/**
 * `deno task sft` runs supervised training alone, as section `sft` of the configuration says. It uses the built-in task's descriptions and
 * answers, or a data set with demonstrations (assistant turns, or `data.demonstrationKey`). The options are those of `deno task train`. The
 * model is written to `runs/NAME/checkpoints/step-0`.
 *
 * @module
 */
import { runCommand } from "./command.ts";
import { train } from "./train.ts";

if (import.meta.main) await runCommand((args) => train(args, { warmStartOnly: true }));
