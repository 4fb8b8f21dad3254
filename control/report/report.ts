/**
 * Writes the report of a run: one page that opens from disk and needs nothing else.
 *
 * @module
 */
import { writeWhole } from "../../actors/run/whole_file.ts";
import { reportPage } from "./page.ts";
import { readRun } from "./read.ts";

/**
 * Writes `report.html` into a run's folder, from its config.json, metrics.jsonl and rollouts.jsonl. The page is replaced atomically. It may
 * be written during the run; missing files are skipped.
 *
 * @param runPath The run's folder.
 * @returns The page's path.
 * @throws {Deno.errors.NotFound} if there is no such folder.
 * @example
 * ```ts
 * import { writeReport } from "@kedge/kedge/control";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const run = Deno.makeTempDirSync();
 * Deno.writeTextFileSync(`${run}/metrics.jsonl`, '{"step":1,"reward/overall":0.5}\n');
 * assertStringIncludes(Deno.readTextFileSync(writeReport(run)), "reward/overall");
 * Deno.removeSync(run, { recursive: true });
 * ```
 */
export function writeReport(runPath: string): string {
  const path = `${runPath.replace(/\/+$/, "")}/report.html`;
  writeWhole(path, reportPage(readRun(runPath)));
  return path;
}
