// deno-lint-ignore-file no-console -- a process of a test
/** A process in place of the one that trains: it ends as the first line of the file "lives" in the run's directory says, which it takes away. */
import { endWithOwner } from "../../ffi/end_with_owner.ts";

const request = JSON.parse(Deno.args[0]!), folder = request.sets[0] as string;
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
  setTimeout(() => Deno.kill(Deno.pid, end as Deno.Signal), 50); // V8's own handler passes the first fault over
}
