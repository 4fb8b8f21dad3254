/**
 * The control endpoint, with which a run is watched and steered over HTTP, and its dashboard.
 *
 * @example A run that has not started, with its dashboard
 * ```ts
 * import { dashboardPage, RunController, serveControl } from "@kedge/kedge/control";
 * import { assertEquals } from "@std/assert";
 *
 * const runDir = Deno.makeTempDirSync();
 * await using control = new RunController({ sets: [`runDir=${runDir}`, "device=cpu"] }); // or { file: "train.jsonc" }
 * await using server = serveControl(control, { port: 0, page: dashboardPage() });
 * const address = `${server.url}/#token=${server.token}`; // for a browser
 * assertEquals(new URL(address).hostname, "127.0.0.1");
 *
 * // Programs ask with the token. `control.start()`, or POST /v1/start, starts the run; `control.ended` waits for its end.
 * const answer = await fetch(`${server.url}/v1/status`, { headers: { authorization: `Bearer ${server.token}` } });
 * assertEquals((await answer.json()).state, "idle");
 * Deno.removeSync(runDir, { recursive: true });
 * ```
 *
 * @module
 */
export * from "../actors/run_control.ts";
export { RunController } from "./run/run_controller.ts";
export { WatchedRun } from "./run/watched_run.ts";
export { type ControlServer, serveControl } from "./http/serve.ts";
export { type AppOptions, type ControlCounts, LIMITS, type Limits, type Page, RATE, type Rate, type ServeOptions } from "./http/options.ts";
export { dashboardPage } from "./dashboard/page.ts";
export { writeReport } from "./report/report.ts";
