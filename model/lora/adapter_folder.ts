/**
 * Adapter folders in PEFT's format: adapter_config.json and adapter_model.safetensors.
 *
 * @module
 */
import type { Device, DType } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { writeSafetensors } from "../../tensor/safetensors_writer.ts";
import type { Shape, Tensor } from "../../tensor/tensor.ts";
import { loadInto } from "../../tensor/tensor_files.ts";
import type { ModelConfig } from "../config/types.ts";
import { readJson } from "../config/folder_files.ts";
import { familyOf } from "../families.ts";
import { processorFiles, writeFolder, writeSynced } from "../folder/checkpoint_files.ts";
import type { ModuleTensor } from "./adapter.ts";
import { type AdapterConfig, adapterConfigJson, readAdapterConfig } from "./adapter_config.ts";
import { type AdapterPlan, Adapters } from "./adapters.ts";
import { ADAPTER_CONFIG, type AdapterBase, BASE_FILE } from "./base.ts";
import { moduleTensors } from "./modules.ts";

const WEIGHTS = "adapter_model.safetensors", PREFIX = "base_model.model.";

/** What a tensor of an adapter folder is. */
interface Entry {
  /** Its name in the file. */
  readonly name: string;
  readonly tensor: ModuleTensor;
  readonly role: "A" | "B" | "whole";
}

/** Finds what each tensor of a file belongs to. Names are of transformers 5 or of the hub's folders. */
function entriesOf(file: SafetensorsFile, config: ModelConfig): { entries: Entry[]; faults: string[] } {
  const { canonical } = familyOf(config).spelling, entries: Entry[] = [], strange: string[] = [];
  const known = new Map(
    moduleTensors(config).flatMap((tensor) => [
      [`${tensor.module}.${tensor.leaf}`, tensor],
      [tensor.key, tensor],
    ]),
  );
  for (const name of file.tensors.keys()) {
    const bare = name.replace(/^base_model\.model\./, "").replace(/\.(default|modules_to_save)(?=\.|$)/g, "");
    const [, module, matrix] = /^(.*)\.lora_([AB])(?:\.weight)?$/.exec(bare) ?? [];
    const inner = module === undefined ? bare : `${module}.weight`, tensor = known.get(inner) ?? known.get(canonical(inner));
    if (tensor) entries.push({ name, tensor, role: matrix as "A" | "B" | undefined ?? "whole" });
    else strange.push(name);
  }
  const some = strange.slice(0, 5).join(", "), more = strange.length > 5 ? `, and ${strange.length - 5} more` : "";
  return { entries, faults: strange.length > 0 ? [`the model has no module for ${some}${more}`] : [] };
}

/** The plan that the tensors of a folder follow. @throws {KedgeError} `BadCheckpoint` with everything that is wrong. */
function planOf(
  file: SafetensorsFile,
  { config, said }: { config: ModelConfig; said: AdapterConfig },
): { plan: AdapterPlan; entries: readonly Entry[] } {
  const { entries, faults } = entriesOf(file, config),
    names = { A: new Map<string, Entry>(), B: new Map<string, Entry>(), whole: new Map<string, Entry>() };
  for (const entry of entries) names[entry.role].set(entry.tensor.key, entry);
  const show = (shape: Shape) => `[${shape.join(", ")}]`, shapeOf = ({ name }: Entry) => file.tensors.get(name)!.shape;
  const check = (entry: Entry, shape: Shape) => {
    if (show(shapeOf(entry)) !== show(shape)) faults.push(`${entry.name} is ${show(shapeOf(entry))}, not ${show(shape)}`);
  };
  const modules = moduleTensors(config).flatMap((tensor) => {
    const a = names.A.get(tensor.key), b = names.B.get(tensor.key);
    if (!a && !b) return [];
    if (!a || !b) {
      faults.push(`${(a ?? b)!.name} is there without its lora_${a ? "B" : "A"}`);
      return [];
    }
    if (tensor.spec.kind !== "matrix") faults.push(`${a.name} adapts the embedding or the output matrix, which Kedge does not support`);
    const rank = shapeOf(a)[0] ?? 0;
    check(a, shapeOfA(tensor, rank));
    check(b, shapeOfB(tensor, rank));
    return [{ tensor, rank, alpha: said.alphaOf(tensor.module) }];
  });
  const saved = [...new Set([...names.whole.values()].map(({ tensor: { spec } }) => spec))];
  for (const { parts } of saved) {
    const missing = parts.filter(({ key }) => !names.whole.has(key));
    if (missing.length > 0) faults.push(`${missing.map(({ key }) => key).join(", ")} is missing beside ${parts[0]!.key}`);
  }
  for (const entry of names.whole.values()) check(entry, entry.tensor.shape);
  if (config.text.tied && saved.some(({ kind }) => kind === "embedding")) {
    faults.push("it holds a copy of the embedding or of the output matrix, which are one in this model (tie_word_embeddings)");
  }
  if (modules.length === 0) faults.push("it holds no adapters");
  if (faults.length > 0) {
    throw new KedgeError("BadCheckpoint", `Cannot load ${file.path}: ${faults.join("; ")}`, { path: file.path, faults });
  }
  const plan = { modules, rsLoRA: said.rsLoRA, saved, modulesToSave: said.modulesToSave };
  return { plan, entries };
}

/** A convolution has the axes of its kernel behind [rank, channels], and 1 for each of them in B. */
const shapeOfA = ({ shape }: ModuleTensor, rank: number): Shape => [rank, ...shape.slice(1)];
const shapeOfB = ({ rows, shape }: ModuleTensor, rank: number): Shape => [rows, rank, ...shape.slice(2).map(() => 1)];

/** What an adapter folder plans, by its files. @throws {KedgeError} `BadCheckpoint` */
export function readAdapterPlan(folder: string, config: ModelConfig): AdapterPlan {
  using file = SafetensorsFile.open(`${folder}/${WEIGHTS}`);
  return planOf(file, { config, said: readAdapterConfig(folder) }).plan;
}

/**
 * Loads the adapters of a folder that PEFT or Kedge has written.
 *
 * @throws {KedgeError} `BadCheckpoint` with everything that is wrong, or that Kedge does not support.
 */
export function loadAdapters(
  folder: string,
  options: { device: Device; dtype: DType; config: ModelConfig },
): Adapters {
  using file = SafetensorsFile.open(`${folder}/${WEIGHTS}`);
  const { plan, entries } = planOf(file, { config: options.config, said: readAdapterConfig(folder) });
  const adapters = new Adapters(plan, options);
  try {
    const parts = new Map(adapters.all().flatMap(({ a, modules }) => modules.map((module) => [module.tensor.key, { a, module }])));
    for (const { name, tensor, role } of entries) {
      if (role === "whole") {
        using target = adapters.saved[tensor.spec.name]!.tensor.slice(tensor.row, tensor.row + tensor.rows);
        loadInto(file, name, { target });
        continue;
      }
      const { a, module: { b, start, rank } } = parts.get(tensor.key)!;
      using target = role === "A" ? a.tensor.slice(start, start + rank) : b.tensor.view();
      loadInto(file, name, { target });
    }
    return adapters;
  } catch (error) {
    adapters[Symbol.dispose]();
    throw error;
  }
}

/** Rows of a parameter's f32 master, or of its weight, as an f32 tensor of a file. */
function entry(name: string, tensor: Tensor, part: { row: number; shape: Shape }): SafetensorsEntry {
  const { row, shape } = part;
  return {
    name,
    dtype: "F32",
    shape,
    data: function* () {
      using rows = tensor.slice(row, row + shape[0]!);
      using wide = rows.cast("f32");
      yield wide.toBytes();
    },
  };
}

/** The tensors of an adapter folder, in f32 as PEFT keeps them. */
function adapterEntries(adapters: Adapters, config: ModelConfig): SafetensorsEntry[] {
  const matrices = adapters.all().flatMap(({ a, modules }) =>
    modules.flatMap(({ tensor, rank, start, b }) => {
      const name = `${PREFIX}${tensor.module}`;
      return [
        entry(`${name}.lora_A.weight`, a.master ?? a.tensor, { row: start, shape: shapeOfA(tensor, rank) }),
        entry(`${name}.lora_B.weight`, b.master ?? b.tensor, { row: 0, shape: shapeOfB(tensor, rank) }),
      ];
    })
  );
  const whole = moduleTensors(config).filter(({ spec }) => adapters.saved[spec.name]).map(({ module, leaf, spec, row, shape }) => {
    const { master, tensor } = adapters.saved[spec.name]!;
    return entry(`${PREFIX}${module}.${leaf}`, master ?? tensor, { row, shape });
  });
  return [...matrices, ...whole];
}

/**
 * Writes a folder that PEFT loads.
 *
 * @param options `from`: a folder whose tokenizer and processor files are copied.
 * @throws {RangeError} if the folder holds something.
 */
export function saveAdapters(
  { adapters, config }: { adapters: Adapters; config: ModelConfig },
  folder: string,
  options: { base: AdapterBase; from?: string | undefined },
): void {
  const { base, from } = options, text = new TextEncoder(), json = (value: unknown) => text.encode(`${JSON.stringify(value, null, 2)}\n`);
  const { folder: at, name, print: sha256 } = base;
  writeFolder(folder, (temporary) => {
    writeSynced(`${temporary}/${ADAPTER_CONFIG}`, json(adapterConfigJson(adapters.plan, { config, base })));
    writeSynced(`${temporary}/${BASE_FILE}`, json({ folder: at, name, sha256 }));
    for (const [name, bytes] of processorFiles(from)) writeSynced(`${temporary}/${name}`, bytes);
    writeSafetensors(`${temporary}/${WEIGHTS}`, adapterEntries(adapters, config), { metadata: { format: "pt" } });
  });
}

/** Copies the adapters of a checkpoint, with tokenizer and processor files, without the trainer's files. @throws {RangeError} if `out` holds something. */
export function copyAdapters(folder: string, out: string): void {
  const own = [ADAPTER_CONFIG, WEIGHTS, BASE_FILE].filter((name) => name !== BASE_FILE || readJson(`${folder}/${name}`));
  writeFolder(out, (temporary) => {
    for (const [name, bytes] of processorFiles(folder)) writeSynced(`${temporary}/${name}`, bytes);
    for (const name of own) writeSynced(`${temporary}/${name}`, Deno.readFileSync(`${folder}/${name}`));
  });
}
