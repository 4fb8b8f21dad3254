import { readJson } from "./config/folder_files.ts";
import type { ModelConfig } from "./config/types.ts";
import type { Family } from "./family.ts";
import { qwen25vl } from "./qwen2_5_vl/family.ts";
import type { Qwen25VLPreset } from "./qwen2_5_vl/presets.ts";
import { qwen2vl } from "./qwen2_vl/family.ts";
import type { Qwen2VLPreset } from "./qwen2_vl/presets.ts";
import { qwen3vl } from "./qwen3_vl/family.ts";
import type { Qwen3VLPreset } from "./qwen3_vl/presets.ts";

/** The families that Kedge reads. */
export const FAMILIES: readonly Family[] = [qwen25vl, qwen2vl, qwen3vl];

/** Names of the presets of all families. */
export type PresetName = Qwen25VLPreset | Qwen2VLPreset | Qwen3VLPreset;

/** The types that Kedge reads, each with its published models, as a part of a sentence. */
export function readable(): string {
  const types = FAMILIES.map(({ modelType, published }) => `${modelType} (${published})`);
  return `${types.slice(0, -1).join(", ")} and ${types.at(-1)}`;
}

/** The family of a model. @throws {RangeError} for a `modelType` of none. */
export function familyOf({ modelType }: Pick<ModelConfig, "modelType">): Family {
  const family = FAMILIES.find((family) => family.modelType === modelType);
  if (family) return family;
  throw new RangeError(`Cannot use a model of type "${modelType}": Kedge reads ${readable()}`);
}

/** The family of a folder's processor files, by its config.json. Without a config.json, or with one of another kind of model, it is the first family. */
export function familyOfFolder(folder: string): Family {
  const type = readJson(`${folder}/config.json`)?.["model_type"];
  return FAMILIES.find(({ modelType }) => modelType === type) ?? FAMILIES[0]!;
}
