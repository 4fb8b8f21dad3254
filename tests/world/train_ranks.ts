// deno-lint-ignore-file no-console -- a program
/**
 * A whole run on several ranks, for tests. The first argument is the run's folder, the others are settings. A first argument after "--alone"
 * makes the run in one process without MPI.
 */
import { TrainingRun } from "../../actors/training_run.ts";
import { World } from "../../ffi/world.ts";

const isAlone = Deno.args[0] === "--alone", [runDir, ...sets] = isAlone ? Deno.args.slice(1) : Deno.args;
const world = isAlone ? undefined : World.join({ timeoutSeconds: 60 });
try {
  const source = { sets: [`runDir=${runDir}`, "device=cpu", "threads=1", ...sets] };
  await using run = await TrainingRun.open(source, {
    ...(world && { place: world.place }),
    onEvent: (event) => event.kind === "note" && console.error(event.text),
  });
  const { state, step } = await run.start();
  if (!world || world.place.rank === 0) console.log(JSON.stringify({ state, step }));
} catch (error) {
  console.error(`rank ${world?.place.rank}: ${(error as Error).stack}`);
  world?.abort(97);
  Deno.exit(97);
}
world?.leave();
Deno.exit(0);
