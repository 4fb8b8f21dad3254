/**
 * `deno task generate` writes every generated file.
 *
 * @module
 */
import { runCommand } from "../cli/command.ts";
import { generated } from "./generate_docs.ts";
import { generate } from "./generate_ffi.ts";
import { generatedTasks } from "./generate_tasks.ts";
import { writeGenerated } from "./write_generated.ts";

if (import.meta.main) await runCommand((args) => writeGenerated(args, () => ({ ...generate(), ...generated(), ...generatedTasks() })));
