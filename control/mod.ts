/**
 * The control endpoint, through which a run is watched and steered over HTTP, and its dashboard.
 *
 * @example A run with a dashboard, from a program
 * ```ts ignore
 * import { dashboardPage, RunController, serveControl } from "@kedge/kedge/control";
 *
 * await using control = new RunController({ file: "train.jsonc" });
 * await using server = serveControl(control, { page: dashboardPage() });
 * console.log(`${server.url}/#token=${server.token}`);
 * await control.start();
 * await control.ended;
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
