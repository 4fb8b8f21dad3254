import { KedgeError } from "../../ffi/errors.ts";
import { namesIn } from "../run/whole_file.ts";

/** Error numbers of a disk that is full, over its quota, read-only or broken, and of a file that may not grow or be written. */
const DISK = /\(os error (?:28|122|30|5|27|13)\)/;

/**
 * Returns the error to report for a failed run. If the run's directory is gone or cannot be written, that is the cause, whatever failed
 * because of it.
 */
export function explained(run: string, error: Error): Error {
  if (DISK.test(error.message)) return onDisk(run, error);
  if (namesIn(run).length === 0) {
    const words = `Cannot go on: ${run} is gone; it was removed or moved while the run trained (${error.message})`;
    return new KedgeError("State", words, { run }, { cause: error });
  }
  return error;
}

/** Returns an error of the disk that names the run's directory and says what to do. */
function onDisk(run: string, error: Error): Error {
  const what = error.message.includes(run) ? error.message : `Cannot write in ${run}: ${error.message}`;
  const words = `${what}. The run goes on from its last checkpoint, by the same command, once there is room and it may be written`;
  const { code = "State", details = { run } } = error instanceof KedgeError ? error : {};
  return new KedgeError(code, words, details, { cause: error });
}
