/**
 * Models by the names that commands take them under: folders, checkpoints, ids of the hub.
 *
 * @module
 */
import type { Config } from "../actors/config/types.ts";
import { boardVocabulary } from "../data/board/mod.ts";
import { fetchModel, findModel, parseModelId } from "../data/hub/model.ts";
import { KedgeError } from "../ffi/errors.ts";
import { type ModelConfig, readConfig } from "../model/config/config.ts";
import { presetConfig, type PresetName, presetOf } from "../model/config/presets.ts";

/** A model's folder; one of the hub is fetched, which is told on stderr. */
export async function modelAt(path: string): Promise<string> {
  // deno-lint-ignore no-console -- of commands
  const { folder } = await fetchModel(path, { onNote: (words) => console.error(words) });
  return folder;
}

/** The sizes of the model that a configuration names, with a word on where they are from; nothing is fetched. @throws {KedgeError} `BadData` where they are not known. */
export function sizesOf({ path, preset }: Config["model"]): { config: ModelConfig; from?: string } {
  if (path === null) return { config: sized(preset, boardVocabulary()) };
  const found = findModel(path), id = parseModelId(path), known = id && presetOf(id.repo);
  if (found || id === undefined) return { config: readConfig(found?.folder ?? path) };
  if (known) return { config: sized(known, 1), from: `sizes of ${id.repo} as they are known; it is fetched when the run begins` };
  const words = `${path} is not on this machine, and its sizes are not known; a run fetches it, or model.path names its folder`;
  throw new KedgeError("BadData", `Cannot estimate the memory: ${words}`, { path });
}

/** The config of a preset; which ids its special tokens have makes no difference here. */
function sized(preset: PresetName, vocabSize: number): ModelConfig {
  const tokens = { image: 0, video: 1, visionStart: 2, visionEnd: 3, eos: [4], bos: undefined, pad: undefined };
  return presetConfig(preset, { tokens, vocabSize });
}
