/**
 * The directory of a run: who may use it, and what in it a run may write and remove.
 *
 * @module
 */
import { relative } from "node:path";
import { Checkpoints } from "./checkpoints.ts";
import { isUnfinished, namesIn, removeAll } from "./whole_file.ts";

/** The files and folders that a run writes, cuts and removes by name. */
const OWN: readonly string[] = [
  ...["config.json", "tuning.jsonl", "trackers.json", "hub.json", "report.html", "checkpoints", "initial", "reference"],
  ...["metrics.jsonl", "rollouts.jsonl", "quarantine.jsonl"].flatMap((name) =>
    ["", ".1", ".discarded", ".discarded.1"].map((ending) => `${name}${ending}`)
  ),
];
/** What `--no-resume` removes. Earlier log lines are set aside when the run begins. */
const REMOVED: readonly string[] = ["checkpoints", "initial", "reference", "tuning.jsonl", "trackers.json", "hub.json"];

/** A run's directory, locked for this process until it is disposed of. */
export interface RunFolder extends Disposable {
  /** The path `RUNDIR/NAME`. */
  readonly path: string;
}

/**
 * Makes a run's directory, locks it as long as this process lives, and removes what a new start does not keep.
 *
 * An existing directory belongs to a run only if it holds a run's config.json, its lock, or a checkpoint with a right checksum. Any other
 * directory that holds a name of a run's files is refused. So is a directory that is a symbolic link, or in which a run's file is one,
 * because a run writes nothing outside its directory.
 *
 * @param runDir The folder of all runs. It is made if it is missing.
 * @param options `name`: the run's name. `anew`: whether earlier checkpoints, models and tuned values are removed.
 * @throws {RangeError} if another process uses the directory, or if the directory is not a run's.
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
        lock.truncateSync(); // an empty lock: the run was closed in order
      } catch { // the disk is full: the error that ended the run says so
      }
      lock.close();
    },
  };
}

/** @throws {RangeError} if the directory is not a run's. */
function checkOwn(runDir: string, name: string): void {
  const path = `${runDir}/${name}`, refuse = (words: string) => new RangeError(`Cannot train in ${path}: ${words}`);
  // The real path shows whether ".." or a link leads elsewhere.
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

/** Returns whether a directory holds a run's checkpoint. It counts even if config.json was edited. */
function hasCheckpoint(path: string): boolean {
  return (["step", "warm"] as const).some((kind) => new Checkpoints(path, { saveLimit: 1, saveBest: false, kind }).isRuns);
}

/** Returns whether a file is the configuration of a run. */
function isConfig(path: string): boolean {
  try {
    const value = JSON.parse(textOf(path));
    return ["name", "runDir", "algorithm", "trainer"].every((key) => key in value);
  } catch {
    return false; // torn, or something else
  }
}

/** Returns a small file's text, "" if there is none, and "-" for anything else. */
function textOf(path: string): string {
  try {
    return Deno.lstatSync(path).size > 2 ** 24 ? "-" : Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    return "-"; // a folder, say
  }
}

/** Locks the directory until the returned file is closed or this process ends. The file holds the process's id. */
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
