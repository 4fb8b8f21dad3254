/**
 * Finds the models that commands name: folders, checkpoints, ids of the hub.
 *
 * @module
 */
import type { Config } from "../actors/config/types.ts";
import { boardVocabulary } from "../data/board/mod.ts";
import { fetchModel, findModel, parseModelId } from "../data/hub/model.ts";
import { KedgeError } from "../ffi/errors.ts";
import { type ModelConfig, readConfig } from "../model/config/config.ts";
import { presetConfig, type PresetName, presetOf } from "../model/config/presets.ts";

/** Returns a model's folder. A model of the hub is fetched, and stderr says so. */
export async function modelAt(path: string): Promise<string> {
  // deno-lint-ignore no-console -- of commands
  const { folder } = await fetchModel(path, { onNote: (words) => console.error(words) });
  return folder;
}

/**
 * Returns the sizes of the model that a configuration names, and a note on their source. Nothing is fetched. @throws {KedgeError} `BadData`
 * if the sizes are not known.
 */
export function sizesOf({ path, preset }: Config["model"]): { config: ModelConfig; from?: string } {
  if (path === null) return { config: sized(preset, boardVocabulary()) };
  const found = findModel(path), id = parseModelId(path), known = id && presetOf(id.repo);
  if (found || id === undefined) return { config: readConfig(found?.folder ?? path) };
  if (known) {
    return { config: sized(known, 1), from: `the sizes of ${id.repo} come from a built-in list; the model is fetched when the run begins` };
  }
  const words = `${path} is not on this machine, and its sizes are not known. A run fetches it; or set model.path to its folder`;
  throw new KedgeError("BadData", `Cannot estimate the memory: ${words}`, { path });
}

/** Returns the config of a preset. The ids of its special tokens do not matter here. */
function sized(preset: PresetName, vocabSize: number): ModelConfig {
  const tokens = { image: 0, video: 1, visionStart: 2, visionEnd: 3, eos: [4], bos: undefined, pad: undefined };
  return presetConfig(preset, { tokens, vocabSize });
}
