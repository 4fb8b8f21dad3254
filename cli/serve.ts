/**
 * `deno task serve` serves a dashboard and an HTTP endpoint, from which a run is started, watched and steered.
 *
 * @module
 */
import { runCommand } from "./command.ts";
import { train } from "./train.ts";

if (import.meta.main) await runCommand((args) => train(args, { stays: true }));
