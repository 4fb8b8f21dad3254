import { z } from "zod";
import { fetchModel, findModel, type ModelOptions } from "../../data/hub/model.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { writeWhole } from "./whole_file.ts";

const hubSchema = z.object({ model: z.string(), commit: z.string() });

/** The commit that a run began with, where its model is one of the hub: a run that goes on has the same, whatever the hub has by then. */
function commitOf(run: string, id: string): string | undefined {
  const file = `${run}/hub.json`;
  try {
    const { model, commit } = hubSchema.parse(JSON.parse(Deno.readTextFileSync(file)));
    return model === id ? commit : undefined;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    const words = `Cannot read ${file}, which says with which commit of the model the run began; remove it to go on with the newest one`;
    throw new KedgeError("BadCheckpoint", words, { file }, { cause });
  }
}

/** How it is looked for: by the commit that the run began with, if it did. */
function options(run: string, id: string): ModelOptions {
  const commit = commitOf(run, id);
  return commit === undefined ? {} : { commit };
}

/**
 * Folder of the model that a run begins with. One of the hub is fetched, and which commit it was is put down in the run's directory.
 *
 * @param path As of `model.path`.
 * @throws As of `fetchModel`.
 */
export async function bringModel(run: string, path: string, onNote: (words: string) => void): Promise<string> {
  const { folder, commit } = await fetchModel(path, { ...options(run, path), onNote });
  if (commit !== undefined) writeWhole(`${run}/hub.json`, `${JSON.stringify({ model: path, commit })}\n`);
  return folder;
}

/**
 * Folder of the model that a run began with, where it is on this machine.
 *
 * @throws {KedgeError} `State` where it is not, yet.
 */
export function modelFolder(run: string, path: string): string {
  const cached = findModel(path, options(run, path));
  if (cached) return cached.folder;
  throw new KedgeError("State", `Cannot use the model ${path}: it is not on this machine yet`, { path });
}
