/**
 * Starts `deno` with its own arguments from a small process. Linux counts a process's peak memory from that of the process that started it,
 * and a process that runs tests is large.
 *
 * @module
 */
const child = new Deno.Command("deno", { args: Deno.args, stdin: "null", stdout: "inherit", stderr: "inherit" }).spawn();
Deno.addSignalListener("SIGTERM", () => child.kill("SIGKILL"));
Deno.exit((await child.status).code);
