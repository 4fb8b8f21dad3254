/**
 * Finds the models that commands name: folders, checkpoints, ids of the hub.
 *
 * @module
 */
import type { Config } from "../actors/config/types.ts";
import { boardVocabulary } from "../data/board/mod.ts";
import { fetchModel, findModel, parseModelId } from "../data/hub/model.ts";
import { fetchBase, findBase } from "../data/hub/adapter_base.ts";
import { KedgeError } from "../ffi/errors.ts";
import { readAdapterPlan } from "../model/lora/adapter_folder.ts";
import type { AdapterPlan } from "../model/lora/adapters.ts";
import { isAdapterFolder } from "../model/lora/base.ts";
import { type ModelConfig, readConfig } from "../model/config/config.ts";
import { presetConfig, type PresetName, presetOf } from "../model/config/presets.ts";

/** A model that a command names. */
export interface NamedModel {
  /** Its folder: of a model, or of adapters. */
  readonly folder: string;
  /** The folder of the model itself: of adapters, their base. */
  readonly files: string;
  /** Whether the folder holds adapters. */
  readonly isAdapter: boolean;
}

/**
 * Returns a model's folder. A model of the hub is fetched, and stderr says so.
 *
 * @param base The folder of the base of adapters, or its id on the hub. Default: the one that they name.
 * @throws {RangeError} if a base is given for a model that is no adapter.
 */
export async function modelAt(path: string, base?: string): Promise<NamedModel> {
  // deno-lint-ignore no-console -- of commands
  const onNote = (words: string) => console.error(words),
    { folder } = await fetchModel(path, { onNote }),
    isAdapter = isAdapterFolder(folder);
  if (!isAdapter && base !== undefined) {
    throw new RangeError(`Cannot use --base ${base}: ${path} is a model, not a folder of adapters (it has no adapter_config.json)`);
  }
  if (!isAdapter) return { folder, files: folder, isAdapter };
  return {
    folder,
    files: base === undefined ? await fetchBase(folder, { onNote }) : (await fetchModel(base, { onNote })).folder,
    isAdapter,
  };
}

/**
 * Returns the sizes of the model that a configuration names, and a note on their source. Nothing is fetched. @throws {KedgeError} `BadData`
 * if the sizes are not known.
 */
export function sizesOf({ path, preset }: Config["model"]): { config: ModelConfig; adapters?: AdapterPlan; from?: string } {
  if (path === null) return { config: sized(preset, boardVocabulary()) };
  const found = findModel(path), id = parseModelId(path), known = id && presetOf(id.repo);
  if (found && isAdapterFolder(found.folder)) {
    const base = findBase(found.folder);
    if (base === undefined) {
      throw new KedgeError("BadData", `Cannot estimate the memory: the base of the adapters ${path} is not on this machine`, { path });
    }
    const config = readConfig(base);
    return { config, adapters: readAdapterPlan(found.folder, config) };
  }
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
