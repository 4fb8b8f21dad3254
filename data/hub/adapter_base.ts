/**
 * Finds the base model of adapters: on this machine, or on the hub.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import { baseFolder, ELSEWHERE, namedBase } from "../../model/lora/base.ts";
import { fetchModel, findModel, type ModelOptions, parseModelId } from "./model.ts";

/** What adapters name as their base: an id of the hub with its revision, or a folder. */
function hubBase(adapter: string): string {
  const { name, revision } = namedBase(adapter);
  return parseModelId(name) === undefined || revision === undefined ? name : `${name}@${revision}`;
}

/** Returns the folder of the base model of adapters; undefined if it is not on this machine. It does not use the network. */
export function findBase(adapter: string, options: ModelOptions = {}): string | undefined {
  return baseFolder(adapter) ?? findModel(hubBase(adapter), options)?.folder;
}

/**
 * Returns the folder of the base model of adapters. A model of the hub is fetched, if it is not on this machine.
 *
 * @throws {KedgeError} `BadCheckpoint` if the adapters name a folder that is not there, and what `fetchModel` throws.
 */
export async function fetchBase(adapter: string, options: ModelOptions = {}): Promise<string> {
  const found = findBase(adapter, options);
  if (found !== undefined) return found;
  const id = hubBase(adapter);
  if (parseModelId(id) !== undefined) return (await fetchModel(id, options)).folder;
  throw new KedgeError(
    "BadCheckpoint",
    `Cannot load the adapter ${adapter}: its base model ${id} is no folder here; ${ELSEWHERE}`,
    {
      path: adapter,
      base: id,
    },
  );
}
