/**
 * Starts `deno` with its own arguments, from a small process: where Linux counts the peak memory of a process, it begins with that of the one which started it, and a
 * process that runs tests is large.
 *
 * @module
 */
const child = new Deno.Command("deno", { args: Deno.args, stdin: "null", stdout: "inherit", stderr: "inherit" }).spawn();
Deno.addSignalListener("SIGTERM", () => child.kill("SIGKILL"));
Deno.exit((await child.status).code);
