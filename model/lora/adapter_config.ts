/**
 * Reads and writes adapter_config.json, PEFT's description of adapters.
 *
 * @module
 */
import type { ModelConfig } from "../config/types.ts";
import { badFile, type Json, readJson } from "../config/folder_files.ts";
import type { AdapterPlan, ModuleRank } from "./adapters.ts";
import { ADAPTER_CONFIG, type AdapterBase } from "./base.ts";
import { targetNames } from "./modules.ts";

/** What the file says, besides what the tensors say. */
export interface AdapterConfig {
  readonly rsLoRA: boolean;
  readonly modulesToSave: readonly string[];
  /** The alpha of a module. */
  readonly alphaOf: (module: string) => number;
}

/** Keys of features that change what adapters compute. A file uses one if its value counts as true. */
const FEATURES = [
  "use_dora",
  "use_qalora",
  "use_bdlora",
  "lora_bias",
  "fan_in_fan_out",
  "layer_replication",
  "target_parameters",
  "trainable_token_indices",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "velora_config",
  "monteclora_config",
  "ensure_weight_tying",
];
/** Initialisations that change the base, too. */
const CHANGING = /^(pissa|olora|corda|loftq|lora_ga)/i;

/** Whether a file's key asks for something that Kedge does not support. */
function isRefused(key: string, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (key === "bias") return value !== "none";
  if (key === "init_lora_weights") return typeof value === "string" && CHANGING.test(value);
  return Boolean(value);
}

/** Reads the file of a folder. @throws {KedgeError} `BadCheckpoint` with everything in it that Kedge does not support. */
export function readAdapterConfig(folder: string): AdapterConfig {
  const path = `${folder}/${ADAPTER_CONFIG}`, json = readJson(path);
  if (!json) throw badFile(path, ["there is no such file"]);
  const faults: string[] = [];
  if (json["peft_type"] !== "LORA") faults.push(`peft_type is ${JSON.stringify(json["peft_type"])}, and Kedge reads LORA`);
  for (const key of ["bias", "init_lora_weights", ...FEATURES]) {
    if (isRefused(key, json[key])) faults.push(`${key} is ${JSON.stringify(json[key])}, which Kedge does not support`);
  }
  const alpha = json["lora_alpha"], patterns = Object.entries((json["alpha_pattern"] ?? {}) as Record<string, unknown>);
  for (const [name, value] of [["lora_alpha", alpha], ...patterns] as const) {
    if (typeof value !== "number" || !Number.isFinite(value)) faults.push(`the alpha ${name} is ${JSON.stringify(value)}, not a number`);
  }
  const saved = json["modules_to_save"] ?? [];
  if (!Array.isArray(saved) || saved.some((name) => typeof name !== "string")) faults.push("modules_to_save is no list of names");
  if (faults.length > 0) throw badFile(path, faults);
  return {
    rsLoRA: json["use_rslora"] === true,
    modulesToSave: saved as string[],
    alphaOf: (module) => (patterns.find(([key]) => new RegExp(`^(?:.*\\.)?(?:${key})$`).test(module))?.[1] ?? alpha) as number,
  };
}

/** The value that most modules have, and the others by name. */
function common(modules: readonly ModuleRank[], value: (module: ModuleRank) => number): { value: number; others: Json } {
  const counts = Map.groupBy(modules, value), [most] = [...counts].sort(([, a], [, b]) => b.length - a.length)[0]!;
  const others = modules.filter((module) => value(module) !== most);
  return { value: most, others: Object.fromEntries(others.map((module) => [module.tensor.module.replaceAll(".", "\\."), value(module)])) };
}

/** The object of a file that makes PEFT build exactly these adapters. */
export function adapterConfigJson(plan: AdapterPlan, { config, base }: { config: ModelConfig; base: AdapterBase }): Json {
  const { modules, rsLoRA, modulesToSave } = plan;
  const rank = common(modules, ({ rank }) => rank), alpha = common(modules, ({ alpha }) => alpha);
  return {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": base.name,
    "revision": base.revision ?? null,
    "r": rank.value,
    "lora_alpha": alpha.value,
    "lora_dropout": 0,
    "target_modules": targetNames(config, modules.map(({ tensor }) => tensor), modulesToSave),
    "exclude_modules": null,
    "modules_to_save": modulesToSave.length > 0 ? [...modulesToSave] : null,
    "rank_pattern": rank.others,
    "alpha_pattern": alpha.others,
    "use_rslora": rsLoRA,
    "use_dora": false,
    "bias": "none",
    "fan_in_fan_out": false,
    "init_lora_weights": true,
    "inference_mode": true,
    "layers_pattern": null,
    "layers_to_transform": null,
  };
}
