import { KedgeError } from "../../ffi/errors.ts";
import { namesIn } from "../run/whole_file.ts";

/** What ended a run, as it is told: where the run's directory is gone, that is it, whatever failed by it. */
export function explained(run: string, error: Error): Error {
  if (namesIn(run).length > 0) return error;
  const words = `Cannot go on: ${run} is gone; it was removed or moved while the run trained (${error.message})`;
  return new KedgeError("State", words, { run }, { cause: error });
}
