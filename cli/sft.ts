/**
 * `deno task sft`: supervised training alone, as section `sft` of the configuration says: on the built-in task's descriptions and answers, or on a data set with
 * demonstrations (turns of the assistant, or `data.demonstrationKey`). Options as of `deno task train`. The model is `runs/NAME/checkpoints/step-0`.
 *
 * @module
 */
import { runCommand } from "./command.ts";
import { train } from "./train.ts";

if (import.meta.main) await runCommand((args) => train(args, { warmStartOnly: true }));
