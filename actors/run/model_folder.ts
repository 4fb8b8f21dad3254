import { z } from "zod";
import { fetchModel, findModel, type ModelOptions } from "../../data/hub/model.ts";
import { fetchBase, findBase } from "../../data/hub/adapter_base.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { isAdapterFolder } from "../../model/lora/base.ts";
import { writeWhole } from "./whole_file.ts";

const hubSchema = z.object({ model: z.string(), commit: z.string() });

/** Reads the commit of the hub's model with which a run began. A resumed run uses the same commit, whatever the hub has by then. */
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

/** Returns the options to find the model, with the run's commit if there is one. */
function options(run: string, id: string): ModelOptions {
  const commit = commitOf(run, id);
  return commit === undefined ? {} : { commit };
}

/** The folders of the model that a run begins with. */
export interface RunModel {
  /** The model, or adapters that are trained further. */
  readonly start: string;
  /** The model: of adapters, their base. Its tokenizer, template and image processor are the run's. */
  readonly files: string;
}

/**
 * Returns the folders of the model that a run begins with. A model of the hub is fetched, and its commit is written to the run's directory.
 *
 * @param path The value of `model.path`.
 * @throws What `fetchModel` and `fetchBase` throw.
 */
export async function bringModel(run: string, path: string, onNote: (words: string) => void): Promise<RunModel> {
  const { folder, commit } = await fetchModel(path, { ...options(run, path), onNote });
  if (commit !== undefined) writeWhole(`${run}/hub.json`, `${JSON.stringify({ model: path, commit })}\n`);
  return { start: folder, files: isAdapterFolder(folder) ? await fetchBase(folder, { onNote }) : folder };
}

/**
 * Returns the folder of the model that a run began with; of adapters, their base.
 *
 * @throws {KedgeError} `State` if the model is not on this machine yet.
 */
export function modelFolder(run: string, path: string): string {
  const cached = findModel(path, options(run, path));
  const folder = cached && isAdapterFolder(cached.folder) ? findBase(cached.folder) : cached?.folder;
  if (folder !== undefined) return folder;
  throw new KedgeError("State", `Cannot use the model ${path}: it is not on this machine yet`, { path });
}
