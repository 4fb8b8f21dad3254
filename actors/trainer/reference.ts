import { writeFolder } from "../../model/folder/checkpoint_files.ts";
import type { Checkpoints } from "../run/checkpoints.ts";
import { namesIn } from "../run/whole_file.ts";

/**
 * The model that a divergence refers to: that of step 0, in a folder of its own since checkpoints are pruned. It is made where it is not there yet.
 *
 * @param run The run's directory.
 * @throws {KedgeError} `BadCheckpoint` where it is not there and cannot be made, since the checkpoint of step 0 is gone.
 */
export function makeReference(run: string, checkpoints: Checkpoints): string {
  const folder = `${run}/reference`;
  if (namesIn(folder).length > 0) return folder;
  const { path } = checkpoints.read(0);
  writeFolder(folder, (temporary) => {
    for (const { name } of Deno.readDirSync(path)) {
      if (!name.startsWith("trainer.")) Deno.copyFileSync(`${path}/${name}`, `${temporary}/${name}`);
    }
  });
  return folder;
}
