/**
 * A training run in this process: `cli/train.ts` starts it under a parent, which starts it again where native code ends it.
 *
 * @module
 */
import { loadConfig } from "../../actors/config/load.ts";
import type { Config } from "../../actors/config/schema.ts";
import { writeReport } from "../../control/report/report.ts";
import { RunController } from "../../control/run/run_controller.ts";
import type { ControlServer } from "../../control/http/serve.ts";
import { Progress } from "./progress.ts";

/** How a run is served over HTTP; the token is in KEDGE_TOKEN. */
export interface ServeRequest {
  readonly hostname: string;
  readonly port: number;
  /** Whether the token was made for the user, who has not seen it. */
  readonly made: boolean;
  /** Whether the address is said, with the token. */
  readonly announce: boolean;
  /** Whether the process stays when the run ends, and waits for a start before it. */
  readonly stays: boolean;
  /** Origins of other pages that may ask. */
  readonly corsOrigins: readonly string[];
}

/** What a run is asked for. */
export interface RunRequest {
  readonly config: string | undefined;
  readonly sets: readonly string[];
  readonly resume: boolean;
  /** The supervised warm start alone. */
  readonly warmStartOnly?: boolean;
  readonly serve?: ServeRequest;
  /** Starts although it stays: after a fault. */
  readonly start?: boolean;
}

/** Exit code of a run that was stopped before its end. */
export const STOPPED = 130;

/** Trains. @returns The exit code: 0 at the end, 1 for an error, 130 where it was stopped. */
export async function trainRun({ config: file, sets, resume, warmStartOnly = false, serve, start = false }: RunRequest): Promise<number> {
  const source = { ...(file !== undefined && { file }), sets: [...sets] }, { config } = loadConfig(source);
  const progress = new Progress(config), ends = Promise.withResolvers<void>();
  await using control = new RunController(source, { resume, warmStartOnly, onEvent: (event) => progress.take(event) });
  await using server = serve && await listen(control, serve, progress);
  progress.note(`Kedge: run ${control.path}, device ${config.device}. The kernels are compiled on first use.`);
  let stops = 0;
  const stop = () => {
    if (++stops > 1) Deno.exit(STOPPED);
    ends.resolve();
    if (control.ended || !serve?.stays) progress.note("Stopping after this step, with a checkpoint; once more to stop at once");
    control.stop().catch(() => {});
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  try {
    if (!serve?.stays) return await train(control, { config, progress, stopped: () => stops > 0 });
    const watching = control.listen(({ kind, data }) => {
      if (kind === "status" && ["stopped", "done", "failed"].includes(data.state)) {
        progress.note(`The run is ${data.state}${data.error ? `: ${data.error}` : ""}`);
      }
      if (kind === "status" && data.state === "done") report(control, { config, progress });
    });
    if (start) await control.start();
    await Promise.race([ends.promise, server!.finished]);
    await control.ended?.catch(() => {});
    watching();
    return 0;
  } catch (error) {
    progress.fail((error as Error).message);
    return 1;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, stop);
  }
}

/** A run from here to its end. */
async function train(control: RunController, given: { config: Config; progress: Progress; stopped: () => boolean }): Promise<number> {
  await control.start();
  const { step, maxSteps } = await control.ended!;
  report(control, given);
  given.progress.end(`${step} of ${maxSteps} steps; checkpoints, metrics and answers are in ${control.path}/`);
  return given.stopped() && step < maxSteps ? STOPPED : 0;
}

function report(control: RunController, { config, progress }: { config: Config; progress: Progress }): void {
  if (config.logging.report) progress.note(`Report: ${writeReport(control.path)}`);
}

/** Opens the HTTP endpoint. */
async function listen(control: RunController, serve: ServeRequest, progress: Progress): Promise<ControlServer> {
  const [{ isLoopback, serveControl }, { dashboardPage }] = await Promise.all([
    import("../../control/http/serve.ts"),
    import("../../control/dashboard/page.ts"),
  ]);
  const { hostname, port, made, announce, corsOrigins } = serve, token = Deno.env.get("KEDGE_TOKEN");
  Deno.env.delete("KEDGE_TOKEN"); // what is started from here need not know it
  // A token that nobody was told is none for who would let others in: serveControl says so.
  const known = token !== undefined && (!made || isLoopback(hostname));
  const server = serveControl(control, { hostname, port, page: dashboardPage(), corsOrigins, ...(known && { token }) });
  if (announce) {
    progress.note(`Control: ${server.url}/${made ? `#token=${token}` : ""}`);
    if (made) progress.note("The token is made for this run: it is in the address, and is not said again.");
  }
  return server;
}

if (import.meta.main) {
  try {
    Deno.exit(await trainRun(JSON.parse(Deno.args[0]!) as RunRequest));
  } catch (error) {
    Deno.stderr.writeSync(new TextEncoder().encode(`${(error as Error).message}\n`));
    Deno.exit(1);
  }
}
