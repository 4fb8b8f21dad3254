// deno-lint-ignore-file no-console -- a command
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CommandLine } from "../cli/command.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function current(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Runs a program that writes files of the project. With `--check` it writes nothing.
 *
 * @param files Returns the texts by their paths in the project.
 * @returns The exit code, which is 1 if `--check` finds a file that differs.
 */
export function writeGenerated(args: readonly string[], files: () => Readonly<Record<string, string>>): number {
  const help =
    "Writes the generated files: ffi/generated/ from kernels/, docs/config.md and docs/config.schema.json from actors/config/,\n" +
    "the tables of docs/gpu.md from bench/roofline.ts,\n" +
    "the tasks of deno.json and docs/permissions.md from cli/permissions.ts and tools/generate_tasks.ts.\n\n" +
    "usage: deno task generate [--check]\n  --check   writes nothing, and fails if a file differs\n";
  const line = new CommandLine(args, { name: "deno task generate", action: "generate", help, flags: ["check"] });
  if (line.help) {
    console.log(help);
    return 0;
  }
  const stale = Object.entries(files()).filter(([path, text]) => current(join(ROOT, path)) !== text);
  for (const [path, text] of stale) {
    if (line.flag("check")) {
      console.error(`${path} is stale: run "deno task generate"`);
      continue;
    }
    if (current(join(ROOT, path)) === undefined) Deno.mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    Deno.writeTextFileSync(join(ROOT, path), text);
    console.log(`wrote ${path}`);
  }
  return line.flag("check") && stale.length > 0 ? 1 : 0;
}
