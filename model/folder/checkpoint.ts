/**
 * Loads and saves the weights of a model folder.
 *
 * @module
 */
import type { Device, DType } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Parameter, type Parameters } from "../../tensor/parameter.ts";
import { SafetensorsFolder, type TensorInfo } from "../../tensor/safetensors.ts";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { describe, type Shape, Tensor } from "../../tensor/tensor.ts";
import { loadInto } from "../../tensor/tensor_files.ts";
import { type ModelConfig, readConfig } from "../config/config.ts";
import { familyOf } from "../families.ts";
import { writeModelFolder } from "./checkpoint_files.ts";
import { type ParameterSpec, parameterSpecs } from "../parameters.ts";
import { type Frozen, isFrozen, isHeldPacked, isPackable, type WeightType, weightType } from "./weight_storage.ts";

const CHUNK = 4 * 2 ** 20; // elements
const BUFFER = 16 * 2 ** 20; // bytes of a file that are in memory while it is loaded
const MOST_NAMES = 20; // in an error
const STORED: ReadonlySet<string> = new Set(["F32", "BF16", "F16"]);

/** A place in memory for a parameter of a model whose weights are of a type: on a CPU packed, if it is frozen and bf16. */
function room(device: Device, spec: ParameterSpec, { dtype, frozen }: { dtype: WeightType; frozen: Frozen | undefined }): Parameter {
  const { name, shape } = spec, [out, input] = shape, requiresGrad = !(frozen && isFrozen(spec, frozen));
  if (device.kind !== "cpu" || !frozen) return new Parameter(name, Tensor.empty(device, shape, { dtype }), { requiresGrad });
  const tensor = isHeldPacked(spec, { dtype, frozen }) ? Tensor.packed(device, [out!, input!]) : Tensor.empty(device, shape);
  return new Parameter(name, tensor, { requiresGrad });
}

/** Whether two tensors hold the same bytes. */
function same(files: SafetensorsFolder, [a, b]: readonly [string, string]): boolean {
  const [x, y] = [files.tensors.get(a)!, files.tensors.get(b)!];
  if (x.dtype !== y.dtype || x.bytes !== y.bytes) return false;
  const step = 8 * 2 ** 20, parts = [a, b].map((name) => ({ name, numbers: new Int32Array(step / 4) }));
  for (let offset = 0; offset < x.bytes; offset += step) {
    const [left, right] = parts.map(({ name, numbers }) => {
      files.readRange(name, { offset, into: new Uint8Array(numbers.buffer, 0, Math.min(step, x.bytes - offset)) });
      return numbers;
    }) as [Int32Array, Int32Array];
    for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  }
  return true;
}

/**
 * Refuses a config with more blocks than the weights have, before the names of all these blocks are made.
 *
 * @throws {KedgeError} `BadCheckpoint`
 */
function checkCounts(
  files: SafetensorsFolder,
  { config, names }: { config: ModelConfig; names: ReadonlyMap<string, string> },
): void {
  const named = (prefix: string) => {
    const numbers = [...names.keys()].flatMap((key) => key.startsWith(prefix) ? [Number.parseInt(key.slice(prefix.length))] : []);
    return numbers.reduce((most, number) => Math.max(most, number + 1), 0);
  };
  const { blocks } = familyOf(config).spelling;
  const said = [
    ["num_hidden_layers", config.text.layers, blocks.text],
    ["vision_config.depth", config.vision.depth, blocks.vision],
  ] as const;
  const faults = said.filter(([, count, prefix]) => count > named(prefix)).map(([key, count, prefix]) =>
    `config.json says ${key} ${count}, and the weights name ${named(prefix)} (${prefix}N)`
  );
  if (faults.length > 0) {
    throw new KedgeError("BadCheckpoint", `Cannot load ${files.path}: ${faults.join("; ")}`, { path: files.path, faults });
  }
}

/** Finds the name that the file has for each tensor of the model. @throws {KedgeError} `BadCheckpoint` with everything that is wrong. */
export function matchTensors(files: SafetensorsFolder, config: ModelConfig): Map<string, string> {
  const { canonical, embedding, head } = familyOf(config).spelling;
  const names = new Map<string, string>(), faults: string[] = [];
  for (const name of files.tensors.keys()) {
    const key = canonical(name), other = names.get(key);
    if (other !== undefined) faults.push(`${other} and ${name} are the same tensor`);
    names.set(key, name);
  }
  const spare = config.text.tied ? names.get(head) : undefined; // the output matrix of a tied model, which some folders have
  if (spare !== undefined) {
    const first = names.get(embedding);
    if (first === undefined) names.set(embedding, spare);
    else if (!same(files, [first, spare])) {
      faults.push(`${spare} differs from ${first}, although tie_word_embeddings is true: set it to false in config.json, or remove one`);
    }
    names.delete(head);
  }
  checkCounts(files, { config, names });
  const expected = new Map<string, Shape>(
    parameterSpecs(config).flatMap(({ parts }) => parts.map(({ key, shape }) => [key, shape] as const)),
  );
  const list = (what: string, all: readonly string[]) => {
    if (all.length === 0) return;
    const more = all.length - MOST_NAMES;
    faults.push(`${what}: ${all.slice(0, MOST_NAMES).join(", ")}${more > 0 ? `, and ${more} more` : ""}`);
  };
  const present = [...expected].filter(([key]) => names.has(key))
    .map(([key, shape]): [string, Shape, TensorInfo] => [names.get(key)!, shape, files.tensors.get(names.get(key)!)!]);
  const show = (shape: Shape) => `[${shape.join(", ")}]`;
  list("missing", [...expected.keys()].filter((key) => !names.has(key)));
  list("surplus", [...names].filter(([key]) => !expected.has(key)).map(([, name]) => name));
  list(
    "of another shape than config.json says",
    present.filter(([, shape, info]) => show(shape) !== show(info.shape)).map(([name, shape, info]) =>
      `${name} is ${show(info.shape)}, not ${show(shape)}`
    ),
  );
  list(
    `of a type that weights do not have (${[...STORED].join(", ")})`,
    present.filter(([, , info]) => !STORED.has(info.dtype)).map(([name, , info]) => `${name} is ${info.dtype}`),
  );
  if (faults.length > 0) {
    throw new KedgeError("BadCheckpoint", `Cannot load ${files.path}: ${faults.join("; ")}`, { path: files.path, faults });
  }
  return names;
}

/**
 * Loads the weights of a model folder, from `model.safetensors` or its shards, whichever way its tensors are spelled.
 *
 * @param folder The folder.
 * @param options `config`: see {@linkcode readConfig}. `dtype`: type of the parameters, whatever the file has (F32, BF16 or F16); default {@linkcode weightType}.
 * `frozen`: parameters that are not trained. If it is given, a CPU holds frozen matrices of "bf16" packed, and all others in f32; otherwise everything is of `dtype`.
 * @returns The parameters by Kedge's names; the caller disposes of them.
 * @throws {KedgeError} `BadCheckpoint` with all tensors that are missing, surplus, misshapen or of another type; `OutOfMemory`. Nothing is left
 *   allocated then.
 *
 * @example
 * ```ts
 * import { initialiseParameters, loadParameters, presetConfig, saveModel } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * const config = presetConfig("tiny", { tokens, vocabSize: 95 });
 * const parameters = initialiseParameters(device, config, { seed: 7 });
 * const folder = Deno.makeTempDirSync();
 * saveModel({ config, parameters }, folder);
 * const loaded = loadParameters(folder, { device, config });
 * assertEquals(loaded["embedding"]!.tensor.toBytes(), parameters["embedding"]!.tensor.toBytes());
 * for (const parameter of [...Object.values(parameters), ...Object.values(loaded)]) parameter[Symbol.dispose]();
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function loadParameters(
  folder: string,
  options: { device: Device; config: ModelConfig; dtype?: WeightType; frozen?: Frozen },
): Record<string, Parameter> {
  const { device, config, frozen } = options, dtype = options.dtype ?? weightType(device, config, frozen);
  using files = SafetensorsFolder.open(folder);
  const names = matchTensors(files, config), specs = parameterSpecs(config);
  const parameters: Record<string, Parameter> = {};
  try {
    // Allocate everything first: if there is too little memory, the error comes before the reading.
    for (const spec of specs) parameters[spec.name] = room(device, spec, { dtype, frozen });
    const buffer = new Uint8Array(BUFFER);
    for (const { name, parts } of specs) {
      let row = 0;
      for (const { key, shape } of parts) {
        loadInto(files, names.get(key)!, { target: parameters[name]!.tensor, row, buffer });
        row += shape[0]!;
      }
    }
    return parameters;
  } catch (error) {
    for (const parameter of Object.values(parameters)) parameter[Symbol.dispose]();
    throw error;
  }
}

/**
 * Reads the config and the weights of a folder, by {@linkcode readConfig} and {@linkcode loadParameters}.
 *
 * @example
 * ```ts
 * import { openModelFolder } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertThrows } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * assertThrows(() => openModelFolder("no/such/folder", { device }), Error, "no/such/folder/config.json: there is no such file");
 * ```
 */
export function openModelFolder(
  folder: string,
  options: { device: Device; dtype?: WeightType; frozen?: Frozen },
): { config: ModelConfig; parameters: Record<string, Parameter> } {
  const config = readConfig(folder);
  return { config, parameters: loadParameters(folder, { ...options, config }) };
}

/** An entry of rows of a tensor, in the file's shape and type. They are read from the device when they are written. */
function partEntry(name: string, tensor: Tensor, part: { row: number; shape: Shape; dtype: WeightType }): SafetensorsEntry {
  const { row, shape, dtype } = part;
  return {
    name,
    dtype: dtype === "f32" ? "F32" : "BF16",
    shape,
    data: function* () {
      const end = row + shape[0]!, step = Math.max(1, Math.floor(CHUNK / tensor.cols));
      for (let start = row; start < end; start += step) {
        const stop = Math.min(end, start + step);
        using chunk = tensor.isPacked ? tensor.unpack(start, stop, { dtype }) : tensor.slice(start, stop);
        using typed = chunk.dtype === dtype ? chunk.view() : chunk.cast(dtype);
        yield typed.toBytes();
      }
    },
  };
}

/** The type in which a model with packed parameters is saved, if none is asked for: bf16 if all its matrices are packed, else f32. */
function typeBesidePacked(specs: readonly ParameterSpec[], parameters: Parameters): WeightType | undefined {
  const packed = specs.filter(isPackable).map(({ name }) => parameters[name]?.tensor.isPacked ?? false);
  return packed.includes(true) ? packed.includes(false) ? "f32" : "bf16" : undefined;
}

/** Options of {@linkcode saveModel}. */
export interface SaveModelOptions {
  /** Type in the file; default: each parameter's own, or one type for all if some are packed (bf16 if all matrices are, else f32). For "f32" an optimizer's f32 master takes precedence over a bf16 weight. */
  dtype?: WeightType;
  /** Default 5e9. */
  maxShardBytes?: number;
  /**
   * The folder that the model was loaded from, or one with its tokenizer: tokenizer and processor files are copied from it, and its config.json keeps its
   * layout and other keys. Default: none, and the folder holds weights and configs only.
   */
  from?: string;
}

/**
 * Saves a model as a folder that transformers loads: weights in the hub's spelling, in shards with an index where they are larger than one, config.json,
 * generation_config.json, and the tokenizer and processor files. It is written under another name and then renamed, so that an interrupted save leaves no folder.
 *
 * @param model `parameters` by Kedge's names. With tied embeddings there is no output matrix in the file.
 * @param folder A new folder, or an empty one.
 * @throws {RangeError} if the folder holds something, or the parameters are not those of the config.
 *
 * @example
 * ```ts
 * import { initialiseParameters, openModelFolder, presetConfig, saveModel } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 300, video: 301, visionStart: 302, visionEnd: 303, eos: [304], bos: 304, pad: 304 };
 * const config = presetConfig("tiny", { tokens, vocabSize: 305 });
 * const parameters = initialiseParameters(device, config, { seed: 7 });
 * const folder = Deno.makeTempDirSync();
 * saveModel({ config, parameters }, folder);
 * const again = openModelFolder(folder, { device });
 * assertEquals(again.config, config);
 * assertEquals(again.parameters["norm"]!.tensor.toBytes(), parameters["norm"]!.tensor.toBytes());
 * for (const parameter of [...Object.values(parameters), ...Object.values(again.parameters)]) parameter[Symbol.dispose]();
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function saveModel(
  model: { readonly config: ModelConfig; readonly parameters: Parameters },
  folder: string,
  options: SaveModelOptions = {},
): void {
  const { config, parameters } = model, specs = parameterSpecs(config), types = new Set<WeightType>();
  const names = new Set(specs.map(({ name }) => name));
  const surplus = Object.keys(parameters).filter((name) => !names.has(name));
  if (surplus.length > 0) throw new RangeError(`Cannot save to ${folder}: the config has no ${surplus.join(", ")}`);
  const packed = typeBesidePacked(specs, parameters);
  const entries = specs.flatMap(({ name, shape, parts }) => {
    const parameter = parameters[name];
    if (!parameter) throw new RangeError(`Cannot save to ${folder}: parameter ${name} is not there`);
    const tensor = options.dtype === "f32" ? parameter.master ?? parameter.tensor : parameter.tensor;
    const dtype = options.dtype ?? (packed ?? tensor.dtype);
    if (tensor.shape.join() !== shape.join() || (dtype !== "f32" && dtype !== "bf16")) {
      throw new RangeError(`Cannot save to ${folder}: parameter ${name} is ${describe(tensor)}, not [${shape.join(", ")}] of f32 or bf16`);
    }
    types.add(dtype);
    let row = 0;
    return parts.map((part) => {
      const entry = partEntry(part.key, tensor, { row, shape: part.shape, dtype });
      row += part.shape[0]!;
      return entry;
    });
  });
  const dtype: DType = types.has("f32") ? "f32" : "bf16";
  writeModelFolder(folder, { config: { ...config, dtype }, entries, maxShardBytes: options.maxShardBytes, from: options.from });
}
