// deno-lint-ignore-file no-console -- a process of a test
/**
 * Takes the place of the training process. It ends as the first line of the file "lives" in the run's directory says, and removes that
 * line.
 */
import { readRequest } from "../../cli/train/request.ts";
import type { RunRequest } from "../../cli/train/run.ts";
import { endWithOwner } from "../../ffi/end_with_owner.ts";

const request = readRequest<RunRequest>(), folder = request.loaded.base;
const [life, ...rest] = Deno.readTextFileSync(`${folder}/lives`).split("\n"), [state, end] = life!.split(" ") as [string, string];
Deno.writeTextFileSync(`${folder}/lives`, rest.join("\n"));
const { resume, start, staysUp } = request;
Deno.writeTextFileSync(`${folder}/requests`, `${JSON.stringify({ resume, start, staysUp })}\n`, { append: true });
if (state !== "early") {
  Deno.writeTextFileSync(`${folder}/config.json.new`, "{}");
  Deno.renameSync(`${folder}/config.json.new`, `${folder}/config.json`);
  Deno.writeTextFileSync(`${folder}/lock`, state === "open" ? `${Deno.pid}\n` : "");
}
for (const signal of ["SIGINT", "SIGHUP"] as const) Deno.addSignalListener(signal, () => {});
endWithOwner({ onText: (text) => end === "wait" && text === "stop\n" && Deno.exit(130) });
console.log(`life: ${life}`);
if (/^\d+$/.test(end)) Deno.exit(Number(end));
if (end.startsWith("SIG")) {
  if (end !== "SIGKILL" && end !== "SIGTRAP" && end !== "SIGQUIT") Deno.addSignalListener("SIGTERM", () => {});
  Deno.kill(Deno.pid, end as Deno.Signal);
  setTimeout(() => Deno.kill(Deno.pid, end as Deno.Signal), 50); // V8's own handler ignores the first fault
}
