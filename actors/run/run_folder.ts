/**
 * The directory of a run: whose it is, and what in it is a run's to write and to remove.
 *
 * @module
 */
import { relative } from "node:path";
import { Checkpoints } from "./checkpoints.ts";
import { isUnfinished, namesIn, removeAll } from "./whole_file.ts";

/** What a run writes, cuts and removes by its name. */
const OWN: readonly string[] = [
  ...["config.json", "tuning.jsonl", "trackers.json", "hub.json", "report.html", "checkpoints", "initial", "reference"],
  ...["metrics.jsonl", "rollouts.jsonl", "quarantine.jsonl"].flatMap((name) =>
    ["", ".1", ".discarded", ".discarded.1"].map((ending) => `${name}${ending}`)
  ),
];
/** What a new beginning removes. Lines of before are set aside when the run begins. */
const REMOVED: readonly string[] = ["checkpoints", "initial", "reference", "tuning.jsonl", "trackers.json", "hub.json"];

/** A run's directory that is this process's alone until it is disposed of. */
export interface RunFolder extends Disposable {
  /** `RUNDIR/NAME`. */
  readonly path: string;
}

/**
 * Takes a run's directory for this process: makes it, keeps other processes out as long as this one lives, and removes what a new beginning does not keep.
 *
 * A directory that is there already is a run's only if it carries the mark of one: its config.json, its lock, or a checkpoint with its checksum. Nothing is written or removed in another one that
 * holds something by a name of a run's. Nor is it where the directory, or something in it that a run writes, is a symbolic link: what lies outside is not the run's.
 *
 * @param runDir Where runs are kept; it is made where it is missing.
 * @param options `name`: of the run, as the configuration's schema takes it. `anew`: whether checkpoints, models and tuned values of before are removed.
 * @throws {RangeError} where another process trains there, or where what is there is no run's.
 *
 * @example
 * ```ts
 * import { openRunFolder } from "./run_folder.ts";
 * import { assertThrows } from "@std/assert";
 *
 * const runDir = Deno.makeTempDirSync();
 * Deno.mkdirSync(`${runDir}/thesis/checkpoints`, { recursive: true }); // somebody's, not a run's
 * assertThrows(() => openRunFolder(runDir, { name: "thesis", anew: true }), RangeError, "holds checkpoints");
 * using folder = openRunFolder(runDir, { name: "board", anew: true });
 * assertThrows(() => openRunFolder(runDir, { name: "board", anew: true }), RangeError, `process ${Deno.pid}`);
 * Deno.removeSync(runDir, { recursive: true });
 * ```
 */
export function openRunFolder(runDir: string, { name, anew }: { name: string; anew: boolean }): RunFolder {
  const path = `${runDir}/${name}`;
  Deno.mkdirSync(path, { recursive: true });
  checkOwn(runDir, name);
  const lock = lockRun(path);
  for (const there of namesIn(path)) if (OWN.some((name) => isUnfinished(there, name))) removeAll(`${path}/${there}`);
  if (anew) { for (const there of REMOVED) removeAll(`${path}/${there}`); }
  return {
    path,
    [Symbol.dispose]() {
      try {
        lock.truncateSync(); // it was closed in order: nobody's
      } catch { // a disk that takes nothing more: what ended the run is told
      }
      lock.close();
    },
  };
}

/** @throws {RangeError} where something in the directory is not the run's. */
function checkOwn(runDir: string, name: string): void {
  const path = `${runDir}/${name}`, refuse = (words: string) => new RangeError(`Cannot train in ${path}: ${words}`);
  // By its real path: "..", and a link, lead elsewhere.
  const real = Deno.realPathSync(path);
  if (relative(Deno.realPathSync(runDir), real) !== name) {
    throw refuse(`it leads to ${real}; a run writes only in its own directory: set runDir to where it is to be`);
  }
  const there = new Set(namesIn(path)), ours = [...OWN, "lock"].filter((each) => there.has(each));
  const link = ours.find((each) => Deno.lstatSync(`${path}/${each}`).isSymlink);
  if (link) {
    throw refuse(
      `${link} is a symbolic link; a run writes only in its own directory: remove the link, or set runDir to where the run is to be`,
    );
  }
  const lock = there.has("lock") ? textOf(`${path}/lock`) : "", isLock = /^\d*\n?$/.test(lock);
  if (/^\d+\n$/.test(lock) || isConfig(`${path}/config.json`) || hasCheckpoint(path)) return;
  const foreign = isLock ? ours.find((each) => each !== "lock") : "lock";
  if (foreign) throw refuse(`it holds ${foreign}, and neither config.json nor lock of a run: it is not Kedge's. Give the run another name`);
}

/** Whether a directory holds a run's checkpoint: its config.json may have been edited. */
function hasCheckpoint(path: string): boolean {
  return (["step", "warm"] as const).some((kind) => new Checkpoints(path, { saveLimit: 1, saveBest: false, kind }).isRuns);
}

/** Whether a file is the configuration of a run. */
function isConfig(path: string): boolean {
  try {
    const value = JSON.parse(textOf(path));
    return ["name", "runDir", "algorithm", "trainer"].every((key) => key in value);
  } catch {
    return false; // torn, or something else
  }
}

/** A small file's text; none of a larger one, which is no run's. */
function textOf(path: string): string {
  try {
    return Deno.lstatSync(path).size > 2 ** 24 ? "-" : Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    return "-"; // a folder, say
  }
}

/** Keeps others out as long as this process lives, or until the file is closed; it holds the process's number. */
function lockRun(path: string): Deno.FsFile {
  const file = Deno.openSync(`${path}/lock`, { read: true, write: true, create: true });
  if (!file.tryLockSync(true)) {
    const other = Deno.readTextFileSync(`${path}/lock`).trim();
    file.close();
    throw new RangeError(`Cannot train in ${path}: process ${other} does; stop it, or give this run another name`);
  }
  file.truncateSync();
  file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
  return file;
}
