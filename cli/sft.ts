// deno-lint-ignore-file no-console -- a command
/**
 * `deno task sft`: supervised training alone, as section `sft` of the configuration says: on the built-in task's descriptions and answers, or on a data set with
 * demonstrations (turns of the assistant, or `data.demonstrationKey`). Options as of `deno task train`. The model is `runs/NAME/checkpoints/step-0`.
 *
 * @module
 */
import { train } from "./train.ts";

if (import.meta.main) {
  try {
    Deno.exit(await train(Deno.args, { warmStartOnly: true }));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
