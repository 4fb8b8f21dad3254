import { KedgeError } from "../../ffi/errors.ts";
import { namesIn } from "../run/whole_file.ts";

/** Of a disk that is full, above its quota, read-only or broken, of a file that may not be larger, and of one that may not be written. */
const DISK = /\(os error (?:28|122|30|5|27|13)\)/;

/** What ended a run, as it is told: where the run's directory is gone, that is it, whatever failed by it; where it cannot be written, which one it is. */
export function explained(run: string, error: Error): Error {
  if (DISK.test(error.message)) return onDisk(run, error);
  if (namesIn(run).length === 0) {
    const words = `Cannot go on: ${run} is gone; it was removed or moved while the run trained (${error.message})`;
    return new KedgeError("State", words, { run }, { cause: error });
  }
  return error;
}

/** An error of the disk, with the run's directory and what to do. */
function onDisk(run: string, error: Error): Error {
  const what = error.message.includes(run) ? error.message : `Cannot write in ${run}: ${error.message}`;
  const words = `${what}. The run goes on from its last checkpoint, by the same command, once there is room and it may be written`;
  const { code = "State", details = { run } } = error instanceof KedgeError ? error : {};
  return new KedgeError(code, words, details, { cause: error });
}
