// deno-lint-ignore-file no-console -- a command
/**
 * `deno task serve`: a dashboard and an HTTP endpoint from which a run is started, watched and steered.
 *
 * @module
 */
import { train } from "./train.ts";

if (import.meta.main) {
  try {
    Deno.exit(await train(Deno.args, { stays: true }));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
